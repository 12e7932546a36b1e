"""What Xen does with an APIC access that caused a VM exit.

Sources, in Xen: ``guest_wrmsr_apic_base``, ``vlapic_mmio_read``, ``vlapic_mmio_write``, ``vlapic_range``,
``guest_rdmsr_x2apic``, ``guest_wrmsr_x2apic`` (``xen/arch/x86/hvm/vlapic.c``).
All are the same in 4.15 to 4.22.
"""

from __future__ import annotations

from enum import Enum

from xenapic.apic.outcome import Kind, Operation, Outcome
from xenapic.apic.registers import REGISTERS, Reg
from xenapic.apic.state import (
    APIC_BASE_ADDR_MASK,
    APIC_BASE_BSP,
    APIC_BASE_ENABLE,
    APIC_BASE_EXTD,
    APIC_DEFAULT_PHYS_BASE,
    ApicState,
)

__all__ = [
    "X2APIC_READABLE",
    "X2APIC_WRITABLE",
    "Emulated",
    "apic_base_faults",
    "emulate",
    "guest_faults",
]


class Emulated(Enum):
    """The result that the guest sees."""

    DONE = "done"
    """Xen's emulated APIC reads or writes the register."""
    IGNORED = "ignored"
    """A write has no effect; a read returns the stored value, usually 0."""
    FAULT = "#GP(0)"
    ABSENT = "no APIC"
    """No APIC answers at this address. A device model may; without one, reads return all ones."""


X2APIC_READABLE = frozenset(offset for offset, row in REGISTERS.items() if "r" in row.x2apic)
"""``guest_rdmsr_x2apic``: exactly the registers that software may read by the architecture."""
X2APIC_WRITABLE = frozenset(offset for offset, row in REGISTERS.items() if "w" in row.x2apic)
"""``guest_wrmsr_x2apic``: exactly the registers that software may write by the architecture."""

MMIO_WRITABLE = frozenset(
    offset for offset, row in REGISTERS.items() if "w" in row.xapic and offset != Reg.CMCI
)
"""``vlapic_reg_write``; a write to any other offset has no effect (CMCI is missing there)."""
LVT_BITS, DELIVERY_MODE, TIMER_MODE = 1 << 16 | 1 << 12 | 0xFF, 0x700, 3 << 17
LINT_BITS = LVT_BITS | DELIVERY_MODE | 1 << 13 | 1 << 14 | 1 << 15
ANY = (1 << 64) - 1
X2APIC_WRITE_BITS: dict[int, int] = {
    Reg.TASKPRI: 0xFF,
    Reg.EOI: 0,
    Reg.SPIV: 0x3FF,
    Reg.ESR: 0,
    Reg.CMCI: LVT_BITS | DELIVERY_MODE,
    Reg.ICR: 0xFFFFFFFF << 32 | 0xC0000 | 0xC000 | 0x800 | DELIVERY_MODE | 0xFF,
    Reg.LVTT: LVT_BITS | TIMER_MODE,
    Reg.LVTTHMR: LVT_BITS | DELIVERY_MODE,
    Reg.LVTPC: LVT_BITS | DELIVERY_MODE,
    Reg.LVT0: LINT_BITS,
    Reg.LVT1: LINT_BITS,
    Reg.LVTERR: LVT_BITS,
    Reg.TMICT: ANY,
    Reg.TDCR: 0xB,
    Reg.SELF_IPI: 0xFF,
}
"""The bits that ``guest_wrmsr_x2apic`` accepts; any other bit that is set causes #GP(0)."""


def emulate(state: ApicState, offset: int, operation: Operation, value: int | None = None) -> Emulated:
    """Return what Xen does with an access to a register that caused a VM exit."""
    if state is ApicState.X2APIC:
        return _emulate_msr(offset, operation, value)
    if state is ApicState.DISABLED:
        return Emulated.ABSENT
    if operation is Operation.WRITE:
        return Emulated.DONE if offset in MMIO_WRITABLE else Emulated.IGNORED
    return Emulated.DONE if offset in REGISTERS else Emulated.IGNORED


def _emulate_msr(offset: int, operation: Operation, value: int | None) -> Emulated:
    allowed = X2APIC_READABLE if operation is Operation.READ else X2APIC_WRITABLE
    if offset not in allowed:
        return Emulated.FAULT
    if operation is Operation.WRITE and (value or 0) & ~X2APIC_WRITE_BITS[offset]:
        return Emulated.FAULT
    return Emulated.DONE


def guest_faults(
    outcome: Outcome, state: ApicState, offset: int, operation: Operation, value: int | None = None
) -> bool:
    """Return True if the guest gets #GP(0), from the processor or from Xen."""
    if outcome.kind.leaves:
        return emulate(state, offset, operation, value) is Emulated.FAULT
    return outcome.kind is Kind.FAULTS


APIC_BASE_KNOWN = APIC_BASE_ADDR_MASK | APIC_BASE_BSP | APIC_BASE_EXTD | APIC_BASE_ENABLE
MODE = APIC_BASE_ENABLE | APIC_BASE_EXTD


def apic_base_faults(before: int, value: int, *, x2apic: bool = True) -> bool:
    """Return True if a guest's WRMSR of IA32_APIC_BASE causes #GP(0).

    ``x2apic`` means that the guest sees x2APIC in CPUID. In xAPIC mode the base must be the
    default (3b5e03b939, in every release here); in x2APIC mode and while disabled any base is accepted.
    """
    known = APIC_BASE_KNOWN if x2apic else APIC_BASE_KNOWN & ~APIC_BASE_EXTD
    if value & ~known:
        return True
    if value & MODE == APIC_BASE_ENABLE and value & APIC_BASE_ADDR_MASK != APIC_DEFAULT_PHYS_BASE:
        return True
    changed = before ^ value
    if changed & APIC_BASE_ENABLE:
        return bool(value & APIC_BASE_EXTD)
    return bool(changed & APIC_BASE_EXTD) and before & MODE != APIC_BASE_ENABLE
