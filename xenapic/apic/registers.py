"""The local APIC's registers: the offset, MSR and name of each, and how software may access it.

Sources: Intel SDM volume 3A, table "Local APIC register address map" (xAPIC) and table
"Local APIC register address map supported by x2APIC"; the symbols are from Xen's
``xen/arch/x86/include/asm/apicdef.h``, without ``APIC_``.
"""

from __future__ import annotations

from enum import IntEnum

from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass

__all__ = [
    "BITMAPS",
    "DEST_ALLINC",
    "DEST_SELF",
    "FIRST_RESERVED",
    "INT_ASSERT",
    "LVT",
    "MSR_X2APIC_FIRST",
    "MSR_X2APIC_LAST",
    "OTHER_IPI",
    "PAGE_SIZE",
    "REGISTERS",
    "SELF_IPI",
    "SLOTS",
    "SLOT_SIZE",
    "Reg",
    "Register",
    "msr_of",
    "offset_of",
    "register",
]

MSR_X2APIC_FIRST, MSR_X2APIC_LAST = 0x800, 0x8FF
PAGE_SIZE, SLOT_SIZE = 0x1000, 0x10
"""The size of the APIC page and of each register's slot in it, in bytes."""
SLOTS = range(0, PAGE_SIZE, SLOT_SIZE)
"""The offset of every slot. Each slot is 16 bytes of the page and one MSR of 800H to 8FFH."""
FIRST_RESERVED = 0x400
"""From this offset on, every slot is reserved in both modes."""


class Reg(IntEnum):
    """The byte offset of each register in the xAPIC page; its MSR is 800H + offset / 16."""

    ID = 0x020
    LVR = 0x030
    TASKPRI = 0x080
    ARBPRI = 0x090
    PROCPRI = 0x0A0
    EOI = 0x0B0
    RRR = 0x0C0
    LDR = 0x0D0
    DFR = 0x0E0
    SPIV = 0x0F0
    ISR0 = 0x100
    ISR1 = 0x110
    ISR2 = 0x120
    ISR3 = 0x130
    ISR4 = 0x140
    ISR5 = 0x150
    ISR6 = 0x160
    ISR7 = 0x170
    TMR0 = 0x180
    TMR1 = 0x190
    TMR2 = 0x1A0
    TMR3 = 0x1B0
    TMR4 = 0x1C0
    TMR5 = 0x1D0
    TMR6 = 0x1E0
    TMR7 = 0x1F0
    IRR0 = 0x200
    IRR1 = 0x210
    IRR2 = 0x220
    IRR3 = 0x230
    IRR4 = 0x240
    IRR5 = 0x250
    IRR6 = 0x260
    IRR7 = 0x270
    ESR = 0x280
    CMCI = 0x2F0
    ICR = 0x300
    ICR2 = 0x310
    LVTT = 0x320
    LVTTHMR = 0x330
    LVTPC = 0x340
    LVT0 = 0x350
    LVT1 = 0x360
    LVTERR = 0x370
    TMICT = 0x380
    TMCCT = 0x390
    TDCR = 0x3E0
    SELF_IPI = 0x3F0
    """Exists in x2APIC mode only."""

    @property
    def msr(self) -> int:
        """The register's x2APIC MSR."""
        return msr_of(self)


LVT = (Reg.LVTT, Reg.LVTTHMR, Reg.LVTPC, Reg.LVT0, Reg.LVT1, Reg.LVTERR)
"""The local vector table without CMCI, which older processors lack."""
BITMAPS = tuple(reg for reg in Reg if Reg.ISR0 <= reg <= Reg.IRR7)
"""ISR, TMR and IRR: 256 bits each, as eight registers of 32 vectors."""

INT_ASSERT, DEST_SELF, DEST_ALLINC = 0x04000, 0x40000, 0x80000
"""Bits of the ICR: level assert; the destination shorthands *self* and *all including self*."""
SELF_IPI = DEST_SELF | 0xF1
"""An ICR value that sends a fixed, edge-triggered interrupt to the sender only."""
OTHER_IPI = DEST_ALLINC | INT_ASSERT | 0xF1
"""An ICR value that sends a fixed interrupt to all processors including the sender."""


