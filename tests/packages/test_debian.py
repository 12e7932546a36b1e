"""The Debian packages: built as `make deb` builds them, clean for lintian, usable with Debian's Python."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import xenapic
from tests.packages.test_distributions import ROOT, run

pytestmark = [pytest.mark.packages, pytest.mark.xdist_group("debian")]
NEEDED = ("dpkg-buildpackage", "dh_python3", "lintian", "man")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the packages, judge them, and return the directory that both were unpacked into."""
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}; `make test-prerequisites` installs them on Debian")
    into = tmp_path_factory.mktemp("deb") / "deb"
    run("sh", "tools/build_deb.sh", into, cwd=ROOT)
    packages = sorted(into.glob("*.deb"))
    assert [path.name.partition("_")[0] for path in packages] == ["python3-xenapic", "xenapic"]
    for path in packages:
        run("dpkg-deb", "--extract", path, into / "root", cwd=into)
    return into / "root"


def test_the_version_is_that_of_the_package() -> None:
    first = (ROOT / "debian/changelog").read_text().splitlines()[0]
    assert re.match(r"xenapic \(([^)]+)\) ", first)
    assert first.partition("(")[2].partition(")")[0] == xenapic.__version__


def test_the_command_runs_with_debians_python(built: Path) -> None:
    python, library = "/usr/bin/python3", built / "usr/lib/python3/dist-packages"
    command = [
        python,
        built / "usr/bin/xenapic",
        "plan",
        "--processor",
        "skylake-sp",
        "--require",
        "tpr_shadow",
    ]
    shown = run(*command, cwd=built, PYTHONPATH=str(library), PATH="/usr/bin:/bin")
    assert "guest on skylake-sp" in shown
    where = run(python, "-c", "import xenapic; print(xenapic.__file__)", cwd=built, PYTHONPATH=str(library))
    assert Path(where.strip()).parent == library / "xenapic"


def test_the_manual_page_has_every_command(built: Path) -> None:
    from xenapic.cli.app import COMMANDS

    page = built / "usr/share/man/man1/xenapic.1.gz"
    shown = subprocess.run(
        ["man", "--warnings", "--local-file", page],
        capture_output=True,
        text=True,
        env={"MANWIDTH": "100"},
        check=True,
    )
    assert shown.stderr == ""
    names = {line.split()[0] for line in shown.stdout.splitlines() if re.match(r" {7}\S", line)}
    assert set(COMMANDS) <= names
