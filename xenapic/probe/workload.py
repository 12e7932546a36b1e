"""The program of a workload: a loop that does one thing with the APIC, so that its cost can be told.

The clock is read before and after the loop, in the guest; its exits are counted outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from xenapic.apic.registers import DEST_SELF, Reg
from xenapic.apic.state import ApicState
from xenapic.errors import NameUnknown
from xenapic.frozen import dataclass
from xenapic.loader.acpi import apic_id
from xenapic.probe.mailbox import REPEATS, Command, CommandKind, Loop, Reply, Yield
from xenapic.probe.script import IA32_TSC_DEADLINE, PATIENCE
from xenapic.probe.vcpu import Vcpu

__all__ = ["WORKLOADS", "Workload", "WorkloadScript", "workload"]

VECTOR = 0x51
TSC_DEADLINE_MODE = 2 << 17
SOON = 1
"""TSC ticks from now: the time is over when Xen looks."""
PRIORITY = 0x20
UNROLLED = 4
"""Interrupts in one turn of the loop."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One thing that a guest does all the time."""

    name: str
    text: str
    """What an operation is."""
    body: Callable[[tuple[Vcpu, ...]], Iterator[Command]]
    """The commands of one turn of the loop."""
    per_turn: int
    """Operations in one turn."""
    vcpus: int = 1
    prepare: Callable[[tuple[Vcpu, ...]], Iterator[Command]] = lambda _vcpus: iter(())


def _self_ipis(vcpus: tuple[Vcpu, ...]) -> Iterator[Command]:
    for _ in range(UNROLLED):
        yield from vcpus[0].send(DEST_SELF | VECTOR, 0, wait_for=VECTOR)


def _deadline(vcpus: tuple[Vcpu, ...]) -> Iterator[Command]:
    yield vcpus[0].write(Reg.LVTT, TSC_DEADLINE_MODE | VECTOR)


def _timer(_vcpus: tuple[Vcpu, ...]) -> Iterator[Command]:
    for _ in range(UNROLLED):
        yield Command(CommandKind.DEADLINE, IA32_TSC_DEADLINE, SOON, 1, VECTOR)


def _priorities(vcpus: tuple[Vcpu, ...]) -> Iterator[Command]:
    for value in (PRIORITY, 0):
        yield vcpus[0].write(Reg.TASKPRI, value, repeat=REPEATS)


def _cr8(_vcpus: tuple[Vcpu, ...]) -> Iterator[Command]:
    for value in (PRIORITY >> 4, 0):
        yield Command(CommandKind.WRITE_CR8, value=value, repeat=REPEATS)


def _ipis(vcpus: tuple[Vcpu, ...]) -> Iterator[Command]:
    first, second = vcpus
    yield from first.send(VECTOR, apic_id(1), wait_for=VECTOR)
    yield from second.send(VECTOR, apic_id(0), wait_for=VECTOR)


WORKLOADS = {
    row.name: row
    for row in (
        Workload("eoi", "an interrupt that the guest sends itself, and its end", _self_ipis, UNROLLED),
        Workload(
            "timer", "an APIC timer that is set, goes off, and ends", _timer, UNROLLED, prepare=_deadline
        ),
        Workload("ipi", "an interrupt to another vCPU, and its end", _ipis, 2, vcpus=2),
        Workload("tpr", "a write of the task priority register", _priorities, 2 * REPEATS),
        Workload("cr8", "a write of the task priority through CR8", _cr8, 2 * REPEATS),
    )
}
"""Every workload by name."""


def workload(name: str) -> Workload:
    """Return the workload with a name; raise `NameUnknown`."""
    try:
        return WORKLOADS[name]
    except KeyError:
        raise NameUnknown.among("workload", name, WORKLOADS, f"known are {', '.join(WORKLOADS)}") from None


class WorkloadScript:
    """The commands of a workload; the loop makes ``turns`` turns."""

    settle = 0
    yields = Yield.NEVER
    """A hypercall would be one exit more."""

    def __init__(self, of: Workload, state: ApicState, turns: int, patience: int = PATIENCE) -> None:
        self.state, self.patience = state, patience
        vcpus = tuple(Vcpu(number, state) for number in range(of.vcpus))
        commands = [*vcpus[0].setup()]
        if of.vcpus > 1:
            commands += vcpus[0].start(1)
            if state is ApicState.X2APIC:
                commands.append(vcpus[1].base(state))
            commands += vcpus[1].setup()
        commands += (*of.prepare(vcpus), Command(CommandKind.CLOCK, repeat=1))
        first = len(commands)
        commands += of.body(vcpus)
        self.loop: Loop | None = Loop(first, len(commands), turns)
        commands.append(Command(CommandKind.CLOCK, repeat=1))
        self.commands = tuple(commands)
        self.label = f"workload {of.name}, APIC {state.value}"

    def ticks(self, answers: Sequence[Reply]) -> int:
        """Return how many TSC ticks the loop took."""
        started, ended = (
            reply.value
            for command, reply in zip(self.commands, answers, strict=True)
            if command.kind is CommandKind.CLOCK
        )
        return ended - started
