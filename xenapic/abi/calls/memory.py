"""Calls that give a guest memory, and read and write it."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from functools import partial
from itertools import starmap
from typing import TYPE_CHECKING, Any, TypeVar

from xenapic.abi.connection import Calls, Connection
from xenapic.abi.failures import call_failure

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
