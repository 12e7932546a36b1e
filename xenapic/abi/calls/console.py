"""Calls that read and clear Xen's console ring."""

from __future__ import annotations

from typing import NamedTuple

from xenapic.abi.connection import Calls

__all__ = ["ConsoleCalls", "ConsoleChunk"]

RING_READ_BYTES = 1 << 16


class ConsoleChunk(NamedTuple):
    """A piece of Xen's console ring."""

    data: bytes
    start: int
    """Position of the first byte, counted since boot, modulo 2**32."""
    end: int
    """Position after the last byte: where the next read continues."""


class ConsoleCalls(Calls):
    """Xen's console ring."""

    def read(self, start: int | None = None) -> ConsoleChunk:
        """Return what the ring holds from a position on, or everything; the ring does not change."""
        chunk = self._read_once(start)
        data, first, end = bytearray(chunk.data), chunk.start, chunk.end
        # A read that is not full has caught up with the writer; reading until nothing is left may never end.
        while len(chunk.data) == RING_READ_BYTES:
            chunk = self._read_once(end)
            if chunk.data and chunk.start != end:  # the writer overtook us: what we hold is not contiguous
                data.clear()
                first = chunk.start
            data += chunk.data
            end = chunk.end
        return ConsoleChunk(bytes(data), first, end)

    def oldest(self) -> int:
        """Return the position of the oldest byte in the console ring."""
        return self._read_once(None, room=1).start

    def clear(self) -> None:
        """Empty the console ring for every reader: Xen drops what a clearing read returned."""
        while self._read_once(None, clear=True).data:
            pass

    def _read_once(self, start: int | None, clear: bool = False, room: int = RING_READ_BYTES) -> ConsoleChunk:
        buffer = self._ffi.new("char[]", room)
        count = self._ffi.new("unsigned int *", room)
        index = self._ffi.new("uint32_t *", start or 0)
        asked = "clear Xen's console ring" if clear else "read Xen's console ring"
        self._call("xc_readconsolering", asked, buffer, count, clear, start is not None, index)
        data = bytes(self._ffi.buffer(buffer, count[0]))
        return ConsoleChunk(data, (index[0] - len(data)) & 0xFFFFFFFF, index[0])
