from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import jsonschema
import pytest
from click.testing import CliRunner, Result

from xenapic.cli import output
from xenapic.cli.app import COMMANDS, app
from xenapic.cli.base import LazyGroup
from xenapic.cli.output import printable
from xenapic.documents import DOCUMENTS
from xenapic.documents.failures import ErrorReport

pytestmark = pytest.mark.library
ROOT = Path(__file__).parent.parent.parent


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(
    "arguments", [["info"], ["host"], ["list"], ["create"], ["destroy", "--orphans"], ["console"]]
)
def test_without_xen_the_status_is_3_and_says_what_to_do(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 3
    assert "xenapic lab run" in result.stderr and "[no-xen]" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["destroy"],
        ["destroy", "0"],
        ["destroy", "1", "--orphans"],
        ["create", "--set", "nonsense=1"],
        ["create", "--set", "flags=+nonsense"],
        ["create", "--set", "max_vcpus"],
        ["create", "--set", "handle=1"],
        ["console", "--raw", "--json"],
        ["schema", "nonsense"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_value_that_fits_nowhere_is_invalid() -> None:
    result = run("create", "--vcpus", "-1")
    assert result.exit_code == 2 and "max_vcpus=-1 does not fit" in result.stderr


def test_help_lists_every_command_and_imports_none() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in COMMANDS)
    code = "import sys; from xenapic.cli.app import app; app(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"tabulate", "rich", "_cffi_backend", "xenapic.live.xen"} & set(done.stdout.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command(name: str) -> None:
    assert run(name, "--help").exit_code == 0


@pytest.mark.parametrize("name", DOCUMENTS)
def test_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(run("schema", name).stdout))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    assert "_XENAPIC_COMPLETE" in run("completion", shell).stdout


def test_guests_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\x9bc") == "a\\x1b[2Jb\\x9bc"


def test_lab_list_follows_its_schema() -> None:
    document = json.loads(run("lab", "list", "--json").stdout)
    jsonschema.validate(document, json.loads(run("schema", "machines").stdout))
    names = {machine["name"] for machine in document["machines"]}
    assert {"epyc", "core2_penryn_t9600", "corei3_cnl", "tigerlake", "ryzen"} <= names


@pytest.mark.parametrize("printed", [False, True])
def test_an_interruption_outside_every_command_still_gives_one_document(
    monkeypatch: pytest.MonkeyPatch, printed: bool
) -> None:
    """Ctrl-C may come before click has made a context, or after it has left the last one."""

    def interrupted(*_args: object, **_more: object) -> None:
        if printed:
            output.emit(ErrorReport("interrupted", "first", 130))
        raise click.Abort

    monkeypatch.setattr(LazyGroup, "main", interrupted)
    for _ in range(2):
        done = CliRunner().invoke(app, ["list", "--json"])
        assert done.exit_code == 130
        assert json.loads(done.stdout)["message"] == ("first" if printed else "interrupted")
