"""What the processor offers to run a guest's local APIC in hardware. Pure data.

Sources: Intel SDM volume 3C, "VM-execution control fields" and "APIC
virtualization and virtual interrupts"; AMD APM volume 2, section 15.29.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["FEATURES", "Feature", "Technology", "feature"]


class Technology(Enum):
    """The processor's virtualisation extension."""

    VMX = "VMX"
    SVM = "SVM"


@dataclass(frozen=True, slots=True)
class Feature:
    """One control (Intel) or CPUID feature (AMD)."""

    key: str
    """Short name used in programs and in JSON."""
    name: str
    """The SDM's or APM's name."""
    technology: Technology
    field: str
    """VM-execution control field, or CPUID leaf and register."""
    bit: int
    capability: str
    """Where the processor says that it has it."""


PIN, PRIMARY = ("pin-based", "MSR 0x481, 0x48D"), ("primary", "MSR 0x482, 0x48E")
SECONDARY, TERTIARY = ("secondary", "MSR 0x48B"), ("tertiary", "MSR 0x492")
SVM_LEAF = ("CPUID 8000000A EDX", "CPUID 8000000A EDX")


def _vmx(key: str, name: str, where: tuple[str, str], bit: int) -> Feature:
    return Feature(key, name, Technology.VMX, where[0], bit, where[1])


FEATURES = (
    _vmx("external_interrupt_exiting", "external-interrupt exiting", PIN, 0),
    _vmx("posted_interrupts", "process posted interrupts", PIN, 7),
    _vmx("cr8_load_exiting", "CR8-load exiting", PRIMARY, 19),
    _vmx("cr8_store_exiting", "CR8-store exiting", PRIMARY, 20),
    _vmx("tpr_shadow", "use TPR shadow", PRIMARY, 21),
    _vmx("msr_bitmaps", "use MSR bitmaps", PRIMARY, 28),
    _vmx("tertiary_controls", "activate tertiary controls", PRIMARY, 17),
    _vmx("secondary_controls", "activate secondary controls", PRIMARY, 31),
    _vmx("virtualize_apic_accesses", "virtualize APIC accesses", SECONDARY, 0),
    _vmx("virtualize_x2apic_mode", "virtualize x2APIC mode", SECONDARY, 4),
    _vmx("apic_register_virtualization", "APIC-register virtualization", SECONDARY, 8),
    _vmx("virtual_interrupt_delivery", "virtual-interrupt delivery", SECONDARY, 9),
    _vmx("ipi_virtualization", "IPI virtualization", TERTIARY, 4),
    Feature("avic", "AVIC", Technology.SVM, SVM_LEAF[0], 13, SVM_LEAF[1]),
    Feature("x2avic", "x2AVIC", Technology.SVM, SVM_LEAF[0], 18, SVM_LEAF[1]),
)
"""Every feature that bears on APIC acceleration, in the order in which it is shown."""


def feature(key: str) -> Feature:
    """Return the feature of that key; raise KeyError when there is none."""
    for row in FEATURES:
        if row.key == key:
            return row
    raise KeyError(key)
