"""What a command imports: time depends on the machine, the list of modules does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SLOW = {
    "asyncio",
    "email",
    "importlib.metadata",
    "importlib.resources",
    "logging",
    "pathlib",
    "pydantic",
    "rich",
    "shutil",
    "subprocess",
    "tabulate",
    "unittest",
    "urllib.parse",
}
"""Modules that cost milliseconds; what the tests below name is needed."""


PLAIN = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def modules(code: str, *arguments: str) -> set[str]:
    """Return the modules that a program imports, and that an interpreter does not have anyway."""
    program = (
        "import sys; before = set(sys.modules); sys.argv = ['xenapic', *sys.argv[1:]]\n"
        f"try:\n exec({code!r})\n"
        "except SystemExit: pass\n"
        "print('imported', *(set(sys.modules) - before))"
    )
    command = [sys.executable, "-S", "-c", program, *arguments]  # site's hooks import modules themselves
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=PLAIN)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("imported ")]
    return set(line.split()[1:])


def command(*arguments: str) -> set[str]:
    return modules("from xenapic.cli import main; main()", *arguments)


def own(imported: set[str]) -> set[str]:
    """Return the rooms of xenapic that were imported."""
    return {name.split(".")[1] for name in imported if name.startswith("xenapic.")}


def test_the_library_imports_nothing() -> None:
    imported = modules("import xenapic")
    assert {name for name in imported if not name.startswith("xenapic")} <= {"__future__"}
    assert own(imported) == set()


@pytest.mark.parametrize("module", ["xenapic.live.xen", "xenapic.verify.record"])
def test_what_calls_xen_imports_nothing_slow(module: str) -> None:
    assert not SLOW & modules(f"import {module}")


def test_help_imports_no_room() -> None:
    imported = command("--help")
    assert own(imported) == {"cli", "signals"}
    assert not {name for name in imported if name.startswith("xenapic.cli.commands")}
    assert not SLOW & imported and "dataclasses" not in imported


@pytest.mark.parametrize("name", ["plan", "validate", "find", "create", "access", "spec", "verify"])
def test_only_the_command_asked_for_is_imported(name: str) -> None:
    imported = command(name, "--help")
    modules = {each for each in imported if each.startswith("xenapic.cli.commands.")}
    assert modules == {f"xenapic.cli.commands.{name}"}
    assert not {"lab", "abi", "glossary", "documents", "probe"} & own(imported)


def test_a_plan_without_xen_imports_neither_libxenctrl_nor_documents() -> None:
    imported = command("plan", "--processor", "broadwell_ult")
    assert own(imported) <= {
        "cli",
        "policy",
        "model",
        "parse",
        "apic",
        "errors",
        "frozen",
        "signals",
        "_xenctrl",
    }
    assert not SLOW & imported


def test_a_plan_in_json_imports_the_documents_that_it_needs() -> None:
    imported = command("plan", "--processor", "broadwell_ult", "--json")
    assert not {"abi", "live", "lab", "verify", "probe", "exits", "glossary"} & own(imported)


def test_explain_imports_no_xen() -> None:
    imported = command("explain", "x2apic")
    assert not {"abi", "live", "verify", "probe", "exits"} & own(imported)
    assert not SLOW & imported


def test_host_imports_neither_probe_nor_lab() -> None:
    imported = command("host", "--json")
    assert not {"lab", "verify", "probe", "glossary"} & own(imported)
    assert not {"rich", "tabulate", "importlib.metadata", "subprocess"} & imported
