"""Workloads: what the guest is told to do, and what its answers and the trace make of it."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from click.testing import CliRunner

from xenapic.apic.features import Technology
from xenapic.apic.state import ApicState
from xenapic.cli.app import app
from xenapic.cli.commands.workload import _row, _spread
from xenapic.documents import to_json
from xenapic.documents.workloads import WorkloadReport
from xenapic.errors import NameUnknown, ProbeFailed
from xenapic.exits.judgement import Cause, ExitKind
from xenapic.probe.cost import WorkloadCost, WorkloadRun, _without
from xenapic.probe.mailbox import MOST_VCPUS, REPEATS, Command, CommandKind, Reply
from xenapic.probe.workload import WORKLOADS, Workload, WorkloadScript, workload

BOTH = (ApicState.XAPIC, ApicState.X2APIC)
EXTERNAL, WRMSR = (ExitKind(Technology.VMX, reason, Cause.OTHER) for reason in (1, 32))


def body(script: WorkloadScript) -> tuple[Command, ...]:
    assert script.loop is not None
    return script.commands[script.loop.first : script.loop.end]


@pytest.mark.parametrize("state", BOTH)
@pytest.mark.parametrize("of", WORKLOADS.values(), ids=lambda of: of.name)
def test_the_clock_is_read_before_and_after_the_loop(of: Workload, state: ApicState) -> None:
    script = WorkloadScript(of, state, 7)
    clocks = [at for at, one in enumerate(script.commands) if one.kind is CommandKind.CLOCK]
    assert script.loop == (clocks[0] + 1, clocks[1], 7) and clocks[1] == len(script.commands) - 1
    assert {one.cpu for one in body(script)} == set(range(of.vcpus)) and of.vcpus <= MOST_VCPUS
    answers = [Reply(at, 0, 0, 0, None, 0, (), 0, ()) for at in range(len(script.commands))]
    assert script.ticks(answers) == clocks[1] - clocks[0]


@pytest.mark.parametrize("of", WORKLOADS.values(), ids=lambda of: of.name)
def test_a_turn_has_the_operations_that_it_claims(of: Workload) -> None:
    done = body(WorkloadScript(of, ApicState.X2APIC, 1))
    waited = sum(one.wait_for > 0 for one in done)
    assert (waited or sum(one.repeat for one in done)) == of.per_turn
    assert all(one.repeat <= REPEATS for one in done), "the guest has room for so many costs"


def test_both_modes_differ_in_the_way_alone() -> None:
    kinds = [{one.kind for one in body(WorkloadScript(WORKLOADS["tpr"], state, 1))} for state in BOTH]
    assert kinds == [{CommandKind.STORE}, {CommandKind.WRMSR}]


def run(operations: int, ticks: int, exits: Mapping[ExitKind, int], complete: bool = True) -> WorkloadRun:
    return WorkloadRun(operations, ticks, exits, complete)


def test_what_all_runs_have_in_common_is_taken_off() -> None:
    least = run(4, 1000, {EXTERNAL: 5, WRMSR: 9})
    more = _without(run(404, 41_000, {EXTERNAL: 4, WRMSR: 409}), least)
    assert (more.operations, more.ticks, more.exits) == (400, 40_000, {EXTERNAL: 0, WRMSR: 400})
    assert more.exits_per_operation == 1.0 and more.complete
    with pytest.raises(ProbeFailed, match="something else disturbed it"):
        _without(run(404, 900, {}), least)


def cost() -> WorkloadCost:
    runs = run(400, 40_000, {WRMSR: 400}), run(400, 20_000, {WRMSR: 402, EXTERNAL: 8}, complete=False)
    return WorkloadCost(ApicState.X2APIC, runs, tsc_khz=1_000_000)


def test_numbers_of_several_runs() -> None:
    found = cost()
    assert found.exits_per_operation == (1.0, 1.025)
    assert found.operations_per_second == (10_000_000, 20_000_000)
    assert list(found.kinds.items()) == [(WRMSR, 802 / 800), (EXTERNAL, 0.01)]
    assert not found.complete
    assert WorkloadCost(ApicState.XAPIC, found.runs, 0).operations_per_second == ()


def test_what_the_command_prints_of_them() -> None:
    assert _row("p.toml", cost()) == (
        *("x2apic", "p.toml", "1.02 (1.00 to 1.02)", "20,000,000 (10,000,000 to 20,000,000)"),
        "WRMSR 1.00, external interrupt 0.01",
    )
    assert _spread((), ".2f") == "unknown" and _spread((1.0, 1.0), ".2f") == "1.00"


def test_the_document() -> None:
    document = json.loads(json.dumps(to_json(WorkloadReport.of(WORKLOADS["tpr"], [("default", cost())]))))
    (entry,) = document["costs"]
    assert (document["workload"], entry["state"], entry["complete"]) == ("tpr", "x2apic", False)
    assert entry["kinds"][0] == {
        "reason": 32, "name": "WRMSR", "register": None, "operation": None, "per_operation": 1.0025
    }  # fmt: skip


def test_the_help_has_every_workload() -> None:
    said = CliRunner().invoke(app, ["workload", "--help"]).output
    for of in WORKLOADS.values():
        assert f"{of.name:<6} {of.text}" in said
    with pytest.raises(NameUnknown, match="eoi"):
        workload("eio")
