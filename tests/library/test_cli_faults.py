"""Every command with a stdout that takes nothing, and every file that a command writes on a full disk."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import xenapic
from tests.library.fakehost import Host
from tests.library.faults import Faults
from tests.library.operations import in_place
from tests.library.test_faults_commands import CASES, leaves
from xenapic.abi.library import load
from xenapic.cli.app import app
from xenapic.cli.base import OutputFile
from xenapic.lab import runner
from xenapic.live import vmcs
from xenapic.live.vmcs import Patience
from xenapic.live.xen import Xen
from xenapic.verify import matrix, record
from xenapic.verify.recording import read_recording

pytestmark = pytest.mark.library
OBSERVED = Path(__file__).parent.parent / "data" / "observed"
SMALLEST = min(OBSERVED.glob("*.json"), key=lambda path: path.stat().st_size)

WITHOUT_HOST: dict[str, list[list[str]]] = {
    "abi diff": [["4.17", "4.20"]],
    "completion": [["bash"]],
    "explain": [["tpr_shadow"], []],
    "lab list": [[], ["--json"]],
    "schema": [["plan"]],
    "spec check": [[str(SMALLEST)]],
}
"""What the commands are run with that ask no host."""
ELSEWHERE = {
    "lab run": "prints what its command prints: test_a_lab_run_into_a_stdout_that_takes_nothing",
    "lab shell": "hands its terminal over",
    "lab fetch": "prints on stderr alone",
    "lab add": "prints only after it has added a Xen, which these tests do not build",
    "lab build": "prints only after it has built a Xen: tests/lab/test_build.py",
    "lab remove": "prints nothing",
    "abi check": "needs headers and a compiler: tests/abi/test_proof.py",
    "proposal series": "needs a tree of Xen's source: tests/pure/test_proposal_series.py",
    "explore": "prints one page of HTML, through the same stdout as the others",
    "lab compare": "needs recordings or boots: tests/pure/test_compare.py",
    "lab xtf": "prints as xtf does: tests/pure/test_xtf.py",
    "lab verify": "test_a_report_on_a_full_disk_does_not_cost_the_result",
}
"""Commands that are not run with each kind of stdout, and why."""
RUNS = [*CASES, *((name, words) for name, each in WITHOUT_HOST.items() for words in each)]
RUNS = [(name, words) for name, words in RUNS if "--dry-run" not in words]
"""Leave out what another run of the same command prints too."""


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    made = Host(load())
    made.obeys = "[xtf" not in request.node.name
    library = Faults(load(), made).library
    monkeypatch.setattr(xenapic, "open", lambda _library=None: Xen(library))
    monkeypatch.setenv("XENAPIC_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(vmcs, "PATIENCE", Patience(presses=2, seconds=2, settle_seconds=0.0))
    yield made
    made.close()


@contextmanager
def full() -> Iterator[io.TextIOWrapper]:
    with io.TextIOWrapper(Path("/dev/full").open("wb"), encoding="utf-8") as stream:
        yield stream


@contextmanager
def broken() -> Iterator[io.TextIOWrapper]:
    reader, writer = os.pipe()
    os.close(reader)
    with io.TextIOWrapper(os.fdopen(writer, "wb"), encoding="utf-8") as stream:
        yield stream


@contextmanager
def unwritable() -> Iterator[io.TextIOWrapper]:
    """A descriptor that is open for reading only: EBADF."""
    raw = io.FileIO(os.open(os.devnull, os.O_RDONLY), "w")
    with io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8") as stream:
        yield stream


KINDS = {"full": (full, {1}), "broken": (broken, {1, 141}), "unwritable": (unwritable, {1})}


def main(monkeypatch: pytest.MonkeyPatch, stdout: Any, words: list[str]) -> int:
    """Run the command with a stdout; return its status. Any exception but SystemExit is a traceback."""
    words = in_place(words, Path(os.environ["XENAPIC_STATE"]).parent)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        with pytest.raises(SystemExit) as end:
            app.main(words)
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "words"), RUNS, ids=str)
def test_a_stdout_that_takes_nothing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    host: Host,
    kind: str,
    name: str,
    words: list[str],
) -> None:
    before, (make, statuses) = host.state, KINDS[kind]
    with make() as stdout:
        status = main(monkeypatch, stdout, [*name.split(), *words])
    said = capsys.readouterr().err
    silent = words == ["--clear"] or (kind == "broken" and status == 141)
    assert status in statuses or words == ["--clear"], said
    assert silent or "written" in said or "printed" in said or "write the output" in said, said
    assert host.state[1:] == before[1:], "tracing, mappings and libraries are as before"
    assert host.state[0].keys() <= before[0].keys(), "no domain that nobody knows of"


@pytest.mark.parametrize(("name", "words"), RUNS, ids=str)
def test_a_stdout_that_is_closed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    host: Host,
    name: str,
    words: list[str],
) -> None:
    before = host.state
    assert main(monkeypatch, None, [*name.split(), *words]) == 1
    assert "stdout is closed" in capsys.readouterr().err
    assert host.state == before, "it is refused before the work"


@pytest.mark.parametrize(("name", "words"), RUNS, ids=str)
def test_a_stdout_with_few_letters(monkeypatch: pytest.MonkeyPatch, name: str, words: list[str]) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    assert main(monkeypatch, stdout, [*name.split(), *words]) in (0, 1)


def test_every_command_is_run() -> None:
    ran = {name for name, _words in RUNS}
    assert not ran & ELSEWHERE.keys()
    assert {name for name, _command in leaves(app)} == ran | ELSEWHERE.keys()


# -- files -----------------------------------------------------------------------------------------

REPORTS = {
    "verify": ("--record", "--junit", "--html"),
    "lab verify": ("--junit", "--html"),
    "lab run": ("--keep-log",),
    "abi check": ("--save",),
    "boot": ("--log",),
    "lab compare": ("--html",),
    "xtf": ("--junit",),
    "lab xtf": ("--junit",),
}
"""Options of commands that name a file to write."""


def test_every_file_that_a_command_writes_is_known() -> None:
    found = {
        name: tuple(param.opts[0] for param in command.params if isinstance(param.type, OutputFile))
        for name, command in leaves(app)
    }
    assert {name: options for name, options in found.items() if options} == REPORTS


@pytest.mark.parametrize("option", REPORTS["verify"])
def test_a_report_on_a_full_disk_does_not_cost_the_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    recording = read_recording(json.loads(SMALLEST.read_text()))
    monkeypatch.setattr(record, "record", lambda *_arguments: recording)
    with pytest.raises(SystemExit) as end:
        app.main(["verify", "--quiet", option, "/dev/full"])
    done = capsys.readouterr()
    assert end.value.code == 1 and " agree" in done.out
    assert "/dev/full could not be written: No space left on device" in done.err


@pytest.mark.parametrize("option", REPORTS["lab verify"])
def test_a_report_on_a_full_disk_does_not_cost_the_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    monkeypatch.setattr(matrix, "run_matrix", lambda cells, *_more: {})
    with pytest.raises(SystemExit) as end:
        app.main(["lab", "verify", "--machines", "epyc", "--json", option, "/dev/full"])
    done = capsys.readouterr()
    assert end.value.code == 1 and json.loads(done.out)
    assert "/dev/full could not be written: No space left on device" in done.err


def test_a_place_for_recordings_is_tried_before_the_boots(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(matrix, "run_matrix", None)
    with pytest.raises(SystemExit) as end:
        app.main(["lab", "verify", "--machines", "epyc", "--record-dir", "/proc/nowhere"])
    assert end.value.code == 2 and "cannot be written" in capsys.readouterr().err


# -- lab run ---------------------------------------------------------------------------------------


@pytest.fixture
def printing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose command prints a line and ends with 7."""

    def run(*_arguments: object, on_stdout: Any, **_more: object) -> runner.RunResult:
        on_stdout(b"a line\n")
        return runner.RunResult(7, b"a line\n", b"", "(XEN) log\n", {"boot": 1.0}, "epyc", "4.17")

    monkeypatch.setattr(runner, "run", run)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lab_run_into_a_stdout_that_takes_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], printing: None, kind: str
) -> None:
    make, _statuses = KINDS[kind]
    errors = {"full": errno.ENOSPC, "unwritable": errno.EBADF}
    with make() as stdout:
        status = main(monkeypatch, stdout, ["lab", "run", "--", "true"])
    assert status == (141 if kind == "broken" else 1)
    said = capfd.readouterr().err
    assert "Traceback" not in said and (kind == "broken" or os.strerror(errors[kind]) in said)


