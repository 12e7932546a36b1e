"""Xen's trace buffers in memory: who may read them, and what is in them.

Xen has one set of buffers, a ring for each CPU, which it shares with the control domain.
A *directory* (``struct t_info``) holds the frames of each ring. A ring starts with
``struct t_buf``: Xen writes ``prod``, and the reader writes ``cons``.

Xen does not record who reads the buffers. But each reader (``xentrace``, ``xenbaked``) binds the virtual
interrupt that reports half-full buffers. Xen lets only one program bind it, and unbinds it when that
program dies, so it serves as the lock here.

Sources: ``xen/include/public/trace.h``, ``xen/common/trace.c``, ``tools/xentrace/xentrace.c``.
"""

from __future__ import annotations

import errno
import mmap
from typing import TYPE_CHECKING, Any

from xenapic.abi.channel import Events
from xenapic.abi.connection import bounded
from xenapic.abi.forks import left_to_parent
from xenapic.abi.library import Library
from xenapic.errors import CallFailed, TraceBusy, TraceUse

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import TraceBufferStruct, TraceInfoStruct, XenForeignMemory

__all__ = ["PAGE_BYTES", "TraceBuffers", "TraceVirq", "pieces"]

VIRQ_TBUF = 4
DOMID_XEN = 0x7FF2
"""The pseudo-domain that owns what Xen shares (``xen/include/public/xen.h``)."""
PAGE_BYTES = 4096
MOST_PAGES = (1 << 16) - 1
MOST_DIRECTORY = 1 << 20
"""Bytes of a directory: offsets of 16 bits, in words, and after the last one the frames of one ring."""
MOST_FRAME = (1 << 40) - 1
"""The last frame below 2**52, the highest physical address that x86 has."""
DIRECTORY = "the directory of Xen's trace buffers"
HEADER_BYTES = 8
"""``sizeof(struct t_buf)``."""


class TraceVirq(Events):
    """The virtual interrupt VIRQ_TBUF, bound: no other tracer reads the trace buffers meanwhile.

    An event comes when a buffer becomes half full. Raises `TraceBusy` when another tracer has bound it.
    """

    WAITS_FOR = "wait for VIRQ_TBUF"

    def __init__(self, library: Library) -> None:
        super().__init__(library)
        assert self._channel is not None
        if self._evtchn.xenevtchn_bind_virq(self._channel, VIRQ_TBUF) < 0:
            number = self._ffi.errno
            self.close()
            if number in (errno.EEXIST, errno.EBUSY):
                raise TraceBusy(
                    TraceUse.READ,
                    "another tracer reads Xen's trace buffers (it has bound VIRQ_TBUF), and Xen has only one "
                    "set. End that tracer first; look for xentrace, xenbaked and 'xenapic exits'",
                )
            raise CallFailed("xenevtchn_bind_virq", number, "bind VIRQ_TBUF")


