"""``xenapic/access``: the outcome of each access to the APIC's registers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from xenapic.apic.outcome import Completion, Kind, Operation, Outcome, SvmExit, VmxExit
from xenapic.apic.registers import register
from xenapic.errors import DocumentInvalid
from xenapic.policy.outlook import AccessRow

__all__ = ["AccessDifference", "AccessDifferences", "AccessEntry", "AccessTable"]

E = TypeVar("E")
VMX_EXITS = dict(VmxExit.__members__)
EXITS: dict[str, VmxExit | SvmExit] = {**VMX_EXITS, **SvmExit.__members__}


@dataclass(frozen=True, slots=True)
class AccessEntry:
    """An access to a register, and its outcome."""

    offset: int
    """Byte offset of the register in the APIC page."""
    msr: int
    """Number of the register's MSR in x2APIC mode."""
    register: str | None
    """Xen's symbol; null for a reserved slot."""
    operation: Operation
    value: str | None
    """The values written, if the outcome depends on them."""
    outcome: Kind
    completion: Completion | None
    """How the processor completes an access that stays in the guest."""
    exit: str | None
    """Name of the VM exit's reason."""
    exit_number: int | None
    may_exit: tuple[str, ...]
    """VM exits that can follow the completion."""
    note: str | None

    @classmethod
    def of(cls, row: AccessRow) -> AccessEntry:
        """Return the entry of a row."""
        outcome = row.outcome
        return cls(
            offset=int(row.register.offset),
            msr=row.register.msr,
            register=row.register.symbol or None,
            operation=row.operation,
            value=row.value or None,
            outcome=outcome.kind,
            completion=outcome.completion,
            exit=outcome.reason.name if outcome.reason else None,
            exit_number=int(outcome.reason) if outcome.reason else None,
            may_exit=tuple(reason.name for reason in outcome.may_exit),
            note=outcome.note or None,
        )

    def row(self) -> AccessRow:
        """Return the row; raise `DocumentInvalid` for an unknown VM exit."""
        reason = None if self.exit is None else _named(EXITS, self.exit, "exit")
        may_exit = tuple(_named(VMX_EXITS, name, "may_exit") for name in self.may_exit)
        return AccessRow(
            register(self.offset),
            self.operation,
            self.value or "",
            Outcome(self.outcome, self.completion, reason, may_exit, self.note or ""),
        )


def _named(exits: dict[str, E], name: str, key: str) -> E:
    if name not in exits:
        raise DocumentInvalid(f"unknown exit reason {name!r}; known are {', '.join(exits)}", key)
    return exits[name]


@dataclass(frozen=True, slots=True)
class AccessTable:
    """The outcome of each access to the APIC's registers."""

    SCHEMA: ClassVar[str] = "xenapic/access/1"

    accesses: tuple[AccessEntry, ...]

    @classmethod
    def of(cls, rows: Iterable[AccessRow]) -> AccessTable:
        """Return the table of some rows."""
        return cls(tuple(map(AccessEntry.of, rows)))


@dataclass(frozen=True, slots=True)
class AccessDifference:
    """An access whose outcome differs between two situations."""

    left: AccessEntry | None
    """Null where the first situation has no such access."""
    right: AccessEntry | None
    """Null where the second situation has no such access."""


@dataclass(frozen=True, slots=True)
class AccessDifferences:
    """The accesses whose outcome differs between two situations."""

    SCHEMA: ClassVar[str] = "xenapic/access/1"

    compared: int
    """Number of accesses that were compared."""
    differences: tuple[AccessDifference, ...]
