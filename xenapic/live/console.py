"""Xen's console ring, read as lines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from xenapic.parse.ring import Origin, RingLine, ring_lines

if TYPE_CHECKING:
    from xenapic.abi.handle import Handle

__all__ = ["Console"]

POLL_SECONDS = 0.2


class Console:
    """Xen's console ring: Xen's own messages and what guests print."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def read(self) -> bytes:
        """Return all bytes in the ring; the ring does not change."""
        return self._handle.console.read().data

    def lines(self) -> list[RingLine]:
        """Return the complete lines in the ring, each with its writer."""
        chunk = self._handle.console.read()
        return ring_lines(chunk.data, whole_start=chunk.start == 0)[0]

    def follow(self, *, from_start: bool = False, poll_seconds: float = POLL_SECONDS) -> Iterator[RingLine]:
        """Yield lines as they are written, without end.

        A line of origin `Origin.LOST` stands for bytes that were overwritten before they could be read.
        """
        chunk = self._handle.console.read()
        position, rest = chunk.end, b""
        if from_start:
            lines, rest = ring_lines(chunk.data, whole_start=chunk.start == 0)
            yield from lines
        while True:
            time.sleep(poll_seconds)
            chunk = self._handle.console.read(position)
            lost = (chunk.start - position) & 0xFFFFFFFF
            if lost:
                yield RingLine(Origin.LOST, f"{lost} bytes were overwritten before they could be read")
                rest = b""
            lines, rest = ring_lines(rest + chunk.data, whole_start=not lost)
            yield from lines
            position = chunk.end

    def clear(self) -> None:
        """Empty the ring for every reader on the host: other tools may miss what was in it."""
        self._handle.console.clear()
