"""How the fields of our values are computed from Xen's structures: ``sysctl.h``, ``domctl.h``."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING
from uuid import UUID

from xenapic.model.flags import (
    DOMINF,
    EMU,
    MISC,
    PHYSCAP,
    PHYSCAP_X86,
    DOMINF_shutdownmask,
    DOMINF_shutdownshift,
    Shutdown,
)

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import DomainInfoStruct, PhysInfoStruct
    from xenapic.model.rows import Converters

__all__ = ["DOMAIN_INFO", "PHYSINFO"]

XEN_INVALID_MAX_VCPU_ID = 0xFFFFFFFF
"""The number in ``max_vcpu_id`` of a domain that has no vCPUs yet."""

SHUTDOWNS = {int(reason): reason for reason in Shutdown}


def _arch_capabilities(raw: PhysInfoStruct) -> PHYSCAP_X86 | None:
    word = getattr(raw, "arch_capabilities", None)
    return None if word is None else PHYSCAP_X86(word)


PHYSINFO: Converters = {
    **{
        name: attrgetter(name)
        for name in (
            "threads_per_core",
            "cores_per_socket",
            "nr_cpus",
            "max_cpu_id",
            "nr_nodes",
            "max_node_id",
            "cpu_khz",
            "total_pages",
            "free_pages",
            "scrub_pages",
            "outstanding_pages",
            "max_mfn",
        )
    },
    "capabilities": lambda raw: PHYSCAP(raw.capabilities),
    "arch_capabilities": _arch_capabilities,
    "hw_cap": lambda raw: tuple(raw.hw_cap),
}
"""The fields of `xenapic.PhysInfo` from ``struct xen_sysctl_physinfo``."""


def _shutdown_reason(raw: DomainInfoStruct) -> Shutdown | int | None:
    if not raw.flags & DOMINF.shutdown:
        return None
    number = raw.flags >> DOMINF_shutdownshift & DOMINF_shutdownmask
    return SHUTDOWNS.get(number, number)


DOMINF_BITS = (1 << DOMINF_shutdownshift) - 1

DOMAIN_INFO: Converters = {
    **{
        name: attrgetter(name)
        for name in (
            "tot_pages",
            "max_pages",
            "outstanding_pages",
            "shr_pages",
            "paged_pages",
            "shared_info_frame",
            "cpu_time",
            "nr_online_vcpus",
            "ssidref",
            "cpupool",
        )
    },
    "domid": attrgetter("domain"),
    "flags": lambda raw: DOMINF(raw.flags & DOMINF_BITS),
    "shutdown_reason": _shutdown_reason,
    "max_vcpu_id": lambda raw: -1 if raw.max_vcpu_id == XEN_INVALID_MAX_VCPU_ID else raw.max_vcpu_id,
    "handle": lambda raw: UUID(bytes=bytes(raw.handle)),
    "gpaddr_bits": lambda raw: getattr(raw, "gpaddr_bits", None),
    "emulation_flags": lambda raw: EMU(raw.arch_config.emulation_flags),
    "misc_flags": lambda raw: MISC(raw.arch_config.misc_flags),
}
"""The fields of `xenapic.DomainInfo` from ``struct xen_domctl_getdomaininfo``."""
