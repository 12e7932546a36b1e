"""The program of the probe guest: make commands of tables of accesses, and findings of the replies.

Sources: Intel SDM volume 3A, "Local APIC register address map" and "x2APIC register
address space"; the recordings for `XAPIC_READS` and the three tables that follow it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

from xenapic.apic.registers import (
    DEST_ALLINC,
    DEST_SELF,
    FIRST_RESERVED,
    INT_ASSERT,
    LVT,
    MSR_X2APIC_FIRST,
    OTHER_IPI,
    PAGE_SIZE,
    SELF_IPI,
    SLOT_SIZE,
    Reg,
    msr_of,
)
from xenapic.apic.state import APIC_DEFAULT_PHYS_BASE, ApicState
from xenapic.frozen import dataclass
from xenapic.probe.findings import PERIODS, Access, Calibration, Delivery, DeliveryKind, Findings, Move, Op
from xenapic.probe.mailbox import SETTLE, Command, CommandKind, EoiKind, Loop, Reply, Yield
from xenapic.probe.unusual import CR8, STORES, WIDTHS, unusual_commands

__all__ = ["CALIBRATION", "IA32_APIC_BASE", "PATIENCE", "Script", "calibration_of"]

SCRATCH = 0x180000
"""Plain memory for the calibration, which the guest uses for nothing else."""

IA32_APIC_BASE, IA32_TSC_DEADLINE = 0x1B, 0x6E0
MASKED, ENABLED, DIVIDE_BY_1 = 1 << 16, 1 << 8 | 0xFF, 0xB
OFFSET_IN_PAGE = PAGE_SIZE - 1

XAPIC_READS = tuple(reg for reg in Reg if reg not in (Reg.CMCI, Reg.SELF_IPI))
"""Without CMCI, which not every processor has."""
X2APIC_READS = tuple(
    reg for reg in XAPIC_READS if reg not in (Reg.ARBPRI, Reg.EOI, Reg.RRR, Reg.DFR, Reg.ICR2)
)

Writes = tuple[tuple[int, int], ...]
ICR_WRITES = ((Reg.ICR, SELF_IPI), (Reg.ICR, OTHER_IPI))
TIMER_WRITES = (*((reg, MASKED) for reg in LVT), (Reg.TDCR, DIVIDE_BY_1), (Reg.TMICT, 0))
XAPIC_WRITES: Writes = (
    *((Reg.ID, 0), (Reg.TASKPRI, 0x20), (Reg.TASKPRI, 0), (Reg.EOI, 0), (Reg.LDR, 1 << 24)),
    *((Reg.DFR, 0xFFFFFFFF), (Reg.SPIV, ENABLED), (Reg.ESR, 0), (Reg.ICR2, 0)),
    *ICR_WRITES,
    *TIMER_WRITES,
)
X2APIC_WRITES: Writes = (
    *((Reg.TASKPRI, 0x20), (Reg.TASKPRI, 0), (Reg.EOI, 0), (Reg.SPIV, ENABLED), (Reg.ESR, 0)),
    *ICR_WRITES,
    (Reg.SELF_IPI, 0xF2),
    *TIMER_WRITES,
)

USED_SLOTS = tuple(range(0, FIRST_RESERVED, SLOT_SIZE))
BEYOND = (FIRST_RESERVED, PAGE_SIZE - SLOT_SIZE)
"""The MSRs 0x840 and 0x8FF: reserved, but in the range that an MSR bitmap opens."""
RESERVED_BITS: Writes = ((Reg.TASKPRI, 1 << 8), (Reg.EOI, 1), (Reg.SELF_IPI, 1 << 8))
"""x2APIC writes with bits that are reserved."""
PATTERN = 0x5A5AA5A5
SOME_MSRS = (Reg.ID, Reg.LVR, Reg.TASKPRI, Reg.EOI)

MOVED_BASE = 0xFED00000
TIMER_COUNT = 100_000
"""One millisecond of Xen's APIC timer, which has 10 ns per tick."""
PERIODIC_COUNT = 20 * TIMER_COUNT
"""So long that an emulator can handle an interrupt before the next one."""
TIMER_TICKS = 1_000_000
"""A millisecond or less of the TSC."""
PATIENCE = 1 << 23
"""Turns of a loop of four instructions: seconds in an emulator, where a timer was once 300 ms late."""

