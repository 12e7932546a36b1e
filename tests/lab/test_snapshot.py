"""Snapshots of a started dom0: one that is damaged, unfinished or of something else is never used."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xenapic.lab import emulators, snapshot
from xenapic.lab.cache import Entry, cache_root
from xenapic.lab.emulators import check
from xenapic.lab.errors import FetchFailed, LabUsageError, SnapshotUnusable
from xenapic.lab.machines import machine
from xenapic.lab.pytest_plugin import XenLab
from xenapic.lab.runner import COLD, SNAPSHOT, run
from xenapic.lab.xens import XenFiles

EPYC = machine("epyc")
KINDS = ("hypervisor", "kernel", "first", "root")


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> emulators.Guest:
    """A guest of files that do not boot, and a cache of its own."""
    monkeypatch.setenv("XENAPIC_CACHE", str(tmp_path / "cache"))
    for name in (*KINDS, "overlay", "channel"):
        (tmp_path / name).write_bytes(name.encode())
    hypervisor, kernel, first, root = (tmp_path / name for name in KINDS)
    files = XenFiles(hypervisor, kernel, first, root, "cpython-311")
    return emulators.Guest(files, tmp_path / "overlay", tmp_path / "channel")


def fill(into: Path, *_others: object) -> dict[str, Any]:
    (into / snapshot.STATE).write_bytes(b"state" * 1000)
    (into / snapshot.SERIAL).write_bytes(b"(XEN) log\n")
    return {}


def fail(*_given: object) -> dict[str, Any]:
    raise FetchFailed("the machine died\nof this")


def ensure(guest: emulators.Guest, said: list[str]) -> Entry:
    return snapshot.ensure(guest, EPYC, "4.17", lambda stage, text: said.append(f"{stage}: {text}"))


@pytest.mark.parametrize(
    "changed",
    [*KINDS, "overlay", "time of kernel", "emulator", "release", "machine", "xen_args", "dom0_args"],
)
def test_whatever_changes_is_another_snapshot(
    guest: emulators.Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    before = snapshot.entry(guest, EPYC, "4.17").home
    assert snapshot.entry(guest, EPYC, "4.17").home == before
    release, kind = "4.17", EPYC
    if changed == "emulator":
        other = tmp_path / "bin/qemu-system-x86_64"
        other.parent.mkdir()
        shutil.copy("/bin/true", other)
        monkeypatch.setenv("PATH", str(other.parent))
    elif changed == "release":
        release = "4.20"
    elif changed == "machine":
        kind = replace(EPYC, name="another")
    elif changed.endswith("_args"):
        guest = replace(guest, **{changed: ("debug",)})  # type: ignore[arg-type]
    elif changed.startswith("time of"):
        os.utime(tmp_path / changed.rsplit(maxsplit=1)[-1], (1, 1))
    else:
        (tmp_path / changed).write_bytes(b"other")
    assert snapshot.entry(guest, kind, release).home != before


def test_unasked_only_plain_runs_in_qemu_have_one(guest: emulators.Guest) -> None:
    plain = emulators.Guest(guest.xen, guest.overlay, guest.channel)
    assert snapshot.usual(plain, EPYC)
    assert not snapshot.usual(plain, machine("broadwell_ult"))
    for options in ({"xen_args": ("conring_size=32k",)}, {"dom0_args": ("debug",)}):
        other = replace(plain, **options)  # type: ignore[arg-type]
        assert not snapshot.usual(other, EPYC)


def test_cold_and_from_a_snapshot_is_a_contradiction() -> None:
    with pytest.raises(LabUsageError, match="not both"):
        run(["true"], cold=True, snapshot=True)


def test_it_is_made_once_and_the_oldest_are_removed(
    guest: emulators.Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_make", fill)
    homes = []
    for number in range(snapshot.KEPT + 2):
        guest.overlay.write_bytes(b"%d" % number)
        homes.append(ensure(guest, []).home)
        os.utime(homes[-1], (number, number))
    monkeypatch.setattr(snapshot, "_make", fail)
    ensure(guest, [])
    assert [home.exists() for home in homes] == [False, False] + [True] * snapshot.KEPT


def test_a_truncated_one_is_made_again_and_that_is_said(
    guest: emulators.Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_make", fill)
    said: list[str] = []
    kept = ensure(guest, said)
    assert said == []
    os.truncate(kept.path / snapshot.STATE, 10)
    ensure(guest, said)
    assert said == [
        "retry: the snapshot is damaged (state is missing or cut short); booting cold to make it again"
    ]
    assert kept.problem(deep=True) is None


def test_one_that_cannot_be_made_says_why(guest: emulators.Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_make", fail)
    with pytest.raises(SnapshotUnusable, match=r"could be made \(the machine died\)$"):
        ensure(guest, [])

    def full(*_given: object) -> dict[str, Any]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot, "_make", full)
    with pytest.raises(SnapshotUnusable, match="No space left"):
        ensure(guest, [])


def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> Path:
    """Copy what the cache has of the default release, and ``more``, into a cache of this test."""
    own = tmp_path / "cache/lab"
    for name in ("xen-4.17", *more):
        shutil.copytree(cache_root() / "lab" / name, own / name)
    monkeypatch.setenv("XENAPIC_CACHE", str(own.parent))
    return own


class Runs:
    """Runs of a command that prints one word; what the last one said about its start."""

    def __init__(self, xen_lab: XenLab, **options: Any) -> None:
        self._lab = xen_lab
        self._options = options
        self.said: dict[str, str] = {}

    def start(self) -> str:
        """Run the command, which must give the right answer; return how the machine started."""
        told: list[tuple[str, str]] = []
        tell = lambda *each: told.append(each)  # noqa: E731
        result = self._lab.run(["sh", "-c", "echo right"], progress=tell, **self._options)
        assert (result.status, result.stdout) == (0, b"right\n")
        self.said = dict(told)
        return result.start


@pytest.mark.xen
def test_a_damaged_or_unfinished_snapshot_means_a_cold_boot(
    xen_lab: XenLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, runs = private_cache(tmp_path, monkeypatch), Runs(xen_lab)
    killed_while_making(xen_lab)
    assert runs.start() == SNAPSHOT and "snapshot" in runs.said
    assert runs.start() == SNAPSHOT and "snapshot" not in runs.said
    (state,) = own.glob("snapshots/*/current/state")
    garble(state)
    assert runs.start() == COLD and re.search("damaged|stopped reading|ended", runs.said["retry"])
    assert not state.exists()


@pytest.mark.xen
@pytest.mark.thorough
def test_a_snapshot_of_another_xen_is_not_used(
    xen_lab: XenLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file at another time is another Xen."""
    own, runs = private_cache(tmp_path, monkeypatch), Runs(xen_lab)
    assert runs.start() == SNAPSHOT and "snapshot" in runs.said
    os.utime(own / "xen-4.17/current/xen", (1, 1))
    assert runs.start() == SNAPSHOT and "snapshot" in runs.said
    assert len(list(own.glob("snapshots/*/current/state"))) == 2


