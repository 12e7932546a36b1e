"""What accesses to the APIC page find there whose width or place is unusual: the page, simulated.

Sources, in Xen (``xen/arch/x86/hvm/vlapic.c``, the same in 4.15 to 4.22): ``vlapic_mmio_read`` and
``vlapic_mmio_write`` take an access that lies within a register's 32 bits, and ignore any other;
``vlapic_apicv_write`` completes a write by the offset that the processor reports, which names a register only
if the write started where the register does. In x2APIC mode it completes none: there the page is virtualized
only where a Xen has VMX without x2APIC mode.
"""

from __future__ import annotations

from xenapic.apic.outcome import Kind, Outcome
from xenapic.apic.registers import PAGE_SIZE, Reg
from xenapic.apic.state import ApicState

__all__ = ["SimulatedPage", "is_lost", "within_register"]

REGISTER_BYTES = 4
LVT_MASKED, SPIV_ENABLED = 1 << 16, 1 << 8


def within_register(address: int, width: int) -> bool:
    """Return True if an access of ``width`` bits lies within the 32 bits of one register."""
    return address % 16 + width // 8 <= REGISTER_BYTES


def is_lost(outcome: Outcome, address: int, state: ApicState = ApicState.XAPIC) -> bool:
    """Return True if Xen does nothing about a write that the processor has put into the page."""
    return outcome.kind is Kind.EXITS_AFTER and (address % 16 != 0 or state is not ApicState.XAPIC)


class SimulatedPage:
    """The page at 0xFEE00000 of a guest, as the guest sees it; ``version`` is its version register."""

    def __init__(self, state: ApicState, version: int) -> None:
        self._state = state
        self._memory = bytearray(PAGE_SIZE)
        self._registers = {int(Reg.LVR): version, int(Reg.SPIV): SPIV_ENABLED | 0xFF}

    def read(self, outcome: Outcome, address: int, width: int) -> int | None:
        """Return the value of a read; None if it was never written here."""
        size = width // 8
        if outcome.kind is Kind.MEMORY:
            return int.from_bytes(self._memory[address : address + size], "little")
        if outcome.kind.leaves and self._state is not ApicState.XAPIC:
            return (1 << width) - 1  # nobody answers
        if not within_register(address, width):
            return 0
        value = self._registers.get(address & ~0xF)
        return None if value is None else value >> 8 * (address % 16) & ((1 << width) - 1)

    def write(self, outcome: Outcome, address: int, width: int, value: int) -> None:
        """Take a write in."""
        data = value.to_bytes(width // 8, "little")
        if outcome.kind is Kind.MEMORY:
            self._memory[address : address + len(data)] = data
        if outcome.kind is Kind.MEMORY or not within_register(address, width):
            return
        if outcome.kind is Kind.EXITS_BEFORE and self._state is not ApicState.XAPIC:
            return
        offset, at = address & ~0xF, address % 16
        merged = bytearray(self._registers.get(offset, 0).to_bytes(REGISTER_BYTES, "little"))
        merged[at : at + len(data)] = data
        new, lost = int.from_bytes(merged, "little"), is_lost(outcome, address, self._state)
        self._registers[offset] = new & 0xFF if offset == Reg.TASKPRI and not lost else new
        if offset == Reg.SPIV and not lost and not new & SPIV_ENABLED:
            self._registers[Reg.LVTT] = self._registers.get(Reg.LVTT, 0) | LVT_MASKED