class TraceBuffers:
    """The rings of all CPUs, mapped. Raises `CallFailed` when they cannot be mapped."""

    def __init__(self, library: Library, directory_frame: int, directory_bytes: int, max_cpu: int) -> None:
        self._ffi, self._library = library.ffi, library.foreign
        self._maps: list[tuple[Any, int]] = []
        self._rings: dict[int, TraceBufferStruct] = {}
        self._memory: XenForeignMemory | None = self._library.xenforeignmemory_open(self._ffi.NULL, 0)
        if self._memory == self._ffi.NULL:
            self._memory = None
            raise CallFailed("xenforeignmemory_open", self._ffi.errno, "open /dev/xen/privcmd for mapping")
        left_to_parent(self)
        try:
            self._map_all(directory_frame, directory_bytes, max_cpu)
        except BaseException:
            self.close()
            raise

    @property
    def cpus(self) -> tuple[int, ...]:
        """The CPUs that have a buffer: those that were online when the buffers were allocated."""
        return tuple(self._rings)

    def unread(self) -> int:
        """Return the number of unread bytes in all buffers together."""
        return sum(
            length
            for ring in self._rings.values()
            for _start, length in pieces(ring.cons, ring.prod, self.ring_bytes)
        )

    def take(self, cpu: int) -> bytes:
        """Return a CPU's unread records, which are complete, and free their room in the ring.

        Raises ValueError when the ring's positions are invalid; its content is then dropped.
        """
        ring = self._rings[cpu]
        cons, prod = ring.cons, ring.prod  # once each: Xen goes on writing
        records = self._ffi.cast("char *", ring) + HEADER_BYTES
        try:
            parts = pieces(cons, prod, self.ring_bytes)
            return b"".join(bytes(self._ffi.buffer(records + start, length)) for start, length in parts)
        finally:
            ring.cons = prod

    def discard(self) -> None:
        """Drop everything unread, and reset invalid positions. Tracing must be off."""
        for ring in self._rings.values():
            try:
                pieces(ring.cons, ring.prod, self.ring_bytes)
            except ValueError:
                ring.prod = 0
            ring.cons = ring.prod

    def close(self) -> None:
        """Unmap the buffers; a second call does nothing. Xen keeps the buffers themselves until reboot."""
        self._rings.clear()
        memory, self._memory = self._memory, None
        if memory is None:
            return
        for address, pages in self._maps:
            self._library.xenforeignmemory_unmap(memory, address, pages)
        self._maps.clear()
        self._library.xenforeignmemory_close(memory)

    def leave_to_parent(self) -> None:
        """Forget the rings in a forked child, which does not have the mappings."""
        self._rings.clear()
        self._maps.clear()
        self._memory = None

    def _map_all(self, frame: int, size: int, max_cpu: int) -> None:
        bounded(size, MOST_DIRECTORY, DIRECTORY)
        bounded(frame, MOST_FRAME, DIRECTORY)
        frames = range(frame, frame + size // PAGE_BYTES)
        address = self._map(frames, mmap.PROT_READ, "map the directory of Xen's trace buffers")
        info: TraceInfoStruct = self._ffi.cast("struct t_info *", address)
        words = self._ffi.cast("uint32_t *", address)
        self.pages = bounded(info.tbuf_size, MOST_PAGES, DIRECTORY)
        bounded(max_cpu, (size - self._ffi.offsetof("struct t_info", "mfn_offset")) // 2 - 1, DIRECTORY)
        self.ring_bytes = self.pages * PAGE_BYTES - HEADER_BYTES
        for cpu in range(max_cpu + 1):
            offset = info.mfn_offset[cpu]
            if offset == 0:  # it was offline when the buffers were allocated
                continue
            bounded(offset + self.pages, size // 4, DIRECTORY)
            ring = self._map(
                [words[offset + page] for page in range(self.pages)],
                mmap.PROT_READ | mmap.PROT_WRITE,
                f"map the trace buffer of CPU {cpu}",
            )
            self._rings[cpu] = self._ffi.cast("struct t_buf *", ring)

    def _map(self, frames: Any, protection: int, asked: str) -> Any:
        assert self._memory is not None
        count = len(frames)
        errors = self._ffi.new("int[]", count)
        address = self._library.xenforeignmemory_map(
            self._memory, DOMID_XEN, protection, count, self._ffi.new("unsigned long[]", list(frames)), errors
        )
        if address == self._ffi.NULL:
            number = self._ffi.errno or next((-error for error in errors if error), errno.EFAULT)
            raise CallFailed("xenforeignmemory_map", number, asked)
        self._maps.append((address, count))
        return address


def pieces(cons: int, prod: int, size: int) -> list[tuple[int, int]]:
    """Return the start and length of the pieces between two positions of a ring: none, one or two.

    Positions run to twice the size, so that a full ring differs from an empty ring.
    Raises ValueError for positions that Xen never sets.
    """
    length = prod - cons if prod >= cons else prod + 2 * size - cons
    if not (0 <= cons < 2 * size and 0 <= prod < 2 * size and length <= size) or (cons | prod) & 3:
        raise ValueError(f"trace buffer positions {cons:#x} and {prod:#x} of {size:#x} bytes are invalid")
    start = cons % size
    first = min(length, size - start)
    return [piece for piece in ((start, first), (0, length - first)) if piece[1]]
