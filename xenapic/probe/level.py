"""The program for a level-triggered interrupt, which a timer raises through the I/O APIC.

Xen emulates an I/O APIC, and the HPET whose timer raises the interrupt, for HVM domains only. The line stays
up, because nothing clears the timer's status. So the interrupt comes when the guest unmasks the pin, and each
end of it of which Xen's I/O APIC is told raises it again.

Sources: 82093AA I/O APIC datasheet, "I/O redirection table registers"; IA-PC HPET Specification 1.0a,
sections 2.3.4 to 2.3.9; ``xen/arch/x86/hvm/vioapic.c``, ``hpet.c``, ``vlapic.c`` (``vlapic_set_irq``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from xenapic.apic.registers import DEST_SELF, SLOT_SIZE, Reg
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.probe.findings import Calibration
from xenapic.probe.mailbox import SETTLE, Command, CommandKind, EoiKind, Loop, Reply, Yield
from xenapic.probe.script import CALIBRATION, PATIENCE, calibration_of
from xenapic.probe.vcpu import Vcpu

__all__ = ["EDGE_VECTOR", "LEVEL_VECTOR", "ROUNDS", "EndFindings", "LevelFindings", "LevelScript"]

IOAPIC, IOREGSEL, IOWIN = 0xFEC00000, 0x00, 0x10
REDIRECTION = 0x10
"""The I/O APIC's register with the low half of the first entry; each has two registers."""
LEVEL, MASK = 1 << 15, 1 << 16
HPET, HPET_CONFIG, HPET_TIMER_CONFIG, HPET_TIMER_COMPARATOR = 0xFED00000, 0x10, 0x140, 0x148
"""The third timer: the others can replace the PIT and the RTC."""
HPET_RUNS, TIMER_LEVEL, TIMER_ON, TIMER_ROUTE_SHIFT = 1, 1 << 1, 1 << 2, 9
PIN = 20
"""The first pin to which Xen's HPET can send (``HPET_TN_INT_ROUTE_CAP``); no PIC has it."""
TIMER_TICKS = 625
"""10 µs of Xen's HPET (16 ns per tick)."""

LEVEL_VECTOR, EDGE_VECTOR = 0x71, 0x72
ROUNDS = 3
"""How often each interrupt arrives; the cheapest of its ends counts."""


@dataclass(frozen=True, slots=True)
class EndFindings:
    """An interrupt that arrived, and what its end did; each tuple has one value for each round."""

    arrivals: tuple[int, ...]
    """How often it arrived, without having been ended in between; 1 is correct."""
    in_service: tuple[bool, ...]
    """Whether the ISR had its bit before the end."""
    level: tuple[bool, ...]
    """Whether the TMR had its bit then: level-triggered."""
    ticks: tuple[int, ...]
    """TSC ticks of the write of the EOI register, including the overhead of reading the TSC."""
    ended: tuple[bool, ...]
    """Whether the ISR had no bit of it any more afterwards."""
    again: tuple[bool, ...]
    """Whether the IRR had its bit then: it was raised again."""


@dataclass(frozen=True, slots=True)
class LevelFindings:
    """What the guest found in one state of its APIC."""

    state: ApicState
    calibration: Calibration
    edge: EndFindings
    """A self-IPI."""
    level: EndFindings
    """The interrupt through the I/O APIC; after the last round it is masked, and not raised again."""


