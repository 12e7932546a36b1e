"""Stdout that takes no answer: full, closed, broken, or without the letters for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

NAMED = ("--processor", "broadwell_ult")
ANSWERS = [
    ["--help"],
    ["--version"],
    ["plan", "--help"],
    ["plan", *NAMED],
    ["plan", *NAMED, "--json"],
    ["access", *NAMED],
    ["find", *NAMED],
    ["explain"],
    ["schema", "plan"],
    ["lab", "list"],
    ["completion", "bash"],
]


def run(*arguments: str, stdout: int | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "xenapic", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def loud(done: subprocess.CompletedProcess[str]) -> bool:
    """Tell whether Python itself said something."""
    return "Traceback" in done.stderr or "Exception ignored" in done.stderr


@pytest.mark.parametrize("arguments", ANSWERS, ids=" ".join)
def test_a_full_disk(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(*arguments, stdout=full.fileno())
    assert done.returncode == 1 and "No space left on device" in done.stderr and not loud(done)


@pytest.mark.parametrize("arguments", ANSWERS, ids=" ".join)
def test_a_closed_stdout(arguments: list[str]) -> None:
    command = 'exec "$@" >&-'
    done = subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, "-m", "xenapic", *arguments],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 1 and "stdout is closed" in done.stderr and not loud(done)


@pytest.mark.parametrize("arguments", ANSWERS, ids=" ".join)
def test_a_reader_that_went_away(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run(*arguments, stdout=writer)
    os.close(writer)
    assert done.returncode in (1, 141) and not loud(done)
    assert not done.stderr or "Broken pipe" in done.stderr


def test_an_encoding_without_the_letters() -> None:
    done = run("lab", "verify", "--help", stdout=subprocess.PIPE, PYTHONIOENCODING="latin-1")
    assert done.returncode == 0 and "\\u2026" in done.stdout  # the dots in NAME,…


def test_a_closed_stderr() -> None:
    command = 'exec "$@" 2>&-'
    arguments = ["sh", sys.executable, "-m", "xenapic", "plan", "--processor", "nonsense"]
    done = subprocess.run(["sh", "-c", command, *arguments], stdout=subprocess.PIPE)
    assert done.returncode == 2


def writer_of(fifo: Path, process: subprocess.Popen[str]) -> int:
    """Open a pipe for writing when the process reads from it."""
    while process.poll() is None:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # ENXIO: nobody reads yet
            time.sleep(0.05)
    raise AssertionError(process.communicate()[1])


def test_ctrl_c_has_its_own_status(tmp_path: Path) -> None:
    fifo = tmp_path / "report.json"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "xenapic", "plan", "--host", str(fifo), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    writer = writer_of(fifo, process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    os.close(writer)
    assert process.returncode == 130 and "Traceback" not in stderr
    assert '"code": "interrupted"' in stdout


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--record", "--junit", "--html"])
@pytest.mark.parametrize("place", ["/proc/nowhere/report", "/", "/dev/full/report"])
def test_a_report_that_cannot_be_written_is_refused_before_the_work(option: str, place: str) -> None:
    done = run("verify", option, place, "--json", stdout=subprocess.PIPE)
    assert done.returncode == 2 and f"{place!r} cannot be written" in done.stderr
    assert "no-xen" not in done.stderr


def test_a_log_that_cannot_be_kept_is_refused_before_the_boot() -> None:
    done = run("lab", "run", "--keep-log", "/proc/nowhere/log", "--", "true")
    assert done.returncode == 2 and "cannot be written" in done.stderr


def test_stdout_holds_one_document() -> None:
    done = run("verify", "--record", "-", "--json", stdout=subprocess.PIPE)
    assert done.returncode == 2 and "stdout ('-') can hold only one document" in done.stderr


def test_trying_a_file_leaves_nothing(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    old.write_text("kept")
    assert run("verify", "--record", str(new), "--html", str(old)).returncode == 3
    assert not new.exists() and old.read_text() == "kept"
