"""The commands by which a vCPU of the probe guest uses its APIC, by page or MSR as its state requires."""

from __future__ import annotations

from collections.abc import Iterator

from xenapic.apic.registers import INT_ASSERT, Reg, msr_of
from xenapic.apic.state import APIC_BASE_BSP, APIC_DEFAULT_PHYS_BASE, ApicState
from xenapic.frozen import dataclass
from xenapic.loader.acpi import apic_id
from xenapic.probe.mailbox import Command, CommandKind, EoiKind
from xenapic.probe.script import ENABLED, IA32_APIC_BASE, MASKED

__all__ = ["STARTUP", "Vcpu", "logical_id"]

INIT, STARTUP, AP_PAGE = 5 << 8, 6 << 8, 8
"""Delivery modes, and the page below 1 MiB that the guest has for vCPUs that start."""


def logical_id(vcpu: int) -> int:
    """Return the logical ID of a vCPU: in xAPIC mode the one that x2APIC mode would give it."""
    return 1 << apic_id(vcpu)


@dataclass(frozen=True)
class Vcpu:
    """What a vCPU can do in a state of its APIC."""

    number: int
    """0 for the one that starts the others."""
    state: ApicState

    def read(self, offset: int) -> Command:
        """Return the command that reads a register."""
        if self.state is ApicState.X2APIC:
            return Command(CommandKind.RDMSR, msr_of(offset), repeat=1, cpu=self.number)
        return Command(CommandKind.LOAD, APIC_DEFAULT_PHYS_BASE + offset, repeat=1, cpu=self.number)

    def write(
        self, offset: int, value: int, *, wait_for: int = 0, expected: int = 1, repeat: int = 1
    ) -> Command:
        """Return the command that writes a register."""
        kind = CommandKind.WRMSR if self.state is ApicState.X2APIC else CommandKind.STORE
        address = msr_of(offset) if self.state is ApicState.X2APIC else APIC_DEFAULT_PHYS_BASE + offset
        return Command(kind, address, value, repeat, wait_for, expected, self.number)

    def send(self, icr: int, destination: int, *, wait_for: int = 0, expected: int = 1) -> Iterator[Command]:
        """Yield the writes of the ICR; the last one sends."""
        if self.state is ApicState.X2APIC:
            icr |= destination << 32
        else:
            yield self.write(Reg.ICR2, destination << 24)
        yield self.write(Reg.ICR, icr, wait_for=wait_for, expected=expected)

    def setup(self) -> Iterator[Command]:
        """Yield what makes the vCPU accept interrupts and end them."""
        end = self.write(Reg.EOI, 0)
        kind = EoiKind.WRMSR if self.state is ApicState.X2APIC else EoiKind.STORE
        yield Command(CommandKind.EOI_BY, end.address, kind, repeat=1, cpu=self.number)
        yield from (self.write(Reg.SPIV, ENABLED), self.write(Reg.TASKPRI, 0))
        yield self.write(Reg.LVTT, MASKED)
        if self.state is not ApicState.X2APIC:
            yield from (self.write(Reg.LDR, logical_id(self.number) << 24), self.write(Reg.DFR, 0xFFFFFFFF))

    def base(self, state: ApicState) -> Command:
        """Return the command that changes the state."""
        value = state.apic_base & ~(APIC_BASE_BSP if self.number else 0)
        return Command(CommandKind.WRMSR, IA32_APIC_BASE, value, repeat=1, cpu=self.number)

    def start(self, other: int, *, init: bool = True) -> Iterator[Command]:
        """Yield what starts another vCPU; without INIT, only one that waits for SIPI starts."""
        for icr in (INIT, STARTUP | AP_PAGE) if init else (STARTUP | AP_PAGE,):
            yield from self.send(icr | INT_ASSERT, apic_id(other))