class LevelScript:
    """The commands for the guest in one state of its APIC, and how to read their answers."""

    settle: ClassVar[int] = SETTLE
    loop: ClassVar[Loop | None] = None
    yields: ClassVar[Yield] = Yield.NEVER
    patience: ClassVar[int] = PATIENCE

    def __init__(self, state: ApicState) -> None:
        self.state = state
        self._vcpu = Vcpu(0, state)
        self._commands: list[Command] = []
        self._rounds: dict[int, list[int]] = {EDGE_VECTOR: [], LEVEL_VECTOR: []}
        self._calibrations: list[int] = []
        self._write()

    @property
    def commands(self) -> tuple[Command, ...]:
        """All commands, in order."""
        return tuple(self._commands)

    @property
    def label(self) -> str:
        """What an error calls this run."""
        return f"level-triggered interrupt, APIC {self.state.value}"

    def findings(self, answers: Sequence[Reply]) -> LevelFindings:
        """Return the findings that the replies to all commands give."""
        return LevelFindings(
            self.state,
            calibration_of(*([answers[place + n].ticks for n in range(4)] for place in self._calibrations)),
            *(_ends(vector, answers, places) for vector, places in self._rounds.items()),
        )

    def _write(self) -> None:
        vcpu = self._vcpu
        self._calibrate()
        self._commands += vcpu.setup()
        self._commands.append(Command(CommandKind.EOI_BY, value=EoiKind.NONE, repeat=1))
        for _ in range(ROUNDS):
            self._round(EDGE_VECTOR, vcpu.write(Reg.ICR, DEST_SELF | EDGE_VECTOR, wait_for=EDGE_VECTOR))
        # The pin is masked until the line is up. An interrupt that comes from a timer itself has its bit in
        # the EOI-exit bitmap from vmx_intr_assist, too; one that the I/O APIC delivers has it from
        # vlapic_set_irq alone.
        *unmask, last = _redirection(PIN, LEVEL | LEVEL_VECTOR)
        self._commands += (
            *_redirection(PIN, MASK | LEVEL | LEVEL_VECTOR),
            _store(HPET + HPET_TIMER_COMPARATOR, TIMER_TICKS),
            _store(HPET + HPET_TIMER_CONFIG, TIMER_LEVEL | TIMER_ON | PIN << TIMER_ROUTE_SHIFT),
            _store(HPET + HPET_CONFIG, HPET_RUNS),
        )
        self._calibrate()  # takes longer than the timer
        self._commands += unmask
        first = replace(last, wait_for=LEVEL_VECTOR)
        again = Command(CommandKind.NOTHING, repeat=1, wait_for=LEVEL_VECTOR)
        for number in range(ROUNDS):
            if number == ROUNDS - 1:  # it is requested already
                self._commands += _redirection(PIN, MASK | LEVEL | LEVEL_VECTOR)
            self._round(LEVEL_VECTOR, again if number else first)
        self._calibrate()

    def _calibrate(self) -> None:
        self._calibrations.append(len(self._commands))
        self._commands += CALIBRATION

    def _round(self, vector: int, raised: Command) -> None:
        """Append what raises an interrupt, and what looks at the APIC before and after its end."""
        read, write = self._vcpu.read, self._vcpu.write
        in_service, level, requested = (_bitmap(first, vector) for first in (Reg.ISR0, Reg.TMR0, Reg.IRR0))
        self._rounds[vector].append(len(self._commands))
        self._commands += (raised, read(in_service), read(level))
        self._commands += (write(Reg.EOI, 0), read(in_service), read(requested))


def _ends(vector: int, answers: Sequence[Reply], places: Sequence[int]) -> EndFindings:
    raised, in_service, level, end, after, again = (
        [answers[place + number] for place in places] for number in range(6)
    )

    def bits(replies: Sequence[Reply]) -> tuple[bool, ...]:
        return tuple(bool(reply.value >> vector % 32 & 1) for reply in replies)

    return EndFindings(
        arrivals=tuple(sum(reply.arrivals) for reply in raised),
        in_service=bits(in_service),
        level=bits(level),
        ticks=tuple(reply.ticks[0] for reply in end),
        ended=tuple(not bit for bit in bits(after)),
        again=bits(again),
    )


def _bitmap(first: Reg, vector: int) -> int:
    """Return the register with a vector's bit in a bitmap of 256 bits."""
    return first + vector // 32 * SLOT_SIZE


def _store(address: int, value: int) -> Command:
    return Command(CommandKind.STORE, address, value, repeat=1)


def _redirection(pin: int, low: int) -> tuple[Command, ...]:
    """Return what writes an entry of the I/O APIC, for the APIC with ID 0."""
    register = REDIRECTION + 2 * pin
    return (
        _store(IOAPIC + IOREGSEL, register + 1),
        _store(IOAPIC + IOWIN, 0),
        _store(IOAPIC + IOREGSEL, register),
        _store(IOAPIC + IOWIN, low),
    )
