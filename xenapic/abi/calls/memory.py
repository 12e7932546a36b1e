"""Calls that give a guest memory, and read and write it."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from functools import partial
from itertools import starmap
from typing import TYPE_CHECKING, Any, TypeVar

from xenapic.abi.connection import Calls, Connection, bounded
from xenapic.abi.failures import call_failure
from xenapic.abi.window import Window

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import XcInterface, XenForeignMemory

__all__ = ["MemoryCalls"]

T = TypeVar("T")


class MemoryCalls(Calls):
    """Guests' memory by frame number. Nothing stays mapped after a call."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._library = connection.library.foreign
        self._foreign: XenForeignMemory | None = None

    def populate(self, domid: int, frames: Sequence[int]) -> None:
        """Give a domain a page of memory at each of these frame numbers."""
        extents = self._ffi.new("xen_pfn_t[]", frames)
        asked = "give domain {} {} pages of memory"
        self._call("xc_domain_populate_physmap_exact", asked, domid, len(frames), 0, 0, extents)

    def populate_extents(self, domid: int, frames: Sequence[int], order: int) -> int:
        """Give a domain ``2**order`` pages of memory at each of these frame numbers, while Xen can.

        Return how many it did: contiguous memory may run out before memory does.
        """
        extents = self._ffi.new("xen_pfn_t[]", frames)
        asked = "give domain {} {} extents of memory"
        done = self._call("xc_domain_populate_physmap", asked, domid, len(frames), order, 0, extents)
        return bounded(done, len(frames), "xc_domain_populate_physmap")

    def set_map(self, domid: int, entries: Sequence[tuple[int, int, int]]) -> None:
        """Set the memory map that a domain can ask Xen for: address, size and type (E820) of each region."""
        rows = self._ffi.new("struct e820entry[]", list(entries))
        self._call("xc_domain_set_memory_map", "set the memory map of domain {}", domid, rows, len(entries))

    def window(self, domid: int, frame: int) -> Window:
        """Map a page of a domain for reading and writing, until it is closed."""
        asked = f"map a page of domain {domid}"
        mapped: Window = self._connection.exclusively(self._window, domid, frame, asked)
        return mapped

    def _window(self, _xch: XcInterface, domid: int, frame: int, asked: str) -> Window:
        fmem, pfns = self._opened(asked), self._ffi.new("xen_pfn_t[]", [frame])
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        window = Window(self._connection, fmem)
        window.map(self._library.xenforeignmemory_map, domid, protection, 1, pfns, self._ffi.NULL)
        if window.closed:
            raise self._failure("xenforeignmemory_map", asked)
        return window

    def read(self, domid: int, frames: Sequence[int], offset: int, size: int) -> bytes:
        """Return ``size`` bytes of a domain's memory, ``offset`` bytes from the start of these frames."""

        def copy(start: Any) -> bytes:
            return bytes(self._ffi.buffer(start + offset, size))

        return self._mapped(domid, frames, mmap.PROT_READ, f"read memory of domain {domid}", copy)

    def write(self, domid: int, frames: Sequence[int], offset: int, data: bytes) -> None:
        """Write into a domain's memory, ``offset`` bytes from the start of these frames."""

        def copy(start: Any) -> None:
            self._ffi.memmove(start + offset, data, len(data))

        protection = mmap.PROT_READ | mmap.PROT_WRITE
        self._mapped(domid, frames, protection, f"write memory of domain {domid}", copy)

    def _mapped(
        self, domid: int, frames: Sequence[int], protection: int, asked: str, work: Callable[[Any], T]
    ) -> T:
        """Return ``work(start)`` while ``start`` points to a domain's frames, mapped as ``char *``."""
        pfns = self._ffi.new("xen_pfn_t[]", frames)
        arguments = (domid, protection, len(frames), pfns, self._ffi.NULL)
        result: T = self._connection.exclusively(self._map_for, arguments, asked, work)
        return result

    def _map_for(
        self, _xch: XcInterface, arguments: tuple[Any, ...], asked: str, work: Callable[[Any], T]
    ) -> T:
        fmem = self._opened(asked)
        mapping: list[Any] = []
        try:
            # In one step, so that Ctrl-C cannot strike while nobody holds the address.
            mapping.extend(starmap(self._library.xenforeignmemory_map, [(fmem, *arguments)]))
            if mapping[0] == self._ffi.NULL:
                raise self._failure("xenforeignmemory_map", asked)
            return work(self._ffi.cast("char *", mapping[0]))
        finally:
            if mapping and mapping[0] != self._ffi.NULL:
                self._library.xenforeignmemory_unmap(fmem, mapping[0], len(arguments[3]))

    def _opened(self, asked: str) -> XenForeignMemory:
        if self._foreign is None:
            fmem = self._library.xenforeignmemory_open(self._connection.logger, 0)
            if fmem == self._ffi.NULL:
                raise self._failure("xenforeignmemory_open", asked)
            self._foreign = fmem
            self._connection.before_close(partial(self._library.xenforeignmemory_close, fmem))
        return self._foreign

    def _failure(self, function: str, asked: str) -> Exception:
        number = self._ffi.errno
        said = self._connection.drain_log()
        return call_failure(function, number, asked, said, self._connection.library.release)
