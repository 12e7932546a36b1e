"""A guest's memory: give it pages, read them and write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xenapic.abi.handle import Handle

__all__ = ["PAGE", "GuestMemory"]

PAGE = 4096
"""Bytes in a page."""

PIECE_BYTES = 1 << 20
"""How much is mapped at once."""


class GuestMemory:
    """The memory of one domain, by guest physical address.

    Nothing stays mapped between two calls, because a mapping keeps a destroyed domain alive.
    """

    def __init__(self, handle: Handle, domid: int) -> None:
        self._handle = handle
        self.domid = domid

    def populate(self, address: int, size: int) -> None:
        """Give the domain memory for all pages of a range, in bytes; the content is undefined.

        Raises `CallFailed`, for instance when the domain has reached its memory limit.
        """
        self._handle.memory.populate(self.domid, list(_frames(address, size)))

    def fill(self, address: int, data: bytes | memoryview, size: int) -> None:
        """Write data into the guest's memory, and zeros after it up to ``size`` bytes, in pieces."""
        for at in range(0, size, PIECE_BYTES):
            length = min(PIECE_BYTES, size - at)
            self.write(address + at, bytes(data[at : at + length]).ljust(length, b"\0"))

    def read(self, address: int, size: int) -> bytes:
        """Return bytes of the guest's memory; raise `CallFailed` where there is none."""
        frames = list(_frames(address, size))
        return self._handle.memory.read(self.domid, frames, address % PAGE, size)

    def write(self, address: int, data: bytes) -> None:
        """Write into the guest's memory; raise `CallFailed` where there is none."""
        frames = list(_frames(address, len(data)))
        self._handle.memory.write(self.domid, frames, address % PAGE, data)


def _frames(address: int, size: int) -> range:
    return range(address // PAGE, (address + size + PAGE - 1) // PAGE)
