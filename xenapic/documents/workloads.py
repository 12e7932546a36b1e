"""``xenapic/workload``: what a workload costs, under one policy or two."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from xenapic.apic.outcome import Operation
from xenapic.apic.state import ApicState
from xenapic.exits.reasons import reason_name
from xenapic.frozen import dataclass
from xenapic.probe.cost import WorkloadCost
from xenapic.probe.workload import Workload

__all__ = ["WorkloadEntry", "WorkloadExits", "WorkloadReport"]


@dataclass(frozen=True, slots=True)
class WorkloadExits:
    """The exits of one kind."""

    reason: int
    """Basic exit reason (VMX) or exit code (SVM)."""
    name: str
    register: str | None
    """Null for an unknown register or none."""
    operation: Operation | None
    per_operation: float


@dataclass(frozen=True, slots=True)
class WorkloadEntry:
    """What the workload costs in one state of the APIC under one policy."""

    policy: str
    """The policy's file; ``default`` for the host's default."""
    state: ApicState
    exits_per_operation: tuple[float, ...]
    """Of each run, lowest first."""
    operations_per_second: tuple[float, ...]
    """Of each run, lowest first; on an emulated processor they mean nothing."""
    kinds: tuple[WorkloadExits, ...]
    """Exits for an operation by kind, in the mean of all runs; most frequent first."""
    complete: bool
    """Whether every exit was counted; otherwise the numbers are lower bounds."""

    @classmethod
    def of(cls, policy: str, cost: WorkloadCost) -> WorkloadEntry:
        """Return the entry of a cost."""
        return cls(
            policy,
            cost.state,
            cost.exits_per_operation,
            cost.operations_per_second,
            tuple(
                WorkloadExits(
                    kind.reason,
                    reason_name(kind.technology, kind.reason),
                    kind.register,
                    kind.operation,
                    count,
                )
                for kind, count in cost.kinds.items()
            ),
            cost.complete,
        )


@dataclass(frozen=True, slots=True)
class WorkloadReport:
    """What a workload costs."""

    SCHEMA: ClassVar[str] = "xenapic/workload/1"

    workload: str
    operation: str
    """What one operation is."""
    costs: tuple[WorkloadEntry, ...]

    @classmethod
    def of(cls, workload: Workload, costs: Iterable[tuple[str, WorkloadCost]]) -> WorkloadReport:
        """Return the document of what was measured, each with the name of its policy."""
        return cls(workload.name, workload.text, tuple(WorkloadEntry.of(name, cost) for name, cost in costs))