XEN_LEAVES = (0x40000000, 0x40000100)
U32 = (1 << 32) - 1
XEN_SIGNATURE = b"XenVMMXenVMM"


CALIBRATION = (
    Command(CommandKind.NOTHING),
    Command(CommandKind.LOAD, SCRATCH),
    Command(CommandKind.STORE, SCRATCH),
    Command(CommandKind.CPUID, value=1),
)
"""No access, two accesses that stay in the guest, and an exit."""


@dataclass(frozen=True)
class Script:
    """The commands for the guest in one state of its local APIC."""

    settle: ClassVar[int] = SETTLE
    loop: ClassVar[Loop | None] = None
    yields: ClassVar[Yield] = Yield.NEVER

    state: ApicState
    patience: int = PATIENCE
    """Number of loop turns that the guest waits for an interrupt."""
    registers: frozenset[int] = frozenset()
    """Offsets in the page of the registers to access; empty for all."""
    fetch: bool = False
    """Fetch code from the page in every state: Bochs ends where VMX virtualizes the page."""

    @cached_property
    def commands(self) -> tuple[Command, ...]:
        """All commands, in order."""
        return tuple(command for section in self.sections.values() for command in section)

    @property
    def label(self) -> str:
        """What an error calls this run."""
        return f"APIC {self.state.value}"

    @cached_property
    def sections(self) -> Mapping[str, tuple[Command, ...]]:
        """The commands by purpose, in order."""
        return {
            "setup": (self._eoi(),),
            "calibration": CALIBRATION,
            "identity": (
                Command(CommandKind.RDMSR, IA32_APIC_BASE),
                *(Command(CommandKind.CPUID, value=base + leaf) for base in XEN_LEAVES for leaf in (0, 4)),
            ),
            # Before anything is pending: QEMU 7.2 asserts where CR8 is written while Xen waits to inject.
            "cr8": self._chosen(CR8),
            "cr8 in tpr": () if self.state is ApicState.DISABLED else self._chosen([self._read(Reg.TASKPRI)]),
            "cr8 again": (Command(CommandKind.WRITE_CR8, value=0, repeat=1),),
            "accesses": self._chosen(self._recorded()),
            "extra": self._chosen(self._extra()),
            "page": (
                _load(APIC_DEFAULT_PHYS_BASE, Reg.LVR),
                _store(APIC_DEFAULT_PHYS_BASE, Reg.LVR, PATTERN),
                _load(APIC_DEFAULT_PHYS_BASE, Reg.LVR),
                _store(APIC_DEFAULT_PHYS_BASE, Reg.LVR, 0),
            ),
            "msrs": self._chosen(
                (*map(_rdmsr, SOME_MSRS), _rdmsr(BEYOND[-1]), _wrmsr(Reg.TASKPRI, 0)),
            ),
            "unusual": self._chosen(unusual_commands(fetch=self.fetch or self.state is ApicState.DISABLED)),
            "delivery": tuple(self._delivery()),
            "move": (
                Command(CommandKind.WRMSR, IA32_APIC_BASE, self.moved, repeat=1),
                Command(CommandKind.RDMSR, IA32_APIC_BASE),
                _rdmsr(Reg.LVR) if self._is_x2apic else _load(MOVED_BASE, Reg.LVR),
                Command(CommandKind.WRMSR, IA32_APIC_BASE, self.state.apic_base, repeat=1),
            ),
            # The very first accesses cost more: caches are cold, and an emulator translates the code.
            "calibration again": CALIBRATION,
        }

    @property
    def moved(self) -> int:
        """IA32_APIC_BASE with another address and the other bits unchanged."""
        return MOVED_BASE | self.state.apic_base & OFFSET_IN_PAGE

    def findings(self, answers: Sequence[Reply]) -> Findings:
        """Return the findings that the replies to all commands give."""
        left = iter(answers)
        replies = {
            name: [(command, next(left)) for command in section] for name, section in self.sections.items()
        }
        accesses = {name: tuple(_access(*pair) for pair in pairs) for name, pairs in replies.items()}
        _, *leaves = (reply for _, reply in replies["identity"])
        leaf, features = _xen_leaves(leaves)
        return Findings(
            state=self.state,
            cpuid_1_ecx=replies["calibration"][-1][1].rcx,
            hypervisor_leaf=leaf,
            cpuid_apic=features,
            apic_base=replies["identity"][0][1].value,
            calibration=calibration_of(
                *([one.ticks for one in accesses[name]] for name in ("calibration", "calibration again"))
            ),
            accesses=accesses["accesses"],
            extra=accesses["extra"],
            page=accesses["page"],
            msrs=accesses["msrs"],
            cr8=accesses["cr8"],
            cr8_in_tpr=next(iter(accesses["cr8 in tpr"]), None),
            unusual=accesses["unusual"],
            deliveries=tuple(_deliveries(replies["delivery"])),
            move=Move(
                asked=self.moved,
                fault=accesses["move"][0].fault,
                apic_base=accesses["move"][1].value,
                version=accesses["move"][2],
            ),
        )

    def _eoi(self) -> Command:
        """Return the command that sets how interrupts end in this state."""
        if self.state is ApicState.DISABLED:
            return Command(CommandKind.EOI_BY, value=EoiKind.NONE, repeat=1)
        write = self._write(Reg.EOI, 0)
        kind = EoiKind.WRMSR if write.kind is CommandKind.WRMSR else EoiKind.STORE
        return Command(CommandKind.EOI_BY, write.address, kind, repeat=1)

    @property
    def _is_x2apic(self) -> bool:
        return self.state is ApicState.X2APIC

    def _chosen(self, commands: Iterable[Command]) -> tuple[Command, ...]:
        return tuple(one for one in commands if not self.registers or _offset(one) & ~0xF in self.registers)

    def _read(self, offset: int) -> Command:
        return _rdmsr(offset) if self._is_x2apic else _load(self._base, offset)

    def _write(self, offset: int, value: int) -> Command:
        return _wrmsr(offset, value) if self._is_x2apic else _store(self._base, offset, value)

    @property
    def _base(self) -> int:
        return self.state.apic_base & ~OFFSET_IN_PAGE

    @property
    def _usual(self) -> tuple[Collection[int], Collection[tuple[int, int]]]:
        """The offsets to read, and those to write with the values, that recordings have always had."""
        return (X2APIC_READS, X2APIC_WRITES) if self._is_x2apic else (XAPIC_READS, XAPIC_WRITES)

    def _recorded(self) -> Iterator[Command]:
        reads, writes = self._usual
        yield from (self._read(offset) for offset in reads)
        yield from (self._write(offset, value) for offset, value in writes)

    def _extra(self) -> Iterator[Command]:
        reads, writes = self._usual
        offsets = (*USED_SLOTS, *BEYOND) if self._is_x2apic else USED_SLOTS
        yield from (self._read(offset) for offset in offsets if offset not in reads)
        written = {offset for offset, _value in writes}
        for offset in offsets:
            if offset not in written:
                yield self._write(offset, MASKED if offset == Reg.CMCI else 0)
        if self._is_x2apic:
            yield from (self._write(offset, value) for offset, value in RESERVED_BITS)

    def _delivery(self) -> Iterator[Command]:
        if self.state is ApicState.DISABLED:
            return
        yield from (self._write(Reg.SPIV, ENABLED), self._write(Reg.TASKPRI, 0))
        for kind, (offset, bits, vector) in DELIVERIES.items():
            if kind is DeliveryKind.SELF_IPI_MSR and not self._is_x2apic:
                continue
            mode = TIMER_MODES.get(kind)
            if mode is not None:
                yield from (self._write(Reg.LVTT, mode | vector), self._write(Reg.TDCR, DIVIDE_BY_1))
            sent = self._write(offset, bits if mode is not None else bits | vector)
            if kind is DeliveryKind.TSC_DEADLINE:
                sent = Command(CommandKind.DEADLINE, IA32_TSC_DEADLINE, TIMER_TICKS)
            yield replace(sent, repeat=1, wait_for=vector, expected=PERIODS if kind.repeats else 1)
            if kind.repeats:  # and count what arrives before it is stopped
                yield replace(self._write(Reg.TMICT, 0), wait_for=vector, expected=0)
        yield self._write(Reg.LVTT, MASKED)


