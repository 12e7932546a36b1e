"""Guests in the manner of XTF, on real Xens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.xen.boots import run
from tests.xtftree import GUESTS, VERDICTS, write_test, write_tree
from xenapic.cli.app import app

pytestmark = pytest.mark.xen
ENDLESS = ("hangs", "floods")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write_tree(tmp_path)
    return tmp_path


def xtf(xen_lab: Any, tree: Path, machine: str, release: str, *options: str) -> tuple[int, dict[str, Any]]:
    command = ["xenapic", "xtf", "/xtf", "--json", *options]
    done = run(xen_lab, command, machine=machine, xen=release, files={"/xtf": tree}, timeout=1200)
    (answer,) = json.loads(done.stdout)["runs"]
    return done.status, {result["name"].split("-")[-1]: result for result in answer["results"]}


def test_verdicts_of_guests_that_end(xen_lab: Any, tree: Path) -> None:
    names = [name for name in VERDICTS if name not in ENDLESS]
    status, seen = xtf(xen_lab, tree, "epyc", "4.17", "--select", ",".join([*names, "shadow"]))
    assert status == 1
    assert {name: seen[name]["verdict"] for name in names} == {name: VERDICTS[name] for name in names}
    assert seen["warns"]["warnings"] and not seen["fine"]["warnings"]
    assert seen["fine"]["output"] == ["--- a test ---", "ESR: 0x60", "Test result: SUCCESS"]
    assert "ended with a reboot" in seen["faults"]["note"] and "ended with a crash" in seen["panics"]["note"]
    assert seen["shadow~hap"]["verdict"] == "success"
    assert seen["shadow~shadow"]["verdict"] == "refused" and "shadow" in seen["shadow~shadow"]["note"]


@pytest.mark.thorough
@pytest.mark.parametrize(("machine", "release"), [("epyc", "4.20"), ("broadwell_ult", "4.17")])
def test_verdicts_of_all_guests(xen_lab: Any, tree: Path, machine: str, release: str) -> None:
    status, seen = xtf(xen_lab, tree, machine, release, "--timeout", "20")
    assert status == 1
    assert {name: seen[name]["verdict"] for name in VERDICTS} == VERDICTS
    assert "its last words: Test result: SUCCESS" in seen["hangs"]["note"]


@pytest.mark.thorough
def test_settings_of_the_file_count(xen_lab: Any, tmp_path: Path) -> None:
    """vCPUs and nesting: Xen 4.20 refuses a nested guest on AMD, 4.17 does not."""
    write_test(tmp_path, "nested", GUESTS["fine"], more="nestedhvm = 1\n")
    write_test(
        tmp_path, "three", GUESTS["fine"], more='vcpus=3\nviridian=["base"]\nmax_event_channels=4096\n'
    )
    done = CliRunner().invoke(app, ["lab", "xtf", str(tmp_path), "--xen", "4.17,4.20", "--json", "--quiet"])
    assert done.exit_code == 1, done.output
    report = json.loads(done.stdout)
    assert [run["untested"] for run in report["runs"]] == [None, None]
    (difference,) = report["differences"]
    assert difference["name"] == "test-hvm32-nested"
    assert difference["verdicts"] == {"4.17": "success", "4.20": "refused"}