def test_a_log_that_cannot_be_kept_leaves_the_commands_status(
    capfd: pytest.CaptureFixture[str], printing: None
) -> None:
    with pytest.raises(SystemExit) as end:
        app.main(["lab", "run", "--keep-log", "/dev/full", "--", "true"])
    done = capfd.readouterr()
    assert (end.value.code, done.out) == (7, "a line\n")
    assert "/dev/full could not be written: No space left on device" in done.err


# -- few descriptors, and a state that cannot be kept ----------------------------------------------


@pytest.mark.parametrize("most", [5, 6, 7])
@pytest.mark.parametrize("words", ["plan --processor skylake-sp", "host", "lab run --cold -- true"])
def test_few_descriptors(tmp_path: Path, most: int, words: str) -> None:
    """With four, Python itself may not start."""
    done = subprocess.run(
        ["sh", "-c", f'ulimit -n {most}; exec "$0" -m xenapic {words}', sys.executable],
        capture_output=True,
        text=True,
        env={**os.environ, "XENAPIC_CACHE": str(tmp_path)},
    )
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr
    assert done.returncode == 0 or "Too many open files" in done.stderr or "[no-xen]" in done.stderr, done


def test_a_policy_that_cannot_be_stored_does_not_cost_the_domain(
    monkeypatch: pytest.MonkeyPatch, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_room(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", no_room)
    with pytest.raises(SystemExit) as end:
        app.main(["create", "--prefer", "tpr_shadow"])
    assert end.value.code == 0 and capsys.readouterr().out == "1\n"
    assert set(host.state[0]) == {1, 3, 5}
