"""What Xen does with an APIC access that left the guest.

Sources, in Xen: ``vlapic_mmio_read``, ``vlapic_mmio_write``, ``vlapic_range``,
``guest_rdmsr_x2apic``, ``guest_wrmsr_x2apic`` (``xen/arch/x86/hvm/vlapic.c``); the same in 4.15 to 4.22.
"""

from __future__ import annotations

from enum import Enum

from xenapic.apic.access import Kind, Operation, Outcome
from xenapic.apic.registers import REGISTERS
from xenapic.apic.state import ApicState

__all__ = ["X2APIC_READABLE", "X2APIC_WRITABLE", "Emulated", "emulate", "guest_faults"]


class Emulated(Enum):
    """What the guest gets."""

    DONE = "done"
    """The register is read or written as Xen's APIC has it."""
    IGNORED = "ignored"
    """A write without effect; a read returns what is there, mostly 0."""
    FAULT = "#GP(0)"
    ABSENT = "no APIC"
    """No APIC answers at this address: a device model may; without one reads return all ones."""


X2APIC_READABLE = frozenset(offset for offset, row in REGISTERS.items() if "r" in row.x2apic)
"""``guest_rdmsr_x2apic``: exactly the registers that the architecture lets software read."""
X2APIC_WRITABLE = frozenset(offset for offset, row in REGISTERS.items() if "w" in row.x2apic)
"""``guest_wrmsr_x2apic``: exactly the registers that the architecture lets software write."""

MMIO_WRITABLE = frozenset(offset for offset, row in REGISTERS.items() if "w" in row.xapic and offset != 0x2F0)
"""``vlapic_reg_write``; anything else that is written to the page has no effect (CMCI is not there)."""
MUST_BE_ZERO = (0x0B0, 0x280)
"""EOI and ESR take nothing but 0 in x2APIC mode."""


def emulate(state: ApicState, offset: int, operation: Operation, value: int | None = None) -> Emulated:
    """Return what Xen makes of an access to a register that left the guest."""
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
    if operation is Operation.WRITE and offset in MUST_BE_ZERO and value:
        return Emulated.FAULT
    return Emulated.DONE


def guest_faults(
    outcome: Outcome, state: ApicState, offset: int, operation: Operation, value: int | None = None
) -> bool:
    """Tell whether the guest sees #GP(0), from the processor or from Xen."""
    if outcome.kind.leaves:
        return emulate(state, offset, operation, value) is Emulated.FAULT
    return outcome.kind is Kind.FAULTS
