"""The program for two vCPUs: one starts the other, and they send each other interrupts in every mix of modes.

Sources: Intel SDM volume 3A, "Issuing interprocessor interrupts", "ICR operation in x2APIC mode" and
"MP initialization protocol".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum

from xenapic.apic.registers import DEST_ALLINC, DEST_SELF, INT_ASSERT, Reg
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.loader.acpi import apic_id
from xenapic.model.ipi import ALL_BUT_SELF, LOGICAL, LOWEST_PRIORITY, Receiver, broadcast, receivers
from xenapic.probe.mailbox import SETTLE, Command, CommandKind, Loop, Reply, Yield
from xenapic.probe.script import DIVIDE_BY_1, IA32_APIC_BASE, PATIENCE, TIMER_COUNT
from xenapic.probe.vcpu import Vcpu, logical_id

__all__ = ["PAIR_VCPUS", "IpiKind", "PairFindings", "PairScript", "SentIpi", "expected_receivers"]

PAIR_VCPUS = 2
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
    TIMER = "timer"
    """The sender's own timer, once: no IPI, but it must arrive like one."""

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


BOTH = logical_id(0) | logical_id(1)

States = tuple[ApicState, ApicState]
X, X2 = ApicState.XAPIC, ApicState.X2APIC
MIXES: tuple[States, ...] = ((X, X), (X, X2), (X2, X2), (X2, X))
"""The states of both, in the order that the guest goes through them."""
SETTLE_YIELDING = 50
"""The same as `SETTLE`, of rounds that take a hypercall each."""
FROM_SECOND = (IpiKind.PHYSICAL, IpiKind.ALL, IpiKind.TIMER)
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
    if kind is IpiKind.TIMER:
        return frozenset({sender})
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


class PairScript:
    """The commands for both vCPUs, and how to read their answers."""

    state = X
    """Of the first vCPU's APIC, when it starts."""
    loop: Loop | None = None

    def __init__(self, yields: Yield = Yield.NEVER, patience: int = PATIENCE) -> None:
        self.patience = patience
        self.yields = yields
        self.settle = SETTLE if yields is Yield.NEVER else SETTLE_YIELDING
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
        first, second = Vcpu(0, X), Vcpu(1, X)
        self._commands += first.setup()
        self._commands += first.start(1)
        self._place("apic_base", Command(CommandKind.RDMSR, IA32_APIC_BASE, repeat=1, cpu=1))
        self._place("id", second.read(Reg.ID))
        self._commands += second.setup()
        for states in MIXES:
            first, second = self._change(first, states[0]), self._change(second, states[1])
            self._interrupts((first, second), states)
        self._commands += first.start(1, init=False)  # it runs: this is ignored
        self._commands += first.start(1)
        self._place("spiv", second.read(Reg.SPIV))

    def _place(self, name: str, command: Command) -> None:
        self._places[name] = len(self._commands)
        self._commands.append(command)

    def _change(self, vcpu: Vcpu, state: ApicState) -> Vcpu:
        if vcpu.state is state:
            return vcpu
        changed = Vcpu(vcpu.number, state)
        if vcpu.state is X2:
            self._commands.append(vcpu.base(ApicState.DISABLED))  # there is no direct way back
        self._commands += (vcpu.base(state), *changed.setup())
        return changed

    def _interrupts(self, vcpus: tuple[Vcpu, Vcpu], states: States) -> None:
        for sender in vcpus:
            for kind in IpiKind if sender.number == 0 else FROM_SECOND:
                if kind is IpiKind.LOWEST_BUSY:
                    self._commands.append(sender.write(Reg.TASKPRI, BUSY))
                self._commands += _sent(sender, kind, expected_arrivals(kind, sender.number, states))
                self._sent.append((len(self._commands) - 1, states, sender.number, kind))
                if kind is IpiKind.LOWEST_BUSY:
                    self._commands.append(sender.write(Reg.TASKPRI, 0))


def _sent(sender: Vcpu, kind: IpiKind, expected: int) -> Iterator[Command]:
    """Yield the commands for an interrupt; the last one waits for it."""
    if kind is IpiKind.TIMER:
        yield from (sender.write(Reg.LVTT, kind.vector), sender.write(Reg.TDCR, DIVIDE_BY_1))
        yield sender.write(Reg.TMICT, TIMER_COUNT, wait_for=kind.vector, expected=expected)
        return
    destination = kind.destination(sender.number, sender.state)
    yield from sender.send(kind.bits | kind.vector, destination, wait_for=kind.vector, expected=expected)
