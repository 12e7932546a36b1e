"""The program for two vCPUs: one starts the other, and they send each other interrupts in every mix of modes.

Sources: Intel SDM volume 3A, "Issuing interprocessor interrupts", "ICR operation in x2APIC mode" and
"MP initialization protocol".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum

from xenapic.apic.registers import DEST_ALLINC, DEST_SELF, INT_ASSERT, Reg, msr_of
from xenapic.apic.state import APIC_BASE_BSP, APIC_DEFAULT_PHYS_BASE, ApicState
from xenapic.frozen import dataclass
from xenapic.loader.acpi import apic_id
from xenapic.model.ipi import ALL_BUT_SELF, LOGICAL, LOWEST_PRIORITY, Receiver, broadcast, receivers
from xenapic.probe.mailbox import Command, CommandKind, EoiKind, Reply
from xenapic.probe.script import ENABLED, IA32_APIC_BASE, MASKED, PATIENCE

__all__ = ["PAIR_VCPUS", "IpiKind", "PairFindings", "PairScript", "SentIpi", "expected_receivers"]

PAIR_VCPUS = 2
INIT, STARTUP, AP_PAGE = 5 << 8, 6 << 8, 8
"""Delivery modes, and the page below 1 MiB that the guest has for vCPUs that start."""
FIRST_VECTOR = 0x51
BUSY = 0x30
"""A task priority below that of the vectors."""
NO_APIC = 0x40
"""An ID that no APIC has."""


class IpiKind(Enum):
    """An inter-processor interrupt; it is fixed where nothing else is said."""

    PHYSICAL = "physical"
    """To the other vCPU, by its ID."""
    PHYSICAL_SELF = "physical-self"
    LOGICAL = "logical"
    """To the other vCPU."""
    LOGICAL_BOTH = "logical-both"
    LOWEST = "lowest"
    """Lowest priority, logical, to both."""
    LOWEST_BUSY = "lowest-busy"
    """The same while the sender's task priority is higher."""
    SELF = "self"
    """By shorthand, as are the next two."""
    ALL = "all"
    OTHERS = "others"
    BROADCAST = "broadcast"
    """By the physical destination that means all in the sender's mode."""
    NOBODY = "nobody"
    """To an ID that no APIC has."""

    @property
    def bits(self) -> int:
        """The bits of the ICR without the vector."""
        return BITS.get(self, 0) | INT_ASSERT

    @property
    def vector(self) -> int:
        """The vector of interrupts of this kind."""
        return FIRST_VECTOR + list(IpiKind).index(self)

    def destination(self, sender: int, state: ApicState) -> int:
        """Return the destination that a sender in a state writes; 0 where there is a shorthand."""
        other = 1 - sender
        return {
            IpiKind.PHYSICAL: apic_id(other),
            IpiKind.PHYSICAL_SELF: apic_id(sender),
            IpiKind.LOGICAL: logical_id(other),
            IpiKind.LOGICAL_BOTH: BOTH,
            IpiKind.LOWEST: BOTH,
            IpiKind.LOWEST_BUSY: BOTH,
            IpiKind.BROADCAST: broadcast(state),
            IpiKind.NOBODY: NO_APIC,
        }.get(self, 0)


BITS = {
    IpiKind.LOGICAL: LOGICAL,
    IpiKind.LOGICAL_BOTH: LOGICAL,
    IpiKind.LOWEST: LOGICAL | LOWEST_PRIORITY,
    IpiKind.LOWEST_BUSY: LOGICAL | LOWEST_PRIORITY,
    IpiKind.SELF: DEST_SELF,
    IpiKind.ALL: DEST_ALLINC,
    IpiKind.OTHERS: ALL_BUT_SELF,
}


def logical_id(vcpu: int) -> int:
    """Return the logical ID of a vCPU: in xAPIC mode the one that x2APIC mode would give it."""
    return 1 << apic_id(vcpu)


BOTH = logical_id(0) | logical_id(1)

States = tuple[ApicState, ApicState]
X, X2 = ApicState.XAPIC, ApicState.X2APIC
MIXES: tuple[States, ...] = ((X, X), (X, X2), (X2, X2), (X2, X))
"""The states of both, in the order that the guest goes through them."""
FROM_SECOND = (IpiKind.PHYSICAL, IpiKind.ALL)
"""What the second vCPU sends, too."""


@dataclass(frozen=True, slots=True)
class SentIpi:
    """An interrupt that was sent, and how often it arrived at each vCPU."""

    states: States
    sender: int
    kind: IpiKind
    arrivals: tuple[int, ...]
    fault: int | None


@dataclass(frozen=True, slots=True)
class PairFindings:
    """What two vCPUs found."""

    starts: tuple[int, ...]
    """How often each vCPU started: the second one by INIT and SIPI, twice; a SIPI alone starts nothing."""
    second_apic_base: int
    """IA32_APIC_BASE of the second vCPU when it had started."""
    second_id: int
    """Its APIC's ID register then."""
    spiv_after_init: int
    """Its SPIV register after the second INIT."""
    ipis: tuple[SentIpi, ...]


def expected_receivers(kind: IpiKind, sender: int, states: Sequence[ApicState]) -> frozenset[int]:
    """Return which vCPUs an interrupt should reach; of a lowest-priority one, which may get it."""
    busy = kind is IpiKind.LOWEST_BUSY
    apics = [
        Receiver(state, apic_id(vcpu), logical_id(vcpu), BUSY if busy and vcpu == sender else 0)
        for vcpu, state in enumerate(states)
    ]
    return receivers(kind.bits, kind.destination(sender, states[sender]), sender, apics)


