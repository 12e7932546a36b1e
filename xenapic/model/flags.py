"""Xen's flag words and enumerations, named as in Xen's public headers without the prefixes.

The flag words are `enum.IntFlag`: they keep bits that a newer Xen defines, and `names` shows them.
``tests/abi`` compares every member with the constants of every release.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from xenapic.parse.flagnames import known_bits, names

__all__ = [
    "ALTP2M",
    "CDF",
    "DOMINF",
    "EMU",
    "IOMMU",
    "MISC",
    "PHYSCAP",
    "PHYSCAP_X86",
    "Shutdown",
    "known_bits",
    "names",
]


class CDF(IntFlag):
    """``XEN_DOMCTL_CDF_*``: ``createdomain.flags`` (``xen/include/public/domctl.h``)."""

    hvm = 1 << 0
    """A hardware-virtualised guest (HVM or PVH); without it, PV."""
    hap = 1 << 1
    """Hardware-assisted paging (EPT, NPT)."""
    s3_integrity = 1 << 2
    """Have tboot check the domain's memory across a suspend of the host."""
    oos_off = 1 << 3
    """Shadow paging without out-of-sync pages."""
    xs_domain = 1 << 4
    """The xenstore domain."""
    iommu = 1 << 5
    """Devices may be assigned to the domain."""
    nested_virt = 1 << 6
    """The guest may use VMX or SVM itself (nested virtualization)."""
    vpmu = 1 << 7
    """The guest has performance counters. Since 4.16."""
    trap_unmapped_accesses = 1 << 8
    """Arm: trap accesses to unmapped memory. Since 4.21; x86 refuses it."""


class IOMMU(IntFlag):
    """``XEN_DOMCTL_IOMMU_*``: ``createdomain.iommu_opts``."""

    no_sharept = 1 << 0
    """Do not share page tables between HAP and the IOMMU."""


class EMU(IntFlag):
    """``XEN_X86_EMU_*``: ``createdomain.arch.emulation_flags`` (``arch-x86/xen.h``)."""

    LAPIC = 1 << 0
    HPET = 1 << 1
    PM = 1 << 2
    RTC = 1 << 3
    IOAPIC = 1 << 4
    PIC = 1 << 5
    VGA = 1 << 6
    IOMMU = 1 << 7
    PIT = 1 << 8
    USE_PIRQ = 1 << 9
    VPCI = 1 << 10


class MISC(IntFlag):
    """``XEN_X86_*``: ``createdomain.arch.misc_flags`` (``arch-x86/xen.h``)."""

    MSR_RELAXED = 1 << 0
    """Reading an MSR that Xen does not handle returns 0 instead of faulting, if the processor has the MSR."""
    ASSISTED_XAPIC = 1 << 1
    """Virtualize APIC accesses for this domain. Only in 4.17.0-rc1 to rc3."""
    ASSISTED_X2APIC = 1 << 2
    """Virtualize x2APIC mode for this domain. Only in 4.17.0-rc1 to rc3."""


class ALTP2M(IntEnum):
    """``XEN_DOMCTL_ALTP2M_*``: who may use alternate physical-to-machine tables. Since 4.19."""

    disabled = 0
    mixed = 1
    external = 2
    limited = 3


class PHYSCAP(IntFlag):
    """``XEN_SYSCTL_PHYSCAP_*``: ``physinfo.capabilities`` (``xen/include/public/sysctl.h``)."""

    hvm = 1 << 0
    pv = 1 << 1
    directio = 1 << 2
    hap = 1 << 3
    shadow = 1 << 4
    iommu_hap_pt_share = 1 << 5
    vmtrace = 1 << 6
    vpmu = 1 << 7
    """Since 4.16."""
    gnttab_v1 = 1 << 8
    """Since 4.16."""
    gnttab_v2 = 1 << 9
    """Since 4.16."""


class PHYSCAP_X86(IntFlag):
    """``XEN_SYSCTL_PHYSCAP_X86_*``: ``physinfo.arch_capabilities``; only 4.17.0-rc1 to rc3 set any bit."""

    ASSISTED_XAPIC = 1 << 0
    """The host can virtualize APIC accesses."""
    ASSISTED_X2APIC = 1 << 1
    """The host has x2APIC mode and register virtualization or virtual-interrupt delivery."""


class DOMINF(IntFlag):
    """``XEN_DOMINF_*``: the low half of ``getdomaininfo.flags``."""

    dying = 1 << 0
    hvm_guest = 1 << 1
    shutdown = 1 << 2
    paused = 1 << 3
    blocked = 1 << 4
    running = 1 << 5
    debugged = 1 << 6
    xs_domain = 1 << 7
    hap = 1 << 8


DOMINF_shutdownshift = 16
DOMINF_shutdownmask = 0xFF


class Shutdown(IntEnum):
    """``SHUTDOWN_*``: the reason why a domain shut down (``xen/include/public/sched.h``)."""

    poweroff = 0
    reboot = 1
    suspend = 2
    crash = 3
    watchdog = 4
    soft_reset = 5
