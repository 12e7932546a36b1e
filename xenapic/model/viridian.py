"""Viridian's groups of enlightenments: what xl.cfg's ``viridian=`` may name, the same in Xen 4.15 to 4.22."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["DEFAULT_GROUPS", "GROUPS", "viridian_mask"]

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
NEGATED = "freq"
"""Its bit, ``HVMPV_no_freq``, is set when the group is off."""


def viridian_mask(groups: Collection[str]) -> int:
    """Return ``HVM_PARAM_VIRIDIAN`` for enabled groups; 0 without the group base.

    The bits are in the order of `GROUPS` (``xen/include/public/hvm/params.h``).
    """
    if GROUPS[0] not in groups:
        return 0
    return sum(1 << bit for bit, name in enumerate(GROUPS) if (name in groups) is not (name == NEGATED))
