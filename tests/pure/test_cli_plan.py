"""plan and access on the command line: no Xen needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from tests.hosts import host
from xenapic.cli.app import app
from xenapic.documents import schema_text, to_json

NAMED = ("--processor", "broadwell_ult", "--xen", "4.17-rc")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def document(name: str, done: Result) -> Any:
    found = json.loads(done.stdout)
    jsonschema.validate(found, json.loads(schema_text(name)))
    return found


def test_a_plan_shows_what_will_be_in_force() -> None:
    done = run("plan", *NAMED)
    assert done.exit_code == 0, done.output
    assert "ASSISTED_XAPIC|ASSISTED_X2APIC" in done.stdout
    assert "APIC_ACCESS_VIRT|X2APIC_VIRT" in done.stdout
    for state in ("xapic", "x2apic", "disabled"):
        assert f"\n{state} " in done.stdout


def test_a_refusal_names_rule_fact_and_remedy() -> None:
    done = run("plan", "--processor", "broadwell_ult", "--xen", "4.20", "--assisted-x2apic", "no")
    assert done.exit_code == 1
    assert "[aspect-imposed]" in done.stdout and "known from: processor broadwell_ult" in done.stdout
    assert "Boot Xen with apicv=0" in done.stdout


@pytest.mark.parametrize("more", [[], ["--effect", "nothing-accelerated"], ["--type", "pv"]])
def test_plan_in_json(more: list[str]) -> None:
    done = run("plan", *NAMED, "--json", *more)
    found = document("plan", done)
    assert done.exit_code == (0 if found["possible"] else 1)


def test_a_pool(tmp_path: Path) -> None:
    names = []
    for number, made in enumerate((host(), host(commandline="apicv=0"))):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(to_json(made)))
        names += ["--host", str(path)]
    done = run("plan", *names)
    assert done.exit_code == 0 and "holds on 2 of 2 hosts" in done.stdout
    assert "virtual-interrupt delivery is no on" in done.stdout
    refused = run("plan", *names, "--require", "virtual_interrupt_delivery")
    assert refused.exit_code == 1 and "1.json stands in the way" in refused.stdout
    assert set(document("plan", run("plan", *names, "--json"))["hosts"]) == {names[1], names[3]}


def test_a_policy_file_and_options_go_together(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text('[apic]\neffects = ["xapic-eoi-stays"]\nguest_type = "hvm"\n')
    done = run("plan", str(path), *NAMED, "--prefer", "posted_interrupts", "--hide-x2apic")
    assert done.exit_code == 0 and done.stdout.startswith("hvm guest")
    assert "preferred-not-had" in done.stdout and "x2apic " not in done.stdout.split("APIC  ")[1]


def test_accesses() -> None:
    done = run("access", *NAMED, "--state", "x2apic")
    assert done.exit_code == 0
    assert "stays; EOI virtualization; may end in VIRTUALIZED_EOI (45)" in done.stdout
    found = document("access", run("access", *NAMED, "--json", "--all"))
    assert len(found["accesses"]) == 2 * 256 + 1  # ICR is written with two kinds of value


def test_the_difference_between_two_situations() -> None:
    done = run("access", *NAMED, "--diff", "assisted-xapic=no")
    assert done.exit_code == 0 and "memory" in done.stdout
    assert done.stdout.rstrip().endswith("95 of 95 differ")
    same = run("access", *NAMED, "--diff", "xen=4.20")
    assert same.stdout.rstrip().endswith("0 of 95 differ")
    found = document("access", run("access", *NAMED, "--json", "--diff", "xen-options=apicv=0"))
    assert 0 < len(found["differences"]) < found["compared"] == 95
    other = document("access", run("access", *NAMED, "--json", "--diff", "state=x2apic"))
    assert any(one["left"] is None for one in other["differences"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "--processor", "nonsense"],
        ["plan", "--processor", "broadwell_ult", "--xen", "3.0"],
        ["plan", "--require", "nonsense"],
        ["plan", "--processor", "broadwell_ult", "--host", __file__],
        ["access", *NAMED, "--diff", "nonsense"],
        ["access", *NAMED, "--diff", "state=nonsense"],
        ["access", *NAMED, "--diff", "assisted-xapic=perhaps"],
        ["access", "--host", __file__, "--host", __file__],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_what_is_no_report_or_policy(tmp_path: Path) -> None:
    done = run("plan", "--host", __file__)
    assert done.exit_code == 2 and "[document-invalid]" in done.stderr and "Traceback" not in done.output