@pytest.mark.xen
@pytest.mark.thorough
def test_a_snapshot_that_no_qemu_wrote_means_a_cold_boot(
    xen_lab: XenLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, runs = private_cache(tmp_path, monkeypatch), Runs(xen_lab)
    assert runs.start() == SNAPSHOT
    (state,) = own.glob("snapshots/*/current/state")
    state.write_bytes(b"no state" * 100_000)
    describe(state)  # so that its checksum is right
    assert runs.start() == COLD
    assert re.search("emulator ended|stopped reading|not start", runs.said["retry"])


@pytest.mark.xen
@pytest.mark.thorough
def test_bochs_continues_from_one_where_that_is_asked_for(
    xen_lab: XenLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs as fast as one that was booted: its timers are those that were saved."""
    check(machine("broadwell_ult"))
    own = private_cache(tmp_path, monkeypatch, "bochs-3.0")
    options: dict[str, Any] = {"machine": "broadwell_ult", "snapshot": True, "xen_args": ["conring_size=64k"]}
    runs = Runs(xen_lab, **options)
    assert runs.start() == SNAPSHOT and "snapshot" in runs.said
    assert runs.start() == SNAPSHOT and "snapshot" not in runs.said
    interrupts = "cat /proc/interrupts; date +%s; xenapic host --json"
    before = time.time()
    result = xen_lab.run(["sh", "-c", interrupts], **options)
    (console,) = (line for line in result.stdout.decode().splitlines() if "hvc_console" in line)
    assert console.split()[1] == "0"
    clock, host = re.search(r"^(\d+)\n(\{.*)", result.stdout.decode(), re.M | re.S).groups()  # type: ignore[union-attr]
    assert before - 2 < int(clock) < time.time() + 2
    assert json.loads(host)["features"]["virtual_interrupt_delivery"]["answer"] == "yes"
    (memory,) = own.glob("snapshots/*/current/state/memory.ram")
    garble(memory)
    assert runs.start() == COLD and "damaged" in runs.said["retry"]


def garble(state: Path) -> None:
    """Change one bit in the middle, probably in a page of memory, without a trace in size or time."""
    before = state.stat()
    with state.open("r+b") as file:
        file.seek(state.stat().st_size // 2)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    os.utime(state, ns=(before.st_atime_ns, before.st_mtime_ns))


def describe(state: Path) -> None:
    """Enter the state's size and checksum into the manifest."""
    path = state.parent / "manifest.json"
    manifest = json.loads(path.read_text())
    digest = hashlib.sha256(state.read_bytes()).hexdigest()
    status = state.stat()
    manifest["files"]["state"] = {
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "sha256": digest,
    }
    path.write_text(json.dumps(manifest))


def killed_while_making(xen_lab: XenLab) -> None:
    """Start a run that has to make the snapshot, and kill it while the machine boots."""
    argv = [sys.executable, "-m", "xenapic", "lab", "run", "-m", xen_lab.machine, "--", "true"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"making a snapshot" in line and b"dom0" in line:
                break
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)


@pytest.mark.xen
def test_a_restored_machine_has_its_own_time_and_random_numbers(xen_lab: XenLab) -> None:
    command = ["python3", "-c", "import os, time; print(time.time(), os.urandom(8).hex())"]
    answers = []
    for _ in range(2):
        before = time.time()
        result = xen_lab.run(command)
        clock, random = result.stdout.decode().split()
        assert result.start == SNAPSHOT and before - 1 < float(clock) < time.time() + 1
        assert "Xen version" in result.serial, "the log of the boot belongs to it"
        answers.append(random)
    assert answers[0] != answers[1]
