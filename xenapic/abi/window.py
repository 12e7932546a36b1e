"""A page of another domain that stays mapped for a while: a guest's console ring."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import starmap
from typing import TYPE_CHECKING, Any

from xenapic.abi.forks import left_to_parent

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import XenForeignMemory
    from xenapic.abi.connection import Connection

__all__ = ["Window"]


class Window:
    """A mapped page. While it is mapped, Xen does not free the domain's memory: close it soon after its end.

    Numbers are read and written with one load or store each, because the guest changes them meanwhile.
    """

    def __init__(self, connection: Connection, fmem: XenForeignMemory) -> None:
        self._ffi = connection.ffi
        self._library = connection.library.foreign
        self._fmem = fmem
        self._mapping: list[Any] = []
        left_to_parent(self)
        self._connection = connection
        self._closer = partial(_close, self._library, fmem, self._mapping)
        connection.before_close(self._closer)

    def map(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Map the page; `closed` says whether it failed."""
        # In one step, so that Ctrl-C cannot strike while nobody holds the address.
        self._mapping.extend(starmap(function, [(self._fmem, *arguments)]))
        if self._mapping[0] == self._ffi.NULL:
            self._mapping.clear()

    @property
    def closed(self) -> bool:
        """Whether nothing is mapped."""
        return not self._mapping

    def number(self, at: int) -> int:
        """Return the 32-bit number at an offset that is a multiple of 4."""
        return int(self._words()[at // 4])

    def set_number(self, at: int, value: int) -> None:
        """Write a 32-bit number at an offset that is a multiple of 4."""
        self._words()[at // 4] = value

    def read(self, at: int, size: int) -> bytes:
        """Return bytes of the page."""
        return bytes(self._ffi.buffer(self._start() + at, size))

    def write(self, at: int, data: bytes) -> None:
        """Write bytes into the page."""
        self._ffi.memmove(self._start() + at, data, len(data))

    def close(self) -> None:
        """Unmap the page; a second call does nothing."""
        self._connection.no_longer_before_close(self._closer)
        self._closer()

    def leave_to_parent(self) -> None:
        """Forget the page in a forked child, which does not have the mapping."""
        self._mapping.clear()

    def _start(self) -> Any:
        if not self._mapping:
            raise ValueError("the page is no longer mapped")
        return self._ffi.cast("char *", self._mapping[0])

    def _words(self) -> Any:
        return self._ffi.cast("volatile uint32_t *", self._start())


def _close(library: Any, fmem: XenForeignMemory, mapping: list[Any]) -> None:
    if mapping:
        library.xenforeignmemory_unmap(fmem, mapping.pop(), 1)