def expected_arrivals(kind: IpiKind, sender: int, states: Sequence[ApicState]) -> int:
    """Return how often an interrupt should arrive at all vCPUs together."""
    count = len(expected_receivers(kind, sender, states))
    return min(count, 1) if kind.bits & LOWEST_PRIORITY else count


@dataclass(frozen=True)
class _Vcpu:
    """What a vCPU can do in a state of its APIC."""

    number: int
    state: ApicState

    def read(self, offset: int) -> Command:
        if self.state is X2:
            return Command(CommandKind.RDMSR, msr_of(offset), repeat=1, cpu=self.number)
        return Command(CommandKind.LOAD, APIC_DEFAULT_PHYS_BASE + offset, repeat=1, cpu=self.number)

    def write(self, offset: int, value: int, *, wait_for: int = 0, expected: int = 1) -> Command:
        kind = CommandKind.WRMSR if self.state is X2 else CommandKind.STORE
        address = msr_of(offset) if self.state is X2 else APIC_DEFAULT_PHYS_BASE + offset
        return Command(kind, address, value, 1, wait_for, expected, self.number)

    def send(self, icr: int, destination: int, *, wait_for: int = 0, expected: int = 1) -> Iterator[Command]:
        """Yield the writes of the ICR; the last one sends."""
        if self.state is X2:
            icr |= destination << 32
        else:
            yield self.write(Reg.ICR2, destination << 24)
        yield self.write(Reg.ICR, icr, wait_for=wait_for, expected=expected)

    def setup(self) -> Iterator[Command]:
        """Yield what makes the vCPU accept interrupts and end them."""
        end = self.write(Reg.EOI, 0)
        kind = EoiKind.WRMSR if self.state is X2 else EoiKind.STORE
        yield Command(CommandKind.EOI_BY, end.address, kind, repeat=1, cpu=self.number)
        yield from (self.write(Reg.SPIV, ENABLED), self.write(Reg.TASKPRI, 0))
        yield self.write(Reg.LVTT, MASKED)
        if self.state is not X2:
            yield from (self.write(Reg.LDR, logical_id(self.number) << 24), self.write(Reg.DFR, 0xFFFFFFFF))

    def base(self, state: ApicState) -> Command:
        """Return the command that changes the state."""
        value = state.apic_base & ~(APIC_BASE_BSP if self.number else 0)
        return Command(CommandKind.WRMSR, IA32_APIC_BASE, value, repeat=1, cpu=self.number)


class PairScript:
    """The commands for both vCPUs, and how to read their answers."""

    state = X
    """Of the first vCPU's APIC, when it starts."""

    def __init__(self, patience: int = PATIENCE) -> None:
        self.patience = patience
        self._commands: list[Command] = []
        self._sent: list[tuple[int, States, int, IpiKind]] = []
        self._places: dict[str, int] = {}
        self._write()

    @property
    def commands(self) -> tuple[Command, ...]:
        """All commands, in order."""
        return tuple(self._commands)

    @property
    def label(self) -> str:
        """What an error calls this run."""
        return "two vCPUs"

    def findings(self, answers: Sequence[Reply], starts: Sequence[int]) -> PairFindings:
        """Return the findings that the replies to all commands give."""
        value = {name: answers[place].value for name, place in self._places.items()}
        return PairFindings(
            starts=tuple(starts[:PAIR_VCPUS]),
            second_apic_base=value["apic_base"],
            second_id=value["id"],
            spiv_after_init=value["spiv"],
            ipis=tuple(
                SentIpi(states, sender, kind, answers[place].arrivals[:PAIR_VCPUS], answers[place].fault)
                for place, states, sender, kind in self._sent
            ),
        )

    def _write(self) -> None:
        first, second = _Vcpu(0, X), _Vcpu(1, X)
        self._commands += first.setup()
        self._start(first)
        self._place("apic_base", Command(CommandKind.RDMSR, IA32_APIC_BASE, repeat=1, cpu=1))
        self._place("id", second.read(Reg.ID))
        self._commands += second.setup()
        for states in MIXES:
            first, second = self._change(first, states[0]), self._change(second, states[1])
            self._interrupts((first, second), states)
        self._commands += first.send(STARTUP | INT_ASSERT | AP_PAGE, apic_id(1))  # to one that runs: ignored
        self._start(first)
        self._place("spiv", second.read(Reg.SPIV))

    def _start(self, by: _Vcpu) -> None:
        for icr in (INIT, STARTUP | AP_PAGE):
            self._commands += by.send(icr | INT_ASSERT, apic_id(1))

    def _place(self, name: str, command: Command) -> None:
        self._places[name] = len(self._commands)
        self._commands.append(command)

    def _change(self, vcpu: _Vcpu, state: ApicState) -> _Vcpu:
        if vcpu.state is state:
            return vcpu
        changed = _Vcpu(vcpu.number, state)
        if vcpu.state is X2:
            self._commands.append(vcpu.base(ApicState.DISABLED))  # there is no direct way back
        self._commands += (vcpu.base(state), *changed.setup())
        return changed

    def _interrupts(self, vcpus: tuple[_Vcpu, _Vcpu], states: States) -> None:
        for sender in vcpus:
            for kind in IpiKind if sender.number == 0 else FROM_SECOND:
                if kind is IpiKind.LOWEST_BUSY:
                    self._commands.append(sender.write(Reg.TASKPRI, BUSY))
                expected = expected_arrivals(kind, sender.number, states)
                destination = kind.destination(sender.number, sender.state)
                self._commands += sender.send(
                    kind.bits | kind.vector, destination, wait_for=kind.vector, expected=expected
                )
                self._sent.append((len(self._commands) - 1, states, sender.number, kind))
                if kind is IpiKind.LOWEST_BUSY:
                    self._commands.append(sender.write(Reg.TASKPRI, 0))
