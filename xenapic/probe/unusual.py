"""Accesses that software rarely makes: by CR8, in other widths, at other places, and to fetch code.

They go to the page at 0xFEE00000, whatever the state of the APIC. Source for what matters: Intel SDM volume
3C, "Virtualizing reads from the APIC-access page" and the section on writes.
"""

from __future__ import annotations

from collections.abc import Iterator

from xenapic.apic.registers import Reg
from xenapic.apic.state import APIC_DEFAULT_PHYS_BASE
from xenapic.probe.mailbox import Command, CommandKind

__all__ = ["CR8", "CR8_PRIORITY", "RESERVED_PRIORITY", "WIDTHS", "unusual_commands"]

LOADS = {
    8: CommandKind.LOAD8,
    16: CommandKind.LOAD16,
    32: CommandKind.LOAD,
    64: CommandKind.LOAD64,
    128: CommandKind.LOAD128,
}
STORES = {
    8: CommandKind.STORE8,
    16: CommandKind.STORE16,
    32: CommandKind.STORE,
    64: CommandKind.STORE64,
    128: CommandKind.STORE128,
}
WIDTHS = {kind: width for kinds in (LOADS, STORES) for width, kind in kinds.items()}
"""The width in bits of each load and store."""

CR8_PRIORITY = 2
RESERVED_PRIORITY = 1 << 4
"""A value of CR8 with a reserved bit."""
CR8 = (
    Command(CommandKind.READ_CR8),
    Command(CommandKind.WRITE_CR8, value=RESERVED_PRIORITY),
    Command(CommandKind.WRITE_CR8, value=CR8_PRIORITY),
    Command(CommandKind.READ_CR8),
)

Row = tuple[int, int]
"""Address in the page, and width in bits."""
Writes = tuple[tuple[int, int, int], ...]
"""Address, width, and what is written."""

NARROW: tuple[Row, ...] = ((0x30, 8), (0x31, 8), (0x33, 8), (0x30, 16), (0x31, 16), (0x32, 16))
"""Parts of the version register."""
OUTSIDE: tuple[Row, ...] = ((0x34, 8), (0x33, 16), (0x31, 32))
"""Next to it, and across its end."""
TWO_REGISTERS: tuple[Row, ...] = ((0x2E, 32), (0x2C, 64), (0x28, 128))
"""The end of what belongs to the ID register, and the version."""
WIDE: tuple[Row, ...] = ((0x30, 64), (0x30, 128))
TPR_READS: tuple[Row, ...] = ((0x80, 8), (0x81, 8), (0x80, 16))

TPR_WRITES: Writes = (
    *((0x80, 8, 0x20), (0x81, 8, 0x05), (0x80, 16, 0x0130), (0x83, 16, 0x4040)),
    *((0x7E, 32, 0x40404040), (0x80, 64, 0x40), (0x80, 128, 0x40), (0x80, 32, 0)),
)
"""After each of them the register is read."""
EOI_WRITES: Writes = ((0xB0, 8, 0), (0xB1, 8, 0), (0xB0, 16, 0))

UNMASKED, ENABLED, MASKED = 0xE4, 0x1FF, 1 << 16
SOFTWARE_DISABLE: Writes = ((Reg.LVTT, 32, UNMASKED), (Reg.SPIV + 1, 8, 0))
"""A byte of SPIV holds the bit that enables the APIC: without it, Xen masks the LVT, which is read then."""
ENABLE_AGAIN: Writes = ((Reg.SPIV, 32, ENABLED), (Reg.LVTT, 32, MASKED))

RET = 0xC3C3C3C3
FETCH_AT = 0x30


def unusual_commands(*, fetch: bool) -> Iterator[Command]:
    """Yield the accesses to the page, in order; the last one fetches code, if wanted."""
    for address, width in (*NARROW, *OUTSIDE, *TWO_REGISTERS, *WIDE, *TPR_READS):
        yield _load(address, width)
    for address, width, value in TPR_WRITES:
        yield _store(address, width, value)
        yield _load(Reg.TASKPRI, 32)
    yield from (_store(*row) for row in EOI_WRITES)
    yield from (_store(*row) for row in SOFTWARE_DISABLE)
    yield _load(Reg.LVTT, 32)
    yield from (_store(*row) for row in ENABLE_AGAIN)
    if fetch:
        yield _store(FETCH_AT, 32, RET)
        yield Command(CommandKind.FETCH, APIC_DEFAULT_PHYS_BASE + FETCH_AT)
        yield _store(FETCH_AT, 32, 0)


def _load(address: int, width: int) -> Command:
    return Command(LOADS[width], APIC_DEFAULT_PHYS_BASE + address)


def _store(address: int, width: int, value: int) -> Command:
    return Command(STORES[width], APIC_DEFAULT_PHYS_BASE + address, value)