@dataclass(frozen=True, slots=True)
class Register:
    """A register. The rights are ``"r"``, ``"w"``, ``"rw"``, or empty where the register does not exist."""

    offset: int
    """Byte offset in the xAPIC page; the MSR is 800H + offset / 16."""
    symbol: str
    """The name of its `Reg`; empty for a reserved slot."""
    name: str
    xapic: str
    x2apic: str

    @property
    def msr(self) -> int:
        """The register's x2APIC MSR."""
        return msr_of(self.offset)

    def rights(self, state: ApicState) -> str:
        """Return how software may access it: by MSR in x2APIC mode, through the page in every other state."""
        return self.x2apic if state is ApicState.X2APIC else self.xapic

    @property
    def exists(self) -> bool:
        """Whether the architecture has the register in any mode."""
        return bool(self.xapic or self.x2apic)


def _bitmap(name: str, registers: tuple[Reg, ...]) -> tuple[tuple[Reg, str, str, str], ...]:
    """Return the rows for eight registers of 32 vectors each."""
    return tuple(
        (reg, f"{name}, vectors {32 * number} to {32 * number + 31}", "r", "r")
        for number, reg in enumerate(registers)
    )


_ROWS = (
    (Reg.ID, "local APIC ID", "rw", "r"),
    (Reg.LVR, "local APIC version", "r", "r"),
    (Reg.TASKPRI, "task priority (TPR)", "rw", "rw"),
    (Reg.ARBPRI, "arbitration priority (APR)", "r", ""),
    (Reg.PROCPRI, "processor priority (PPR)", "r", "r"),
    (Reg.EOI, "end of interrupt", "w", "w"),
    (Reg.RRR, "remote read", "r", ""),
    (Reg.LDR, "logical destination", "rw", "r"),
    (Reg.DFR, "destination format", "rw", ""),
    (Reg.SPIV, "spurious-interrupt vector", "rw", "rw"),
    *_bitmap("in-service", BITMAPS[:8]),
    *_bitmap("trigger mode", BITMAPS[8:16]),
    *_bitmap("interrupt request", BITMAPS[16:]),
    (Reg.ESR, "error status", "rw", "rw"),
    (Reg.CMCI, "LVT corrected machine check interrupt", "rw", "rw"),
    (Reg.ICR, "interrupt command, low (all of it in x2APIC mode)", "rw", "rw"),
    (Reg.ICR2, "interrupt command, high", "rw", ""),
    (Reg.LVTT, "LVT timer", "rw", "rw"),
    (Reg.LVTTHMR, "LVT thermal sensor", "rw", "rw"),
    (Reg.LVTPC, "LVT performance monitoring", "rw", "rw"),
    (Reg.LVT0, "LVT LINT0", "rw", "rw"),
    (Reg.LVT1, "LVT LINT1", "rw", "rw"),
    (Reg.LVTERR, "LVT error", "rw", "rw"),
    (Reg.TMICT, "timer initial count", "rw", "rw"),
    (Reg.TMCCT, "timer current count", "r", "r"),
    (Reg.TDCR, "timer divide configuration", "rw", "rw"),
    (Reg.SELF_IPI, "self IPI", "", "w"),
)
"""Register, name in words, rights in xAPIC mode, rights in x2APIC mode."""

REGISTERS: dict[int, Register] = {
    int(reg): Register(int(reg), reg.name, name, xapic, x2apic) for reg, name, xapic, x2apic in _ROWS
}
"""By offset; any slot not listed is reserved in both modes."""


def register(offset: int) -> Register:
    """Return the register at an offset; for an empty slot, a register named "reserved"."""
    return REGISTERS.get(offset) or Register(offset, "", "reserved", "", "")


def msr_of(offset: int) -> int:
    """Return the x2APIC MSR of an offset in the page."""
    return MSR_X2APIC_FIRST + offset // SLOT_SIZE


def offset_of(msr: int) -> int:
    """Return the offset in the page of an x2APIC MSR; raise ValueError for an MSR outside 800H to 8FFH."""
    if not MSR_X2APIC_FIRST <= msr <= MSR_X2APIC_LAST:
        raise ValueError(f"MSR {msr:#x} is not an x2APIC MSR (800H to 8FFH)")
    return (msr - MSR_X2APIC_FIRST) * SLOT_SIZE
