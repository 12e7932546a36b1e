"""The list of commands in the probe guest's memory, as bytes; the other end is ``guest/probe.S``."""

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
"""How often an access is timed; as in the recordings."""


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
    """One command: an access, how often it is made, and which interrupt is waited for afterwards."""

    kind: CommandKind
    address: int = 0
    """Linear address, or number of the MSR."""
    value: int = 0
    """What is written."""
    repeat: int = REPEATS
    wait_for: int = 0
    """Vector of the interrupt; 0 for none."""

    def __str__(self) -> str:
        return f"{self.kind.name} {self.address:#x} {self.value:#x}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a command: registers after the last try, the last fault, the cost of each try."""

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
    """How the guest ends an interrupt."""

    kind: int
    """0 not at all, 1 by a write to memory, 2 by a write to an MSR."""
    address: int


class State(IntEnum):
    """How far the guest is."""

    FRESH = 0
    RUNNING = 1
    DONE = 2
    BROKEN = 3
    """An exception came where none was expected."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of the list as the guest leaves it."""

    state: int
    count: int
    progress: int
    """Commands done."""
    patience: int
    eoi: Eoi
    broken_vector: int
    stack: tuple[int, ...]
    """Top of the stack when the exception came: error code if it has one, EIP, CS."""

    @classmethod
    def from_bytes(cls, data: bytes) -> Head:
        """Take apart what `HEAD_BYTES` hold."""
        state, count, progress, patience, eoi_kind, eoi_address, vector, *stack = HEAD.unpack_from(data)
        return cls(state, count, progress, patience, Eoi(eoi_kind, eoi_address), vector, tuple(stack))


HEAD = struct.Struct("<10I")
HEAD_BYTES = 64
REQUEST = struct.Struct("<BBBxIQ")
ANSWER = struct.Struct(f"<8I{REPEATS}I")
FAULTED = 0x100


def write_commands(commands: Sequence[Command], patience: int, eoi: Eoi) -> bytes:
    """Return the list; ``patience`` is how many turns the guest waits for an interrupt."""
    head = HEAD.pack(State.FRESH, len(commands), 0, patience, *eoi, 0, 0, 0, 0)
    return head.ljust(HEAD_BYTES, b"\0") + b"".join(
        REQUEST.pack(one.kind, one.repeat, one.wait_for, one.address, one.value) + bytes(ANSWER.size)
        for one in commands
    )


def read_replies(data: bytes, commands: Sequence[Command]) -> Iterator[Reply]:
    """Yield the answer to each command from a list that the guest has worked through."""
    size = REQUEST.size + ANSWER.size
    for number, command in enumerate(commands):
        at = HEAD_BYTES + number * size + REQUEST.size
        eax, ebx, ecx, edx, fault, error, arrivals, waited, *ticks = ANSWER.unpack_from(data, at)
        vector = fault & 0xFF if fault & FAULTED else None
        yield Reply(eax, ebx, ecx, edx, vector, error, arrivals, waited, tuple(ticks[: command.repeat]))
