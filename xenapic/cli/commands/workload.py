"""``xenapic workload``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

import xenapic
from xenapic.apic.state import ApicState
from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.options import INPUT, JSON, file_title, policy_of, stdin_once
from xenapic.exits.reasons import reason_name
from xenapic.probe.cost import OPERATIONS, RUNS, measure_workload
from xenapic.probe.workload import WORKLOADS, workload

if TYPE_CHECKING:
    from xenapic.exits.judgement import ExitKind
    from xenapic.policy.terms import Policy
    from xenapic.probe.cost import WorkloadCost

DEFAULT = "default"
HEADERS = ("APIC", "policy", "exits per operation", "operations per second", "exits, by kind")
STATES = (ApicState.XAPIC, ApicState.X2APIC)
LEAST_SHARE = 0.005
"""Kinds of exits that are rarer, for an operation, are not shown."""
EMULATED = "On an emulated processor, as in the lab, only the exits count: the time is the emulator's."
PLAIN = {"prefer": (), "forbid": (), "require": (), "effects": (), "accept": (), "hide_x2apic": False}
NO_OPTIONS = {**PLAIN, "assisted_xapic": DEFAULT, "assisted_x2apic": DEFAULT}
"""The options of a policy, none of which this command has."""


@click.command("workload", cls=Command)
@click.argument("name", type=click.Choice(list(WORKLOADS)))
@click.option("--policy", "policy_file", type=INPUT, help="The policy of the guest.  [default: the host's]")
@click.option("--vs", "other_file", type=INPUT, help="A second policy, to compare with.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in STATES]),
    help="Only this state of the APIC.  [default: both]",
)
@click.option(
    "--operations",
    type=click.IntRange(1, 10_000_000),
    default=OPERATIONS,
    show_default=True,
    help="Operations in a run.",
)
@click.option(
    "--runs", type=click.IntRange(1, 100), default=RUNS, show_default=True, help="Runs, for the spread."
)
@JSON
@click.pass_obj
def command(
    library: str | None,
    name: str,
    policy_file: str | None,
    other_file: str | None,
    states: tuple[str, ...],
    operations: int,
    runs: int,
    as_json: bool,
) -> None:
    """Measure what acceleration is worth: a guest that does one thing with its APIC all the time.

    Counts the guest's VM exits for each operation in Xen's trace, and operations a second by
    the guest's clock, in xAPIC and x2APIC mode, under one policy or two. NAME is one of:

    \b
    eoi    an interrupt that the guest sends itself, and its end
    timer  an APIC timer that is set, goes off, and ends
    ipi    an interrupt to another vCPU, and its end
    tpr    a write of the task priority register
    cr8    a write of the task priority through CR8

    Each run has a throw-away domain. Xen's trace buffers stay allocated until reboot.
    """
    stdin_once(policy_file, other_file)
    files = [policy_file] if other_file is None else [policy_file, other_file]
    policies = [_policy(file) for file in files]
    chosen = workload(name)
    costs: list[tuple[str, WorkloadCost]] = []
    with xenapic.open(library) as xen:
        for state in map(ApicState, states or [state.value for state in STATES]):
            for title, policy in policies:
                cost = measure_workload(xen, chosen, state, policy=policy, operations=operations, runs=runs)
                costs.append((title, cost))
    if as_json:
        from xenapic.documents.workloads import WorkloadReport

        output.emit(WorkloadReport.of(chosen, costs))
        return
    click.echo(f"{chosen.name}: {chosen.text}; {runs} runs of {operations}\n")
    output.table(HEADERS, [_row(title, cost) for title, cost in costs])
    click.echo(f"\n{EMULATED}")
    if not all(cost.complete for _title, cost in costs):
        click.echo("note: Xen's trace lost records, so exits are lower bounds")


def _policy(file: str | None) -> tuple[str, Policy | None]:
    return (DEFAULT, None) if file is None else (file_title(file), policy_of(file, dict(NO_OPTIONS))[0])


def _row(title: str, cost: WorkloadCost) -> tuple[str, ...]:
    kinds = [f"{_name(kind)} {count:.2f}" for kind, count in cost.kinds.items() if count >= LEAST_SHARE]
    exits, rates = _spread(cost.exits_per_operation, ".2f"), _spread(cost.operations_per_second, ",.0f")
    return cost.state.value, title, exits, rates, ", ".join(kinds) or "none"


def _name(kind: ExitKind) -> str:
    access = "" if kind.operation is None else f" {kind.operation.value}"
    register = "" if kind.register is None else f" {kind.register}{access}"
    return f"{reason_name(kind.technology, kind.reason)}{register}"


def _spread(values: Sequence[float], form: str) -> str:
    """Return the middle of sorted values, and the lowest and highest where they differ."""
    if not values:
        return "unknown"
    low, middle, high = (f"{value:{form}}" for value in (values[0], values[len(values) // 2], values[-1]))
    return middle if low == high else f"{middle} ({low} to {high})"
