"""The single file: complete, the same each time, and usable where nothing is installed but Python and cffi."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
WITHOUT_SITE = """
import importlib.util, os, runpy, sys
cffi = os.path.dirname(importlib.util.find_spec("_cffi_backend").origin)
sys.path[:] = [path for path in sys.path if "site-packages" not in path and "dist-packages" not in path]
import importlib.machinery
class OnlyCffi:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return importlib.machinery.PathFinder.find_spec(name, [cffi]) if name == "_cffi_backend" else None
sys.meta_path.append(OnlyCffi)
sys.argv[:] = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("single") / "xenapic.pyz"
    subprocess.run([sys.executable, ROOT / "tools" / "zipapp.py", path], check=True, stdout=subprocess.PIPE)
    return path


def test_it_holds_what_it_needs_with_licences(single: Path) -> None:
    names = set(zipfile.ZipFile(single).namelist())
    assert {"LICENSE", "xenapic/_xenctrl/xen_4_17.py", "xenapic/documents/schemas/host.json"} <= names
    assert {"xenapic/probe/guest/probe.elf", "xenapic/glossary/index.json", "click/__init__.py"} <= names
    for package in ("click", "tomli"):
        assert [name for name in names if name.startswith(f"{package}-") and "licen" in name.lower()]
    assert not [name for name in names if name.endswith((".so", ".pyc")) or name.startswith("/")]


def test_it_is_the_same_each_time(single: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.pyz"
    subprocess.run([sys.executable, ROOT / "tools" / "zipapp.py", again], check=True, stdout=subprocess.PIPE)
    assert again.read_bytes() == single.read_bytes() and os.access(again, os.X_OK)


@pytest.mark.parametrize(
    ("arguments", "status", "start"),
    [
        (["validate", "--processor", "skylake-sp", "--xen", "4.20"], 0, "PASS "),
        (["plan", "--processor", "westmere", "--effect", "x2apic-reads-stay"], 1, "refused on "),
        (["schema", "host"], 0, "{"),
        (["explain", "tpr_shadow"], 0, "use TPR shadow"),
        (["plan", "-", "--processor", "epyc"], 0, "pvh guest on epyc"),
    ],
)
def test_commands_without_any_package(
    single: Path, tmp_path: Path, arguments: list[str], status: int, start: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", WITHOUT_SITE, single, *arguments],
        cwd=tmp_path,
        input='[apic]\ntpr_shadow = "prefer"\n',
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout[: len(start)]) == (status, start), done.stderr
