"""The local APIC's registers: where each is, and what the architecture lets software do with it.

Sources: Intel SDM volume 3A, table "Local APIC register address map" (xAPIC) and table
"Local APIC register address map supported by x2APIC".
"""

from __future__ import annotations

from dataclasses import dataclass

from xenapic.apic.state import ApicState

__all__ = [
    "MSR_X2APIC_FIRST",
    "MSR_X2APIC_LAST",
    "REGISTERS",
    "SLOTS",
    "Register",
    "msr_of",
    "offset_of",
    "register",
]

MSR_X2APIC_FIRST, MSR_X2APIC_LAST = 0x800, 0x8FF
SLOTS = range(0, 0x1000, 0x10)
"""Every place of a register: 16 bytes each of the page, and one MSR each of 800H to 8FFH."""


@dataclass(frozen=True, slots=True)
class Register:
    """One register. The rights are ``"r"``, ``"w"``, ``"rw"``, or empty where it does not exist."""

    offset: int
    """Byte offset in the xAPIC page; the MSR is 800H + offset / 16."""
    symbol: str
    """As Xen's ``apicdef.h`` has it, without ``APIC_``."""
    name: str
    xapic: str
    x2apic: str

    @property
    def msr(self) -> int:
        """The register's x2APIC MSR."""
        return msr_of(self.offset)

    def rights(self, state: ApicState) -> str:
        """Return what software may do with it in a state: by MSR in x2APIC mode, else in the page."""
        return self.x2apic if state is ApicState.X2APIC else self.xapic

    @property
    def exists(self) -> bool:
        """Whether the architecture has such a register in either mode."""
        return bool(self.xapic or self.x2apic)


def _block(offset: int, symbol: str, name: str) -> tuple[Register, ...]:
    """Return eight registers of 32 vectors each."""
    return tuple(
        Register(
            offset + 0x10 * number,
            f"{symbol}{number}",
            f"{name}, vectors {32 * number} to {32 * number + 31}",
            "r",
            "r",
        )
        for number in range(8)
    )


REGISTERS: dict[int, Register] = {
    one.offset: one
    for one in (
        Register(0x020, "ID", "local APIC ID", "rw", "r"),
        Register(0x030, "LVR", "local APIC version", "r", "r"),
        Register(0x080, "TASKPRI", "task priority (TPR)", "rw", "rw"),
        Register(0x090, "ARBPRI", "arbitration priority (APR)", "r", ""),
        Register(0x0A0, "PROCPRI", "processor priority (PPR)", "r", "r"),
        Register(0x0B0, "EOI", "end of interrupt", "w", "w"),
        Register(0x0C0, "RRR", "remote read", "r", ""),
        Register(0x0D0, "LDR", "logical destination", "rw", "r"),
        Register(0x0E0, "DFR", "destination format", "rw", ""),
        Register(0x0F0, "SPIV", "spurious-interrupt vector", "rw", "rw"),
        *_block(0x100, "ISR", "in-service"),
        *_block(0x180, "TMR", "trigger mode"),
        *_block(0x200, "IRR", "interrupt request"),
        Register(0x280, "ESR", "error status", "rw", "rw"),
        Register(0x2F0, "CMCI", "LVT corrected machine check interrupt", "rw", "rw"),
        Register(0x300, "ICR", "interrupt command, low; the whole in x2APIC mode", "rw", "rw"),
        Register(0x310, "ICR2", "interrupt command, high", "rw", ""),
        Register(0x320, "LVTT", "LVT timer", "rw", "rw"),
        Register(0x330, "LVTTHMR", "LVT thermal sensor", "rw", "rw"),
        Register(0x340, "LVTPC", "LVT performance monitoring", "rw", "rw"),
        Register(0x350, "LVT0", "LVT LINT0", "rw", "rw"),
        Register(0x360, "LVT1", "LVT LINT1", "rw", "rw"),
        Register(0x370, "LVTERR", "LVT error", "rw", "rw"),
        Register(0x380, "TMICT", "timer initial count", "rw", "rw"),
        Register(0x390, "TMCCT", "timer current count", "r", "r"),
        Register(0x3E0, "TDCR", "timer divide configuration", "rw", "rw"),
        Register(0x3F0, "SELF_IPI", "self IPI", "", "w"),
    )
}
"""By offset; a slot that is not here is reserved in both modes."""


def register(offset: int) -> Register:
    """Return the register of a slot, a reserved one for a slot that has none."""
    return REGISTERS.get(offset) or Register(offset, "", "reserved", "", "")


def msr_of(offset: int) -> int:
    """Return the x2APIC MSR of an offset in the page."""
    return MSR_X2APIC_FIRST + (offset >> 4)


def offset_of(msr: int) -> int:
    """Return the offset in the page of an x2APIC MSR; raise ValueError outside 800H to 8FFH."""
    if not MSR_X2APIC_FIRST <= msr <= MSR_X2APIC_LAST:
        raise ValueError(f"MSR {msr:#x} is none of the local APIC's (800H to 8FFH)")
    return (msr - MSR_X2APIC_FIRST) << 4
