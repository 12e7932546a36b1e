"""The list of commands in the probe guest's memory, as bytes; ``guest/probe.S`` is the other side."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

__all__ = [
    "HEAD_BYTES",
    "REPEATS",
    "Command",
    "CommandKind",
    "Eoi",
    "Head",
    "Reply",
    "State",
    "read_replies",
    "write_commands",
]

REPEATS = 8
"""Number of tries of an access, as in recordings."""


class CommandKind(IntEnum):
    """What a command does."""

    NOTHING = 0
    LOAD = 1
    STORE = 2
    RDMSR = 3
    WRMSR = 4
    CPUID = 5
    """Leaf in ``value``, subleaf in ``address``."""


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

    def __str__(self) -> str:
        return f"{self.kind.name} {self.address:#x} {self.value:#x}"


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of a command: registers after the last try, the last fault, the cost of each try."""

    eax: int
    ebx: int
    ecx: int
    edx: int
    fault: int | None
    error_code: int
    arrivals: int
    waited: int
    """TSC ticks."""
    ticks: tuple[int, ...]

    @property
    def value(self) -> int:
        """EDX:EAX."""
        return self.edx << 32 | self.eax


class Eoi(NamedTuple):
    """How the guest signals the end of an interrupt."""

    kind: int
    """0: not at all; 1: by a write to memory; 2: by a write to an MSR."""
    address: int


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
    eoi: Eoi
    broken_vector: int
    stack: tuple[int, ...]
    """Top of the stack at the exception: the error code if there is one, EIP, CS."""

    @classmethod
    def from_bytes(cls, data: bytes) -> Head:
        """Unpack the first `HEAD_BYTES` of the list."""
        state, count, progress, patience, eoi_kind, eoi_address, vector, *stack = HEAD.unpack_from(data)
        return cls(state, count, progress, patience, Eoi(eoi_kind, eoi_address), vector, tuple(stack))


HEAD = struct.Struct("<10I")
HEAD_BYTES = 64
REQUEST = struct.Struct("<BBBxIQ")
ANSWER = struct.Struct(f"<8I{REPEATS}I")
FAULTED = 0x100


def write_commands(commands: Sequence[Command], patience: int, eoi: Eoi) -> bytes:
    """Return the list as bytes; ``patience`` is the number of loop turns to wait for an interrupt."""
    head = HEAD.pack(State.FRESH, len(commands), 0, patience, *eoi, 0, 0, 0, 0)
    return head.ljust(HEAD_BYTES, b"\0") + b"".join(
        REQUEST.pack(command.kind, command.repeat, command.wait_for, command.address, command.value)
        + bytes(ANSWER.size)
        for command in commands
    )


def read_replies(data: bytes, commands: Sequence[Command]) -> Iterator[Reply]:
    """Yield the reply to each command of a list that the guest has completed."""
    size = REQUEST.size + ANSWER.size
    for number, command in enumerate(commands):
        at = HEAD_BYTES + number * size + REQUEST.size
        eax, ebx, ecx, edx, fault, error, arrivals, waited, *ticks = ANSWER.unpack_from(data, at)
        vector = fault & 0xFF if fault & FAULTED else None
        yield Reply(eax, ebx, ecx, edx, vector, error, arrivals, waited, tuple(ticks[: command.repeat]))
