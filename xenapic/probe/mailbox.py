"""The list of commands in the probe guest's memory, as bytes; ``guest/probe.S`` is the other side."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum

from xenapic.frozen import dataclass

__all__ = [
    "HEAD_BYTES",
    "MOST_VCPUS",
    "REPEATS",
    "Command",
    "CommandKind",
    "EoiKind",
    "Head",
    "Reply",
    "State",
    "read_replies",
    "write_commands",
]

REPEATS = 8
"""Number of tries of an access, as in recordings."""


class CommandKind(IntEnum):
    """What a command does; loads and stores of 32 bits where the name does not say another width."""

    NOTHING = 0
    LOAD = 1
    STORE = 2
    RDMSR = 3
    WRMSR = 4
    CPUID = 5
    """Leaf in ``value``, subleaf in ``address``."""
    LOAD8 = 6
    LOAD16 = 7
    LOAD64 = 8
    LOAD128 = 9
    STORE8 = 10
    STORE16 = 11
    STORE64 = 12
    STORE128 = 13
    """``value`` is stored as the low half, zero as the high one."""
    READ_CR8 = 14
    WRITE_CR8 = 15
    FETCH = 16
    """Call the code at ``address``."""
    DEADLINE = 17
    """Write the TSC into the MSR at ``address``, plus ``value``."""
    EOI_BY = 18
    """From now on, end interrupts as ``value`` says (`EoiKind`), at ``address``."""


class EoiKind(IntEnum):
    """How a vCPU signals the end of an interrupt."""

    NONE = 0
    STORE = 1
    WRMSR = 2


@dataclass(frozen=True, slots=True)
class Command:
    """A command: an access, its number of tries, and the interrupt to wait for afterwards."""

    kind: CommandKind
    address: int = 0
    """Linear address, or MSR number."""
    value: int = 0
    """The value to write."""
    repeat: int = REPEATS
    wait_for: int = 0
    """Vector of the interrupt to wait for; 0 for none."""
    expected: int = 1
    """How often that interrupt must arrive, at all vCPUs together, to end the wait."""
    cpu: int = 0
    """The vCPU that carries it out."""

    def __str__(self) -> str:
        return f"{self.kind.name} {self.address:#x} {self.value:#x}"


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of a command: registers after the last try, the last fault, the cost of each try."""

    rax: int
    rbx: int
    rcx: int
    rdx: int
    fault: int | None
    error_code: int
    arrivals: tuple[int, ...]
    """How often the interrupt arrived at each vCPU."""
    waited: int
    """TSC ticks."""
    ticks: tuple[int, ...]

    @property
    def value(self) -> int:
        """What was read: RDX:RAX, because the guest puts an MSR into RAX."""
        return self.rdx << 64 | self.rax


class State(IntEnum):
    """Progress of the guest."""

    FRESH = 0
    RUNNING = 1
    DONE = 2
    BROKEN = 3
    """An unexpected exception ended it."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of the list, as the guest updates it."""

    state: int
    count: int
    progress: int
    """Number of commands that are done."""
    patience: int
    broken_vector: int
    broken_cpu: int
    stack: tuple[int, ...]
    """Top of the stack at the exception: the error code if there is one, RIP, CS."""
    starts: tuple[int, ...]
    """How often each vCPU started."""

    @classmethod
    def from_bytes(cls, data: bytes) -> Head:
        """Unpack the first `HEAD_BYTES` of the list."""
        state, count, progress, patience, vector, cpu, *rest = HEAD.unpack_from(data)
        return cls(state, count, progress, patience, vector, cpu, tuple(rest[:3]), tuple(rest[3:]))


HEAD = struct.Struct("<6I3Q4I")
HEAD_BYTES = HEAD.size
HEAD_NUMBERS = 13
MOST_VCPUS = 4
REQUEST = struct.Struct("<BBBBIQI4x")
ANSWER = struct.Struct(f"<4Q3I4x{MOST_VCPUS}I{REPEATS}I")
FAULTED = 0x100


def write_commands(commands: Sequence[Command], patience: int) -> bytes:
    """Return the list as bytes; ``patience`` is the number of loop turns to wait for an interrupt."""
    head = HEAD.pack(State.FRESH, len(commands), 0, patience, *bytes(HEAD_NUMBERS - 4))
    return head + b"".join(
        REQUEST.pack(
            command.kind,
            command.repeat,
            command.wait_for,
            command.cpu,
            command.address,
            command.value,
            command.expected,
        )
        + bytes(ANSWER.size)
        for command in commands
    )


def read_replies(data: bytes, commands: Sequence[Command]) -> Iterator[Reply]:
    """Yield the reply to each command of a list that the guest has completed."""
    size = REQUEST.size + ANSWER.size
    for number, command in enumerate(commands):
        at = HEAD_BYTES + number * size + REQUEST.size
        rax, rbx, rcx, rdx, fault, error, waited, *rest = ANSWER.unpack_from(data, at)
        arrivals, ticks = tuple(rest[:MOST_VCPUS]), tuple(rest[MOST_VCPUS:])
        vector = fault & 0xFF if fault & FAULTED else None
        yield Reply(rax, rbx, rcx, rdx, vector, error, arrivals, waited, ticks[: command.repeat])
