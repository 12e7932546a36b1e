"""Each stage of the lab with its disk full, its child killed, its files cut: an error that says so, and no rest."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xenapic.lab import emulators, follow, runner, snapshot
from xenapic.lab.cache import Entry
from xenapic.lab.child import Child
from xenapic.lab.compiled import compiled
from xenapic.lab.errors import DiskFull, EmulatorDied, FetchFailed, LabError, SnapshotUnusable
from xenapic.lab.follow import check_boot
from xenapic.lab.machines import machine as find_machine
from xenapic.lab.programs import run
from xenapic.lab.watch import Watch


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def big(into: Path) -> dict[str, Any]:
    (into / "image").write_bytes(bytes(100_000))
    return {}


# -- the cache -------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [50_000, 100])
def test_an_entry_on_a_full_disk(tmp_path: Path, room: int) -> None:
    entry = Entry(tmp_path / "entry", "recipe")
    with files_of_at_most(room), pytest.raises(FetchFailed, match="entry cannot be written: File too large"):
        entry.ensure(big)
    assert list(entry.home.iterdir()) == []
    entry.ensure(big)
    with files_of_at_most(room), pytest.raises(FetchFailed):
        entry.ensure(big, renew=True)
    assert entry.problem(deep=True) is None, "the old entry is still there"


def test_a_manifest_that_does_not_fit(tmp_path: Path) -> None:
    entry = Entry(tmp_path / "entry", "recipe")
    with files_of_at_most(20), pytest.raises(FetchFailed):
        entry.ensure(lambda into: {"what": "x" * 100})
    assert list(entry.home.iterdir()) == []


def test_a_compiled_form_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XENAPIC_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "x.py"
    source.write_text("ANSWER = 42\n")
    tag, nowhere = sys.implementation.cache_tag, tmp_path / "root.iso"
    with files_of_at_most(20):
        forms = compiled({"/x.py": source}, tag, nowhere)
    assert list(forms) == ["/x.py"] and list((tmp_path / "cache/lab/compiled").iterdir()) == []
    assert compiled({"/x.py": source}, tag, nowhere) == forms


def test_a_program_that_is_killed_while_it_fetches() -> None:
    with pytest.raises(FetchFailed, match="failed with status -9"):
        run("sh", "-c", "kill -KILL $$")


# -- a run -----------------------------------------------------------------------------------------


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose Xen and emulator are there; return its directory for temporary files."""
    for name in ("xen", "vmlinux", "first", "root"):
        (tmp_path / name).write_bytes(b"x" * 1000)
    xen = SimpleNamespace(
        hypervisor=tmp_path / "xen",
        kernel=tmp_path / "vmlinux",
        archives=(tmp_path / "first",),
        root=tmp_path / "root",
        python="cpython-39",
    )
    monkeypatch.setattr(runner, "_fetched", lambda order: xen)
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    monkeypatch.setenv("XENAPIC_CACHE", str(tmp_path / "cache"))
    return place


@pytest.mark.parametrize("room", [0, 10_000])
def test_a_run_on_a_full_disk(fetched: Path, room: int) -> None:
    """TMPDIR is full: the error says so, at once, and nothing is left."""
    with (
        files_of_at_most(room),
        pytest.raises(LabError, match=r"\(TMPDIR\) cannot be written: File too large"),
    ):
        runner.run(["true"])
    assert list(fetched.iterdir()) == []


