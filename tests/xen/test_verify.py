"""The specification against real Xens: a part of the matrix that ``xenapic lab verify`` runs completely."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from tests.xen.boots import on, run, thorough
from tests.xen.test_real_xen import in_dom0
from xenapic.apic.state import ApicState
from xenapic.cli.app import app
from xenapic.documents import from_json, schema_text
from xenapic.verify.check import Verdict
from xenapic.verify.checks import check_recording
from xenapic.verify.matrix import Cell, emulator_of
from xenapic.verify.recording import Recording

pytestmark = pytest.mark.xen

CELLS = (
    thorough(Cell("epyc", "4.17")),
    Cell("epyc", "4.20"),
    on("broadwell_ult", "4.17", Cell("broadwell_ult", "4.17")),
    on("broadwell_ult", "4.20", Cell("broadwell_ult", "4.20")),
    Cell("broadwell_ult", "4.17", "apicv=0"),
    thorough(Cell("corei7_ivy_bridge_3770k", "4.20")),
    thorough(Cell("corei3_cnl", "4.17")),
)
AT_LEAST = 1200
"""Values that are compared on a machine whose guests run."""


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_the_model_is_what_this_xen_does(xen_lab: Any, cell: Cell) -> None:
    done = run(
        xen_lab,
        ["python3", "-m", "xenapic.verify", cell.machine, emulator_of(cell.machine)],
        machine=cell.machine,
        xen=cell.xen,
        xen_args=cell.options.split(),
        timeout=900,
    )
    assert done.status == 0, done.stderr.decode()
    recording = from_json(done.stdout, Recording)
    report = check_recording(recording, str(cell))
    assert report.ok, "\n".join(map(str, report.of(Verdict.DISAGREES)))
    assert report.compared >= AT_LEAST
    vendor = "AMD" if cell.machine == "epyc" else "Intel"
    assert len(recording.vmcs) == (0 if vendor == "AMD" else len(ApicState))
    assert [guest.failed for guest in recording.guest] == [None] * len(ApicState)
    assert [pair.failed for pair in recording.pairs] == [None] and len(recording.pairs[0].ipis) > 50
    assert [level.failed for level in recording.levels] == [None] * 2
    assert {one.topic for one in report.checks if one.verdict is Verdict.AGREES} >= {
        "access",
        "exits",
        "CPUID",
    }


@pytest.fixture(
    scope="module", params=[thorough(("epyc", "4.20")), on("broadwell_ult", "4.17")], ids="-".join
)
def verified(request: pytest.FixtureRequest, xen_lab: Any) -> tuple[str, dict[str, Any]]:
    machine, release = request.param
    return machine, in_dom0(xen_lab, "dom0_verify.py", machine=machine, xen=release)


def test_inspecting_a_domain_in_every_state(verified: tuple[str, dict[str, Any]]) -> None:
    machine, found = verified
    intel = machine == "broadwell_ult"
    assert found["remembered"]
    for state, seen in found["states"].items():
        assert seen["status"] == 0, seen
        (vcpu,) = seen["vcpus"]
        assert vcpu["apic_state"] == state
        assert vcpu["as_predicted"] is (True if intel else None)
        assert not vcpu["plain_memory"]
    if intel:
        controls = found["states"]["x2apic"]["vcpus"][0]["controls"]
        assert "virtualize_x2apic_mode" in controls and "virtualize_apic_accesses" not in controls


def test_the_command_reports_records_and_agrees(verified: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    machine, found = verified
    run = found["verify"]
    assert run["status"] == 0, run
    recording = tmp_path / "recording.json"
    recording.write_text(run["recording"])
    again = CliRunner().invoke(app, ["spec", "check", str(recording)])
    assert again.exit_code == 0, again.output
    assert all(size > 1000 for size in run["sizes"])
    jsonschema.validate(run["document"], json.loads(schema_text("verify")))
    report = run["document"]["report"]
    assert report["agree"] == report["compared"] > 300
    assert "probe guest, misc_flags 0, APIC x2apic" in run["said"]
    assert (report["not_testable"] == []) is (machine == "broadwell_ult"), "AMD has no VMCS"
    assert all(one["verdict"] != "disagrees" for one in report["checks"])


def test_what_was_measured_decides_what_was_unknown(verified: tuple[str, dict[str, Any]]) -> None:
    machine, found = verified
    if machine == "broadwell_ult":
        assert found["plans"] == [1, 0] and "[aspect-unknown]" in found["why"]
        assert "xenapic host --measure" in found["why"]
    else:
        assert found["plans"] == [1, 1] and "[aspect-missing]" in found["why"]


def test_a_wrong_model_is_found_out_on_a_real_xen(verified: tuple[str, dict[str, Any]]) -> None:
    machine, found = verified
    ok, compared = found["right"]
    assert ok and compared > 200
    if machine == "broadwell_ult":
        assert {"VMCS", "access"} <= set(found["wrong"])
    assert found["left"] == []


@pytest.mark.parametrize("moments", [2, thorough(8)])
def test_ended_at_any_step_nothing_is_left(xen_lab: Any, moments: int) -> None:
    found = in_dom0(
        xen_lab, "tests/xen/dom0_interrupt.py", moments, "SIGINT", "SIGKILL", machine="epyc", xen="4.17"
    )
    for name, seen in found["signals"].items():
        assert any(one["status"] not in (0, "it ended by itself") for one in seen), name
        for one in seen:
            assert one["then"] == [], (name, one)
            assert name != "SIGINT" or one["left"] == [], one
            assert one["left"] == one["removed"], (name, one)
    assert found["recovered"] == 0 and found["traced"] == "it ended by itself"
    assert "gave no answer" in found["hung"]
    assert found["left"] == []
