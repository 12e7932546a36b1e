"""The source archive and the wheel: complete, installable, and usable with cffi alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from xenapic.abi.generations import RELEASES

pytestmark = [pytest.mark.packages, pytest.mark.xdist_group("packages")]
ROOT = Path(__file__).parent.parent.parent
NEWEST_PYTHON = 14


def run(*command: object, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def tracked() -> set[str]:
    """The files of the source tree: those in git, or all in an unpacked source archive."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing says which files belong to the source")
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    return {name for name in listed.splitlines() if (ROOT / name).exists()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build archive and wheel from a copy, the wheel from the archive, as ``make dist`` does."""
    folder = tmp_path_factory.mktemp("dist")
    copy = folder / "source"
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    run(sys.executable, "-m", "build", "--outdir", folder, copy, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def archive(built: Path) -> Path:
    (path,) = built.glob("xenapic-*.tar.gz")
    return path


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("xenapic-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the Python of a new environment that holds the wheel, and what the wheel requires."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "-q", "--python", python, "install", wheel, cwd=folder)
    yield python
    shutil.rmtree(folder)


def test_the_archive_holds_every_file_of_the_source(archive: Path) -> None:
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert tracked() - names == set()
    generated = ("docs/_build", "docs/_generated", "xenapic/_xenctrl/xen_", "xenapic/_xenctrl/since")
    assert not [name for name in names if "__pycache__" in name or name.startswith(generated)]


def test_the_wheel_serves_every_python(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    generated = {f"xenapic/_xenctrl/{row.generation}.py" for row in RELEASES}
    assert {*generated, "xenapic/_xenctrl/since.py", "xenapic/py.typed", "xenapic/__init__.pyi"} <= names
    assert {
        "xenapic/documents/schemas/host.json",
        "xenapic/lab/guest/init",
        "xenapic/lab/guest/loader.bin",
        "xenapic/probe/guest/probe.S",
        "xenapic/probe/guest/probe.elf",
    } <= names
    assert not [name for name in names if not name.startswith("xenapic")]
    assert "xenapic/abi/decl/domctl.h" in names, "xenapic abi check compares prototypes with them"


def test_the_metadata(wheel: Path) -> None:
    opened = zipfile.ZipFile(wheel)
    (name,) = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = message_from_bytes(opened.read(name))
    classifiers = metadata.get_all("Classifier") or []
    minors = [text.rpartition(".")[2] for text in classifiers if " :: Python :: 3." in text]
    assert list(map(int, minors)) == list(range(10, NEWEST_PYTHON + 1))
    assert metadata["Requires-Python"] == ">=3.10"
    assert (metadata["License-Expression"], metadata["License-File"]) == ("MIT", "LICENSE")
    assert metadata["Keywords"] and metadata["Project-URL"]
    required = [text for text in metadata.get_all("Requires-Dist") or [] if "extra ==" not in text]
    assert [text.partition(">")[0] for text in required] == ["cffi"]


IMPORT_ALL = """
import sys, xenapic
for name in xenapic.__all__ + ["open"]:
    getattr(xenapic, name)
print(xenapic.__file__)
print(*sorted(name.partition(".")[0] for name in sys.modules))
"""


def test_cffi_is_all_that_the_library_needs(installed: Path, tmp_path: Path) -> None:
    place, modules = run(installed, "-c", IMPORT_ALL, cwd=tmp_path).splitlines()
    assert Path(place).is_relative_to(installed.parent.parent)
    assert not {"click", "tabulate", "rich"} & set(modules.split())
    listed = run(sys.executable, "-m", "pip", "--python", installed, "list", "--format=freeze", cwd=tmp_path)
    assert {line.partition("==")[0] for line in listed.splitlines()} == {"cffi", "pycparser", "xenapic"}


def test_the_command_says_what_it_needs(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run([installed.parent / "xenapic"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "pip install 'xenapic[cli]'" in done.stderr


NEEDS_FILES = ("abi/test_layout.py", "pure/test_docs_contributing.py", "pure/test_processors.py")
"""Quick tests that read files outside the package: layouts, recordings, pages, make targets."""


def test_the_archives_tests_pass(archive: Path, installed: Path, tmp_path: Path) -> None:
    """Every test can be imported, and those that need other files pass, in an unpacked archive.

    pytest and the tests' other requirements come from the environment that runs this test.
    """
    run("tar", "-xzf", archive, cwd=tmp_path)
    (source,) = tmp_path.iterdir()
    (site,) = (installed.parent.parent / "lib").glob("python*/site-packages")
    own = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site / "own.pth").write_text("\n".join(own))
    run(installed, "build_ffi.py", cwd=source)
    path = f"{installed.parent}{os.pathsep}{os.environ['PATH']}"
    options = ("-q", "-p", "no:cacheprovider")
    collected = run(installed, "-m", "pytest", "--collect-only", *options, "tests", cwd=source, PATH=path)
    assert "error" not in collected.splitlines()[-1]
    files = [found for name in NEEDS_FILES for found in sorted((source / "tests").glob(name))]
    assert len(files) == len(NEEDS_FILES)
    shown = run(installed, "-m", "pytest", *options, *files, cwd=source, PATH=path)
    assert " passed" in shown.splitlines()[-1] and "failed" not in shown.splitlines()[-1]
    place = run(installed, "-c", "import xenapic; print(xenapic.__file__)", cwd=source)
    assert Path(place.strip()).is_relative_to(source)


USER_PROGRAM = """
from xenapic.abi.library import Library

def names(library: Library) -> None:
    reveal_type(library.xenctrl.xc_domain_destroy)
"""


def test_a_users_mypy_finds_the_types(wheel: Path, tmp_path: Path) -> None:
    """Neither ``stubs`` nor this source tree is on mypy's path."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    program = tmp_path / "program.py"
    program.write_text(USER_PROGRAM)
    options: tuple[Any, ...] = ("--strict", "--config-file=", "--cache-dir", tmp_path / "cache")
    shown = run(sys.executable, "-m", "mypy", *options, program.name, cwd=tmp_path, MYPYPATH=str(site))
    assert "def (xenapic._xenctrl.libxenctrl.XcInterface, int) -> int" in shown.replace("builtins.", "")
