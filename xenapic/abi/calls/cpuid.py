"""Calls about the CPUID that a domain sees, of libxenguest.

xc_cpuid_apply_policy, which toolstacks call, is not used: it got an argument in 4.15.5, 4.16.5 and 4.17.2,
while the library's name stayed.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from xenapic.abi.connection import Calls, Connection, bounded
from xenapic.abi.failures import call_failure
from xenapic.errors import CallFailed

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import CpuPolicy, LibXenGuest, XcInterface

__all__ = ["CPUID_SINCE", "CpuidCalls"]

CPUID_SINCE = (4, 16)
"""The first release that has the calls."""
MOST_LEAVES = 1 << 12
"""More than any processor has; Xen's own limit is some 200."""


class CpuidCalls(Calls):
    """The CPUID of a domain that has not run."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._library = connection.library

    def hide(self, domid: int, leaf: int, register: str, bit: int) -> None:
        """Clear a bit of what a domain sees: of register ``a`` to ``d`` of a leaf, in its first subleaf.

        Raises `LibraryNotFound` without libxenguest, and `CallFailed`.
        """
        guest = self._library.guest
        policy = guest.xc_cpu_policy_init()
        if policy == self._ffi.NULL:
            raise CallFailed("xc_cpu_policy_init", self._ffi.errno, "make room for a CPUID policy")
        try:
            self._connection.exclusively(self._hide, guest, policy, domid, leaf, register, bit)
        finally:
            guest.xc_cpu_policy_destroy(policy)

    def _hide(
        self,
        xch: XcInterface,
        guest: LibXenGuest,
        policy: CpuPolicy,
        domid: int,
        leaf: int,
        register: str,
        bit: int,
    ) -> None:
        self._made("xc_cpu_policy_get_domain", guest.xc_cpu_policy_get_domain(xch, domid, policy), domid)
        leaves, count = self._leaves(xch, guest, policy, domid)
        for number in range(count):
            if leaves[number].leaf == leaf:
                word = getattr(leaves[number], register)
                setattr(leaves[number], register, word & ~(1 << bit))
                changed = guest.xc_cpu_policy_update_cpuid(xch, policy, leaves + number, 1)
                self._made("xc_cpu_policy_update_cpuid", changed, domid)
                self._made(
                    "xc_cpu_policy_set_domain", guest.xc_cpu_policy_set_domain(xch, domid, policy), domid
                )
                return
        what = f"find CPUID leaf {leaf:#x} of domain {domid}"
        raise CallFailed("xc_cpu_policy_serialise", errno.EPROTO, what)

    def _leaves(self, xch: XcInterface, guest: LibXenGuest, policy: CpuPolicy, domid: int) -> tuple[Any, int]:
        """Return the leaves of a policy, and how many there are."""
        sizes = self._ffi.new("uint32_t[2]")
        self._made("xc_cpu_policy_get_size", guest.xc_cpu_policy_get_size(xch, sizes, sizes + 1), domid)
        room = bounded(sizes[0], MOST_LEAVES, "xc_cpu_policy_get_size")
        leaves = self._ffi.new("xen_cpuid_leaf_t[]", room)
        sizes[0], sizes[1] = room, 0
        done = guest.xc_cpu_policy_serialise(xch, policy, leaves, sizes, self._ffi.NULL, sizes + 1)
        self._made("xc_cpu_policy_serialise", done, domid)
        return leaves, bounded(sizes[0], room, "xc_cpu_policy_serialise")

    def _made(self, function: str, result: int, domid: int) -> None:
        """Raise what the failure of a call means."""
        if result < 0:
            number, said = self._ffi.errno, self._connection.drain_log()
            asked = f"change the CPUID of domain {domid}"
            raise call_failure(function, number, asked, said, self._library.release)