DELIVERIES: dict[DeliveryKind, tuple[int, int, int]] = {
    DeliveryKind.SELF_IPI_MSR: (Reg.SELF_IPI, 0, 0xE1),
    DeliveryKind.ICR_SELF: (Reg.ICR, DEST_SELF, 0xE2),
    DeliveryKind.ICR_ALL: (Reg.ICR, DEST_ALLINC | INT_ASSERT, 0xE3),
    DeliveryKind.TIMER: (Reg.TMICT, TIMER_COUNT, 0xE4),
    DeliveryKind.TIMER_PERIODIC: (Reg.TMICT, PERIODIC_COUNT, 0xE5),
    DeliveryKind.TSC_DEADLINE: (Reg.TMICT, 0, 0xE6),
}
"""The register to write, the bits to write there, and the vector that must arrive."""
TIMER_MODES = {
    DeliveryKind.TIMER: 0,
    DeliveryKind.TIMER_PERIODIC: 1 << 17,
    DeliveryKind.TSC_DEADLINE: 2 << 17,
}
"""Bits of the LVT's timer entry."""


def _load(base: int, offset: int) -> Command:
    return Command(CommandKind.LOAD, base + offset)


def _store(base: int, offset: int, value: int) -> Command:
    return Command(CommandKind.STORE, base + offset, value)


