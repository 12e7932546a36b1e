"""What a script relies on: with --json one document on stdout, and exit statuses that tell no from nonsense."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from click.testing import CliRunner, Result

from tests.hosts import host
from xenapic.cli.app import COMMANDS, app
from xenapic.cli.base import Command
from xenapic.cli.status import MEANINGS, Status
from xenapic.documents import document_type, from_json, schema_text, to_json

NAMED = ("--processor", "broadwell_ult", "--xen", "4.17-rc")
MISSING = "/nowhere/none.json"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def commands(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


WITH_JSON = [
    path for path, command in commands(app) if any(param.name == "as_json" for param in command.params)
]
NONSENSE: dict[str, list[str]] = {
    "plan": ["--effect", "nonsense"],
    "access": ["--diff", "nonsense"],
    "find": ["nonsense"],
    "explain": ["nonsense"],
    "spec check": [MISSING],
    "inspect": ["nonsense"],
    "create": ["--set", "nonsense=1"],
    "destroy": [],
    "console": ["--origin", "nonsense"],
    "exits": [],
    "verify": ["--state", "nonsense"],
    "lab verify": ["--apicv", "nonsense"],
}
"""Arguments that make no sense, by command; the others get an unknown option."""


def document(done: Result) -> Any:
    """Return the one document on stdout."""
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    found = json.loads(done.stdout)
    name = found["schema"].split("/")[1]
    jsonschema.validate(found, json.loads(schema_text(name)))
    return found


def test_every_command_refuses_what_is_given_twice() -> None:
    assert [path for path, command in commands(app) if not isinstance(command, Command)] == []


@pytest.mark.parametrize("path", WITH_JSON, ids=" ".join)
def test_nonsense_with_json_is_one_document(path: tuple[str, ...]) -> None:
    done = run(*path, *NONSENSE.get(" ".join(path), ["--nonsense"]), "--json")
    found = document(done)
    assert found["schema"] == "xenapic/error/1"
    assert done.exit_code == found["exit_status"] == 2
    assert found["message"] in " ".join(done.stderr.split()) or found["message"] in done.stderr
    assert to_json(from_json(done.stdout)) == found


def test_the_table_of_nonsense_names_commands_that_exist() -> None:
    assert {*NONSENSE} <= {" ".join(path) for path in WITH_JSON}


@pytest.mark.parametrize("command", ["info", "host", "list", "plan", "access", "find"])
def test_without_xen_there_is_one_document(command: str) -> None:
    done = run(command, "--json")
    found = document(done)
    assert done.exit_code == found["exit_status"] == 3
    assert found["code"] in ("no-xen", "library-not-found", "no-privilege")


def test_a_refusal_is_one_document() -> None:
    done = run("access", *NAMED[:2], "--xen", "4.20", "--assisted-xapic", "no", "--json")
    found = document(done)
    assert done.exit_code == found["exit_status"] == 1 and found["code"] == "policy-refused"
    assert [reason["code"] for reason in found["reasons"]] == ["aspect-imposed"]


def test_an_unknown_command_with_json_is_one_document() -> None:
    assert document(run("nonsense", "--json"))["code"] == "usage"


def test_a_document_comes_with_nothing_else() -> None:
    done = run("plan", *NAMED, "--json")
    assert done.exit_code == 0 and document(done)["possible"] and not done.stderr


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["plan", *NAMED], 0),
        (["plan", *NAMED, "--require", "tpr_shadow"], 0),
        (["plan", *NAMED, "--effect", "everything-possible"], 0),
        (["plan", *NAMED[:2], "--effect", "nothing-accelerated"], 1),
        (["plan", *NAMED[:2], "--assisted-x2apic", "no"], 1),
        (["access", *NAMED[:2], "--assisted-xapic", "no"], 1),
        (["plan", *NAMED, "--effect", "nothing-acelerated"], 2),
        (["plan", *NAMED, "--accept", "apic-defect-memroy"], 2),
        (["plan", *NAMED, "--require", "tpr_shadwo"], 2),
        (["plan", "--processor", "broadwel"], 2),
        (["plan", *NAMED[:2], "--xen", "4.99"], 2),
        (["plan", "--host", MISSING], 2),
        (["plan", "--host", "/"], 2),
        (["plan", "--host", __file__], 2),
        (["plan", MISSING, *NAMED], 2),
        (["plan", "/", *NAMED], 2),
        (["access", *NAMED, "--diff", f"host={MISSING}"], 2),
        (["access", *NAMED, "--diff", "host=/"], 2),
        (["access", *NAMED, "--diff", f"host={__file__}"], 2),
        (["spec", "check", __file__], 2),
        (["create", "--vcpus", "-1"], 2),
        (["destroy", "99999"], 2),
        (["explain", "nonsense"], 2),
        (["pln"], 2),
        (["plan"], 3),
        (["info"], 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_the_status_tells_no_from_nonsense(arguments: list[str], status: int) -> None:
    done = run(*arguments)
    assert done.exit_code == status, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    if status:
        assert done.stderr or done.stdout.startswith("refused")


def test_reports_that_cannot_be_read(tmp_path: Path) -> None:
    text = json.dumps(to_json(host()))
    for name, content in {
        "cut": text[: len(text) // 2].encode(),
        "nul": b"\0" * 100,
        "latin": text.encode()[:-1] + b"\xe9}",
        "deep": b"[" * 100_000,
        "empty": b"",
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        done = run("plan", "--host", str(path))
        assert done.exit_code == 2 and str(path) in done.stderr, (name, done.output)
        assert isinstance(done.exception, SystemExit)


def test_a_policy_file_that_says_nonsense(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text('[apic]\ntpr_shadwo = "require"\n')
    done = run("plan", str(path), *NAMED)
    assert done.exit_code == 2 and "tpr_shadow" in done.stderr
    path.write_text('[apic]\ntpr_shadow = "require"\n')
    assert run("plan", str(path), *NAMED).exit_code == 0


# -- questions are not changed silently ------------------------------------------------------------


@pytest.fixture
def report(tmp_path: Path) -> str:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(to_json(host())))
    return str(path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["find", "--everywhere", "--xen", "4.17"],
        ["plan", *NAMED, "--xen", "4.20"],
        ["plan", *NAMED, "--xen-options", "apicv=0", "--xen-options", "apicv=1"],
        ["plan", *NAMED, "--type", "pv", "--type", "hvm"],
        ["access", *NAMED, "--processor", "zen4"],
        ["access", *NAMED, "--diff", "xen=4.17", "--diff", "xen=4.18"],
        ["access", *NAMED, "--diff", "processor=zen4", "--diff", "host=REPORT"],
        ["access", *NAMED, "--state", "xapic", "--state", "x2apic"],
    ],
    ids=" ".join,
)
def test_an_option_without_effect_is_refused(arguments: list[str], report: str) -> None:
    done = run(*(text.replace("REPORT", report) for text in arguments))
    assert done.exit_code == 2, done.output


def test_two_processors_make_a_pool() -> None:
    found = document(run("plan", "--processor", "broadwell_ult", "--processor", "zen4", "--json"))
    assert set(found["hosts"]) == {"broadwell_ult Xen 4.20", "zen4 Xen 4.20"}


def test_a_report_compared_with_a_processor(report: str) -> None:
    done = run("access", "--host", report, "--diff", "processor=zen4", "--diff", "xen=4.20")
    assert done.exit_code == 0 and "differ" in done.stdout


# -- one table of statuses -------------------------------------------------------------------------


def test_help_has_the_table_of_statuses() -> None:
    shown = " ".join(run("--help").stdout.split())
    assert {*MEANINGS} == {*Status}
    assert all(f"{int(status)} {meaning}" in shown for status, meaning in MEANINGS.items())


def test_the_error_document_is_one_class() -> None:
    assert document_type("error").SCHEMA == "xenapic/error/1"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_line_of_help(name: str) -> None:
    command = app.get_command(click.Context(app), name)
    assert command is not None and command.help and COMMANDS[name].endswith(".")


# -- host --log ------------------------------------------------------------------------------------

LOG = """(XEN) Xen version 4.17.5 (Debian) (gcc) debug=n
(XEN) VMX: Supported advanced features:
(XEN)  - APIC MMIO access virtualisation
(XEN)  - APIC TPR shadow
(XEN)  - APIC Register Virtualization
(XEN)  - Virtual Interrupt Delivery
(XEN) HVM: ASIDs enabled.
(XEN) HVM: VMX enabled
"""


def test_a_host_from_a_log(tmp_path: Path) -> None:
    path = tmp_path / "xl-dmesg"
    path.write_text(LOG)
    found = document(run("host", "--log", str(path), "--json"))
    assert found["technology"] == "VMX" and found["features"]["tpr_shadow"]["answer"] == "yes"
    assert str(path) in found["features"]["tpr_shadow"]["source"]
    piped = CliRunner().invoke(app, ["host", "--log", "-", "--json"], input=LOG)
    answers = {key: fact["answer"] for key, fact in document(piped)["features"].items()}
    assert answers == {key: fact["answer"] for key, fact in found["features"].items()}
    report = tmp_path / "report.json"
    report.write_text(json.dumps(found))
    assert run("plan", "--host", str(report), "--require", "tpr_shadow").exit_code == 0
    assert run("plan", "--host", str(report), "--forbid", "tpr_shadow").exit_code == 1


EMPTY = str(Path(__file__).parent / "__init__.py")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--log", EMPTY],
        ["--log", MISSING],
        ["--log", "/"],
        ["--log", EMPTY, "--probe"],
    ],
    ids=" ".join,
)
def test_a_log_that_is_none(arguments: list[str]) -> None:
    done = run("host", *arguments, "--json")
    assert done.exit_code == 2 and document(done)["exit_status"] == 2
