"""Measure what a workload costs under a policy: VM exits by Xen's trace, and time by the guest's clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from xenapic.apic.state import ApicState
from xenapic.errors import ProbeFailed
from xenapic.exits.counter import ExitCounter
from xenapic.frozen import dataclass
from xenapic.live.measure import throw_away_config
from xenapic.probe.run import TIMEOUT, run_loop
from xenapic.probe.workload import Workload, WorkloadScript

if TYPE_CHECKING:
    from xenapic.exits.judgement import ExitKind
    from xenapic.live.xen import Xen
    from xenapic.policy.terms import Policy

__all__ = ["OPERATIONS", "RUNS", "WorkloadCost", "WorkloadRun", "measure_workload"]

OPERATIONS, RUNS = 1000, 3
TRACE_PAGES = 128
"""Trace buffer of each CPU in pages."""


@dataclass(frozen=True, slots=True)
class WorkloadRun:
    """One run of the loop, without what comes before and after it."""

    operations: int
    ticks: int
    """TSC ticks."""
    exits: Mapping[ExitKind, int]
    complete: bool
    """Whether every exit was counted; otherwise the numbers are lower bounds."""

    @property
    def exits_per_operation(self) -> float:
        """All exits, those for the host's own interrupts included."""
        return sum(self.exits.values()) / self.operations


@dataclass(frozen=True, slots=True)
class WorkloadCost:
    """What a workload costs in one state of the APIC under one policy."""

    state: ApicState
    runs: tuple[WorkloadRun, ...]
    tsc_khz: int
    """0 where Xen does not tell."""

    @property
    def exits_per_operation(self) -> tuple[float, ...]:
        """Of each run, lowest first."""
        return tuple(sorted(run.exits_per_operation for run in self.runs))

    @property
    def operations_per_second(self) -> tuple[float, ...]:
        """Of each run, lowest first; empty where the clock's frequency is unknown."""
        rate = self.tsc_khz * 1000
        return tuple(sorted(run.operations * rate / run.ticks for run in self.runs if rate and run.ticks))

    @property
    def kinds(self) -> dict[ExitKind, float]:
        """Exits for an operation by kind, in the mean of all runs; most frequent first."""
        total: Counter[ExitKind] = Counter()
        for run in self.runs:
            total.update(run.exits)
        operations = sum(run.operations for run in self.runs)
        return {kind: count / operations for kind, count in total.most_common() if count}

    @property
    def complete(self) -> bool:
        """Whether every exit of every run was counted."""
        return all(run.complete for run in self.runs)


TRIES = 3
"""A busy host can disturb the run with one turn, which the others are compared with."""


def measure_workload(
    xen: Xen,
    of: Workload,
    state: ApicState,
    *,
    policy: Policy | None = None,
    operations: int = OPERATIONS,
    runs: int = RUNS,
    timeout: float = TIMEOUT,
) -> WorkloadCost:
    """Run a workload in throw-away domains created for ``policy``; ``timeout`` is in seconds, for each run.

    What the guest does before its loop is measured by itself, with one turn of the loop, and taken off.
    Raises the errors of `Xen.create_domain` and `ExitCounter`, `CallFailed` and `ProbeFailed`.
    """
    turns = max(1, -(-operations // of.per_turn))
    for _ in range(TRIES):
        least = _run(xen, of, state, policy, 1, timeout)
        each = tuple(_run(xen, of, state, policy, turns + 1, timeout) for _ in range(runs))
        if all(run.ticks > least.ticks for run in each):
            break
    return WorkloadCost(state, tuple(_without(run, least) for run in each), xen.physinfo().cpu_khz)


def _run(
    xen: Xen, of: Workload, state: ApicState, policy: Policy | None, turns: int, timeout: float
) -> WorkloadRun:
    config = throw_away_config(xen.host()).replace(max_vcpus=of.vcpus)
    script = WorkloadScript(of, state, turns)
    with xen.create_domain(config, policy) as domain:
        domain.set_max_vcpus(of.vcpus)
        with ExitCounter(xen, domain.domid, pages=TRACE_PAGES) as counter:
            ticks = run_loop(domain, script, timeout, counter.wait)
            report = counter.stop()
    return WorkloadRun(of.per_turn * turns, ticks, report.kinds, report.complete)


def _without(run: WorkloadRun, least: WorkloadRun) -> WorkloadRun:
    """Return a run without the work that all runs have in common."""
    ticks, operations = run.ticks - least.ticks, run.operations - least.operations
    if ticks <= 0:
        raise ProbeFailed(
            f"the workload's loop took {run.ticks} TSC ticks for {run.operations} operations, and "
            f"{least.ticks} for {least.operations}: something else disturbed it"
        )
    exits = {kind: max(0, count - least.exits.get(kind, 0)) for kind, count in run.exits.items()}
    return WorkloadRun(operations, ticks, exits, run.complete and least.complete)
