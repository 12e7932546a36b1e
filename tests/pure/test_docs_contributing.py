"""The guide for contributors: the places named in CONTRIBUTING.md exist, and each make target is explained."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()


def test_every_path_of_the_guide_exists() -> None:
    paths = re.findall(r"`((?:xenapic|tests|docs|tools)/[\w/.]+|CHANGELOG\.md)`", GUIDE)
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    ("table", "path"), re.findall(r"`([A-Z_]+)`\s+(?:\(|in )`(xenapic/[\w/]+)\.py`", GUIDE)
)
def test_every_table_of_the_guide_is_in_its_module(table: str, path: str) -> None:
    module = import_module(path.removesuffix("/__init__").replace("/", "."))
    assert len(getattr(module, table)) > 1


def test_the_guide_has_the_layers_that_are_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    section = GUIDE.partition("## The packages")[2].partition("## ")[0]
    rows = [
        re.findall(r"`(\w+)`", row.split("|")[1]) for row in re.findall(r"^\| `.*", section, re.MULTILINE)
    ]
    assert rows == [layer.split(" | ") for layer in layers]


def test_the_guide_has_each_directory_of_tests() -> None:
    kinds = {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `tests/(\w+)`", GUIDE, re.MULTILINE)) == kinds


def test_make_help_explains_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    # Started by `make test`, a second make would say which directory it enters.
    own = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"
    }
    done = subprocess.run(["make", "help"], cwd=ROOT, env=own, capture_output=True, text=True, check=True)
    shown = done.stdout
    assert {line.split()[0] for line in shown.splitlines()} == set(phony.split())
    assert all(len(line.split()) > 3 for line in shown.splitlines())


INTERNAL = {"XENAPIC_COMPLETE", "XENAPIC_LAB_SERVER"}
"""Set by shells for completion, and by the lab for its own use."""


def test_every_environment_variable_is_public_or_internal() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "xenapic").rglob("*.py"))
    public = set(re.findall(r"`(XENAPIC_\w+)`", (ROOT / "docs" / "reference" / "stability.md").read_text()))
    assert set(re.findall(r"\bXENAPIC_[A-Z_]+\b", source)) | INTERNAL == public | INTERNAL
