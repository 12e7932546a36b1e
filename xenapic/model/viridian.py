"""Viridian's groups of enlightenments: what xl.cfg's ``viridian=`` may name, the same in Xen 4.15 to 4.22."""

from __future__ import annotations

__all__ = ["DEFAULT_GROUPS", "GROUPS"]

GROUPS = (
    "base",
    "freq",
    "time_ref_count",
    "reference_tsc",
    "hcall_remote_tlb_flush",
    "apic_assist",
    "crash_ctl",
    "synic",
    "stimer",
    "hcall_ipi",
    "ex_processor_masks",
    "no_vp_limit",
    "cpu_hotplug",
)
"""``libxl_viridian_enlightenment``, tools/libs/light/libxl_types.idl."""
DEFAULT_GROUPS = ("base", "freq", "time_ref_count", "apic_assist", "crash_ctl", "no_vp_limit", "cpu_hotplug")
"""What ``viridian=1`` enables: ``hvm_set_viridian_features``, tools/libs/light/libxl_x86.c."""
