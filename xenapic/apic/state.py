"""The states of a guest's local APIC that the hardware and Xen distinguish.

Source: Intel SDM volume 3A, "Local APIC status and location" (IA32_APIC_BASE, MSR 1BH).
"""

from __future__ import annotations

from enum import Enum

__all__ = ["APIC_DEFAULT_PHYS_BASE", "ApicState"]

APIC_DEFAULT_PHYS_BASE = 0xFEE00000
APIC_BASE_BSP, APIC_BASE_EXTD, APIC_BASE_ENABLE = 1 << 8, 1 << 10, 1 << 11
APIC_BASE_ADDR_MASK = 0xFFFFFF000
RELOCATED_BASE = 0xFED00000


class ApicState(Enum):
    """The state that IA32_APIC_BASE sets, by the name used in recordings."""

    DISABLED = "disabled"
    """Bit 11 is 0: the APIC is hardware-disabled."""
    XAPIC = "xapic"
    """xAPIC mode at the default base, 0xFEE00000."""
    X2APIC = "x2apic"
    RELOCATED = "xapic-relocated"
    """xAPIC mode at another base."""

    @property
    def apic_base(self) -> int:
        """A value of IA32_APIC_BASE for this state, for the boot processor."""
        return _APIC_BASE[self]

    @classmethod
    def from_apic_base(cls, value: int) -> ApicState:
        """Return the state for a value of IA32_APIC_BASE."""
        if not value & APIC_BASE_ENABLE:
            return cls.DISABLED
        if value & APIC_BASE_EXTD:
            return cls.X2APIC
        return cls.XAPIC if value & APIC_BASE_ADDR_MASK == APIC_DEFAULT_PHYS_BASE else cls.RELOCATED


_APIC_BASE = {
    ApicState.DISABLED: APIC_DEFAULT_PHYS_BASE | APIC_BASE_BSP,
    ApicState.XAPIC: APIC_DEFAULT_PHYS_BASE | APIC_BASE_BSP | APIC_BASE_ENABLE,
    ApicState.X2APIC: APIC_DEFAULT_PHYS_BASE | APIC_BASE_BSP | APIC_BASE_ENABLE | APIC_BASE_EXTD,
    ApicState.RELOCATED: RELOCATED_BASE | APIC_BASE_BSP | APIC_BASE_ENABLE,
}