def test_initial_files_that_do_not_fit(fetched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The overlay still fits, what is made of it does not."""

    def full(*_args: object) -> object:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(emulators, "initrd", full)
    with pytest.raises(LabError, match=r"\(TMPDIR\) cannot be written: No space left on device"):
        runner.run(["true"], cold=True)
    assert list(fetched.iterdir()) == []


def test_a_directory_that_cannot_be_made(fetched: Path) -> None:
    fetched.rmdir()
    with pytest.raises(LabError, match=r"no directory for the run can be made \(TMPDIR\)"):
        runner.run(["true"])


def test_a_snapshot_that_does_not_fit(fetched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = emulators.Guest(runner._fetched(None), fetched / "overlay", fetched / "channel")  # type: ignore[arg-type]
    guest.overlay.write_bytes(b"overlay")
    monkeypatch.setattr(snapshot, "_make", lambda into, *_others: big(into))
    machine = find_machine("epyc")
    with files_of_at_most(50_000), pytest.raises(SnapshotUnusable, match="cannot be written: File too large"):
        snapshot.ensure(guest, machine, "4.17", lambda _stage, _text: None)
    (home,) = (fetched.parent / "cache/lab/snapshots").iterdir()
    assert list(home.iterdir()) == []


def test_a_job_that_does_not_fit(fetched: Path) -> None:
    channel = fetched / "channel"
    emulators.make_channel(channel)
    watch = SimpleNamespace(expect=lambda *_sinks: None, split=dict)
    running = SimpleNamespace(watch=watch, next_job=1, limits={})
    order = SimpleNamespace(machine=None, release=None)
    guest = SimpleNamespace(channel=channel, files={})
    session = runner.Session(order, guest, running, "cold boot", {})  # type: ignore[arg-type]
    with files_of_at_most(1000), pytest.raises(LabError, match=r"\(TMPDIR\) cannot be written"):
        session.run(["true"])


# -- the emulator ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_an_emulator_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv("XENAPIC_CACHE", str(tmp_path / "cache"))
    serial, channel = tmp_path / "serial", tmp_path / "channel"
    serial.write_text("(XEN) the last line\n")
    emulators.make_channel(channel)
    argv = ["sh", "-c", f"echo said; kill -{int(number)} $$"]
    child = Child(argv, tmp_path / "log", env={}, cwd=tmp_path)
    with child, closing(Watch(serial, channel, child.pid)) as watch:
        while child.status() is None:
            pass
        with pytest.raises(EmulatorDied, match=rf"ended \(status -{int(number)}\) in stage .*said") as caught:
            while True:
                check_boot(watch, child, {"load": 30.0, "Xen": 30.0})
    assert caught.value.serial_path is not None and "the last line" in caught.value.serial


def test_a_machine_that_stands_still_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends long before its stage's limit; a machine that still speaks goes on."""
    monkeypatch.setenv("XENAPIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(follow, "STILL", 0.3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=0))
    serial, channel = tmp_path / "serial", tmp_path / "channel"
    emulators.make_channel(channel)
    speaks = 'for i in 1 2 3 4 5 6; do echo "(XEN) $i" >> serial; sleep 0.1; done; exec sleep 300'
    child = Child(["sh", "-c", speaks], tmp_path / "log", env={}, cwd=tmp_path)
    limits = {"load": 200.0, "Xen": 200.0}
    with (
        child,
        closing(Watch(serial, channel, child.pid)) as watch,
        pytest.raises(
            DiskFull, match=r"stands still in stage Xen; the disk of .* \(TMPDIR\) is full"
        ) as caught,
    ):
        follow.follow(watch, child, limits, lambda _stage, _text: None, lambda: False)
    assert "(XEN) 6" in caught.value.serial


def test_an_emulator_dies_with_its_parent(tmp_path: Path) -> None:
    """Even if the parent is killed before the kernel knows that it shall."""
    slow = tmp_path / "setpriv"
    slow.write_text(f'#!/bin/sh\nsleep 0.3\nexec {shutil.which("setpriv")} "$@"\n')
    slow.chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from xenapic.lab.child import Child\n"
        "here = Path('.')\n"
        "with Child(['sleep', '300'], here / 'log', env={}, cwd=here) as child:\n"
        "    print(child.pid, flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    ) as parent:
        assert parent.stdout is not None
        stat = Path(f"/proc/{int(parent.stdout.readline())}/stat")
        parent.kill()
    until = time.monotonic() + 20
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < until, "it outlives its parent"
        time.sleep(0.01)


def test_a_log_that_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed run's log does not fit into the cache: the error is the run's all the same."""
    monkeypatch.setenv("XENAPIC_CACHE", str(tmp_path))
    with files_of_at_most(10):
        assert follow._keep("x" * 100) is None
