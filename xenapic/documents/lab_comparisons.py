"""``xenapic/lab-compare``: what differs between two Xens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from xenapic.frozen import dataclass
from xenapic.verify.compare import Comparison
from xenapic.verify.sides import Outcome

__all__ = ["ChangedValue", "CostEntry", "LabComparison", "MachineComparison"]


@dataclass(frozen=True, slots=True)
class ChangedValue:
    """A value that is not the same in both."""

    topic: str
    where: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class CostEntry:
    """An access whose cost, in TSC ticks, differs by more than the spread."""

    where: str
    first: int
    second: int
    spread: int


@dataclass(frozen=True, slots=True)
class MachineComparison:
    """The comparison on one machine."""

    name: str
    """The machine, and "apicv=0" if Xen was booted with it."""
    compared: int
    differences: tuple[ChangedValue, ...]
    accesses: int
    """The number of accesses whose costs were compared."""
    costs: tuple[CostEntry, ...]

    @classmethod
    def of(cls, one: Comparison) -> MachineComparison:
        """Return the entry of a comparison."""
        return cls(
            one.name,
            one.compared,
            tuple(ChangedValue(d.topic, d.where, d.first, d.second) for d in one.differences),
            len(one.costs),
            tuple(CostEntry(c.where, round(c.first), round(c.second), round(c.spread)) for c in one.dearer),
        )


@dataclass(frozen=True, slots=True)
class LabComparison:
    """What differs between two Xens of the lab, or between recordings."""

    SCHEMA: ClassVar[str] = "xenapic/lab-compare/1"

    first: str
    second: str
    differs: bool
    machines: tuple[MachineComparison, ...]
    untested: Mapping[str, str]
    """What could not be compared, and why."""

    @classmethod
    def of(cls, outcome: Outcome) -> LabComparison:
        """Return the document of a comparison."""
        return cls(
            outcome.first.name,
            outcome.second.name,
            outcome.differs,
            tuple(map(MachineComparison.of, outcome.comparisons)),
            outcome.untested,
        )
