"""Calls that create, change, list and destroy domains."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from xenapic._xenctrl.since import FUNCTIONS
from xenapic.abi.connection import Calls, Connection, bounded
from xenapic.errors import CallFailed, DomainNotFound

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import DomainInfoStruct, VcpuInfoStruct

__all__ = ["DomainCalls"]

XEN_CPUID_TSC_MODE_NEVER_EMULATE = 2
"""``XEN_CPUID_TSC_MODE_NEVER_EMULATE`` (``xen/include/public/arch-x86/cpuid.h``), once called
``TSC_MODE_NEVER_EMULATE``."""

DOMID_ANY = 0x7FF5
"""``DOMID_ANY`` (``xen/include/public/xen.h``)."""

LAST_DOMID = 0x7FEF
"""The last number that a domain can have: ``DOMID_FIRST_RESERVED`` - 1."""

MOST_DOMAINS = 0x7FFF
"""All numbers that there are, less one: a list that is full has room for more."""

FIRST_LIST = 256
"""Room in the first list of domains. It doubles until all fit, so that one hypercall fills the list."""


INFO = "struct xen_domctl_getdomaininfo *"
HANDLE_BYTES = 16
ASKS_FOR_ONE, CREATES_ONE = "ask about domain {}", "create a domain"


def room_after(count: int) -> int:
    """Return the room for the next list: libxenctrl copies all of it, used or not."""
    return count + count // 4 + 8


class DomainCalls(Calls):
    """Domains by their numbers. Each method raises `DomainNotFound` when the domain does not exist."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._list_size = FIRST_LIST
        # What Xen did not fill is never read, so the array need not be cleared first.
        self._new_list = connection.ffi.new_allocator(should_clear_after_alloc=False)
        self._asks_for_one = connection.library.release.number >= FUNCTIONS["xc_domain_getinfo_single"]
        self._number_type = connection.ffi.typeof("uint32_t *")
        self._create_type = connection.ffi.typeof("struct xen_domctl_createdomain *")
        self._create = self._bound("xc_domain_create", CREATES_ONE)
        self._destroy = self._bound("xc_domain_destroy", "destroy domain {}")
        start = connection.ffi.offsetof(INFO.removesuffix(" *"), "handle")
        self._handle_at = slice(start, start + HANDLE_BYTES)
        if self._asks_for_one:
            self._info = self._asking("xc_domain_getinfo_single", ASKS_FOR_ONE, INFO)
        else:
            self._info_type = connection.ffi.typeof(INFO)
            self._list_one = self._bound("xc_domain_getinfolist", ASKS_FOR_ONE)

    @cached_property
    def config_fields(self) -> frozenset[str]:
        """The members that ``struct xen_domctl_createdomain`` has in this release."""
        return frozenset(name for name, _field in self._ffi.typeof("struct xen_domctl_createdomain").fields)

    def order(self, config: Mapping[str, object]) -> Any:
        """Return a pointer to ``struct xen_domctl_createdomain`` for `create`, which does not change it.

        ``config`` holds members that are in `config_fields`; the other members are 0.
        """
        return self._ffi.new(self._create_type, dict(config))

    def create(self, domid: int, order: Any, handle: bytes) -> int:
        """Create a domain with a handle (16 bytes) and return its number; 0 asks for any free one."""
        # Since 4.22, 0 means dom0; DOMID_ANY means "any" in every release.
        pdomid = self._ffi.new(self._number_type, domid or DOMID_ANY)
        struct = self._ffi.new(self._create_type, order[0])
        struct.handle = handle
        asked = f"create domain {domid}" if domid else CREATES_ONE
        create = self._bound("xc_domain_create", asked) if domid else self._create
        create(pdomid, struct)
        number: int = pdomid[0]
        if not 0 < number <= LAST_DOMID:
            raise CallFailed(
                "xc_domain_create", errno.EPROTO, f"{asked}: {number} was answered, which is none"
            )
        return number

    def destroy(self, domid: int) -> None:
        """Destroy a domain."""
        self._destroy(domid)

    def pause(self, domid: int) -> None:
        """Pause a domain; pauses are counted."""
        self._call("xc_domain_pause", "pause domain {}", domid)

    def unpause(self, domid: int) -> None:
        """Undo one pause."""
        self._call("xc_domain_unpause", "unpause domain {}", domid)

    def set_max_vcpus(self, domid: int, count: int) -> None:
        """Allocate a domain's vCPUs."""
        self._call("xc_domain_max_vcpus", "give domain {} {} vCPUs", domid, count)

    def set_max_memory(self, domid: int, kib: int) -> None:
        """Limit a domain's memory, in KiB."""
        self._call("xc_domain_setmaxmem", "limit domain {} to {} KiB", domid, kib)

    def set_native_tsc(self, domid: int) -> None:
        """Let a domain that has not run read the processor's own TSC."""
        asked, mode = "give domain {} the native TSC", XEN_CPUID_TSC_MODE_NEVER_EMULATE
        self._call("xc_domain_set_tsc_info", asked, domid, mode, 0, 0, 0)

    def set_handle(self, domid: int, handle: bytes) -> None:
        """Set a domain's handle (16 bytes)."""
        self._call("xc_domain_sethandle", "set the handle of domain {}", domid, handle)

    def info(self, domid: int) -> DomainInfoStruct:
        """Return ``struct xen_domctl_getdomaininfo`` of one domain."""
        info: DomainInfoStruct
        if self._asks_for_one:
            info = self._info(domid)
            return info
        # Older releases only return a list, which starts with the first domain at or above the number.
        info = self._ffi.new(self._info_type)
        count = self._list_one(domid, 1, info)
        if count != 1 or info.domain != domid:
            raise DomainNotFound("xc_domain_getinfolist", errno.ESRCH, ASKS_FOR_ONE.format(domid))
        return info

    def handle_of(self, domid: int) -> bytes:
        """Return a domain's handle (16 bytes)."""
        handle: bytes = self._ffi.buffer(self.info(domid))[self._handle_at]
        return handle

    def snapshot(self) -> tuple[Sequence[DomainInfoStruct], int]:
        """Return an array of ``struct xen_domctl_getdomaininfo`` and how many domains it holds.

        One hypercall fills it. The elements live as long as the array.
        """
        while True:
            room = self._list_size
            infos = self._new_list("struct xen_domctl_getdomaininfo[]", room)
            answer = self._call("xc_domain_getinfolist", "list the domains", 0, room, infos)
            count = bounded(answer, min(room, MOST_DOMAINS), "xc_domain_getinfolist")
            if count < room:
                self._list_size = room_after(count)
                return infos, count
            self._list_size = room * 2

    def vcpu(self, domid: int, vcpu: int) -> VcpuInfoStruct:
        """Return ``struct xen_domctl_getvcpuinfo``: where a vCPU is, and whether it runs."""
        info: VcpuInfoStruct = self._ffi.new("struct xen_domctl_getvcpuinfo *")
        self._call("xc_vcpu_getinfo", "ask about vCPU {1} of domain {0}", domid, vcpu, info)
        return info