def _rdmsr(offset: int) -> Command:
    return Command(CommandKind.RDMSR, msr_of(offset))


def _wrmsr(offset: int, value: int) -> Command:
    return Command(CommandKind.WRMSR, msr_of(offset), value)


OPS = {
    CommandKind.FETCH: Op.FETCH,
    **dict.fromkeys((CommandKind.WRMSR, CommandKind.WRITE_CR8, *STORES.values()), Op.WRITE),
}
"""What a command does, if it is no read."""


def _op(command: Command) -> Op:
    return OPS.get(command.kind, Op.READ)


def _offset(command: Command) -> int:
    if command.kind in (CommandKind.RDMSR, CommandKind.WRMSR):
        return (command.address - MSR_X2APIC_FIRST) * SLOT_SIZE
    if command.kind in (CommandKind.READ_CR8, CommandKind.WRITE_CR8):
        return Reg.TASKPRI
    return command.address & OFFSET_IN_PAGE


def _access(command: Command, answer: Reply) -> Access:
    op, value, width = _op(command), command.value, WIDTHS.get(command.kind, 32)
    if op is Op.READ:
        value = answer.value if answer.fault is None else 0
    return Access(_offset(command), op, value, answer.ticks, answer.fault, answer.error_code, width)


def calibration_of(*rounds: Sequence[Sequence[int]]) -> Calibration:
    """Return what known things cost, from the ticks of each of the commands in `CALIBRATION`."""
    nothing, load, store, known_exit = (min(map(min, same)) for same in zip(*rounds, strict=True))
    return Calibration(overhead=nothing, memory=max(load, store), exit=known_exit)


def _xen_leaves(answers: Sequence[Reply]) -> tuple[int | None, int | None]:
    """Return the number of Xen's first leaf, and EAX of its leaf 4, from the leaves 0 and 4 at each place."""
    for place, first, fourth in zip(XEN_LEAVES, answers[0::2], answers[1::2], strict=True):
        words = (first.rbx, first.rcx, first.rdx)
        if b"".join(word.to_bytes(4, "little") for word in words) == XEN_SIGNATURE:
            return place, fourth.rax
    return None, None


def _deliveries(pairs: Sequence[tuple[Command, Reply]]) -> Iterator[Delivery]:
    for kind, (_, _, vector) in DELIVERIES.items():
        waits = [answer for command, answer in pairs if command.wait_for == vector]
        if waits:
            arrivals = sum(sum(answer.arrivals) for answer in waits)
            yield Delivery(kind, vector, arrivals, waits[0].waited, waits[0].fault)
