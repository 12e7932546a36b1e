"""Snapshots: a started dom0 with xenapic imported, restored in a fraction of the time of a boot.

A snapshot is named by everything that went into it, so a changed emulator, Xen, kernel, root or xenapic
never meets an old one. What differs between runs reaches dom0 after the restore, as a job.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import select
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

from xenapic.lab import bochs, emulators, job
from xenapic.lab.cache import Entry, cache_root
from xenapic.lab.child import Child
from xenapic.lab.emulators import Guest
from xenapic.lab.errors import BootError, LabError, SnapshotUnusable
from xenapic.lab.follow import POLL, Progress, Running, check_boot, follow
from xenapic.lab.machines import Machine
from xenapic.lab.overlay import ENV
from xenapic.lab.pace import Stopwatch
from xenapic.lab.programs import need_room
from xenapic.lab.rundir import run_directory, writing
from xenapic.lab.watch import SENT_BEFORE_SNAPSHOT, Watch

# Increase it when this module makes something else of the same inputs.
FORMAT = 1
ROOM = 150
"""Megabytes that a snapshot takes at most, beside the machine's memory."""
KEPT = 4
"""How many snapshots are kept; each has about 180 MB in QEMU, and 310 MB in Bochs."""
WARM_UP = (("host", "--json"), ("--version",))
"""Commands that run before the snapshot is taken; what they import, later ones have. None changes Xen.

The last one waits until the server has imported what the others had. More would make the first run slow.
"""
WARM_UP_LIMIT = 120.0
SAVE_LIMIT = 60.0
WARM_UP_JOB = 1

STATE, SERIAL = emulators.SAVED_STATE, "serial.log"
PIECE = 1 << 20
WAIT = 0.2
SET_PIPE_SIZE = 1031
"""F_SETPIPE_SZ, which Python's fcntl has from 3.10 on some systems only."""


def usual(guest: Guest, machine: Machine) -> bool:
    """Return True if a run starts from a snapshot unasked: in QEMU, without options for Xen or dom0."""
    return machine.emulator == "qemu" and not guest.xen_args and not guest.dom0_args


def entry(guest: Guest, machine: Machine, release: str) -> Entry:
    """Return the cache entry of the snapshot that fits a run."""
    files = (guest.xen.hypervisor, guest.xen.kernel, *guest.xen.archives, guest.xen.root)
    recipe = (
        FORMAT, machine, release, guest.memory, guest.xen_args, guest.dom0_args, WARM_UP, ENV,
        emulators.XEN_ARGS, emulators.DOM0_ARGS, emulators.identity(machine),
        [emulators.identity_of(file) for file in files],
        hashlib.sha256(guest.overlay.read_bytes()).hexdigest(),
    )  # fmt: skip
    digest = hashlib.sha256(repr(recipe).encode()).hexdigest()
    return Entry(_home() / f"{machine.name}-{release}-{digest[:16]}", digest)


def _home() -> Path:
    return cache_root() / "lab" / "snapshots"


def ensure(guest: Guest, machine: Machine, release: str, progress: Progress) -> Entry:
    """Return the snapshot that fits a run; if there is none, boot a machine and make it.

    Raise `SnapshotUnusable` if that fails.
    """
    kept = entry(guest, machine, release)
    problem = kept.problem()
    if problem and kept.path.exists():
        progress("retry", f"the snapshot is damaged ({problem}); booting cold to make it again")
    try:
        kept.ensure(lambda into: _make(into, guest, machine, progress))
        os.utime(kept.home)
    except (OSError, LabError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SnapshotUnusable(f"no snapshot could be made ({reason})") from error
    _remove_unused(kept)
    return kept


def _remove_unused(kept: Entry) -> None:
    with contextlib.suppress(OSError):
        homes = sorted(_home().iterdir(), key=lambda home: home.stat().st_mtime, reverse=True)
        for home in homes[KEPT:]:
            if home != kept.home:
                shutil.rmtree(home, ignore_errors=True)


def _make(into: Path, guest: Guest, machine: Machine, progress: Progress) -> dict[str, Any]:
    """Boot, warm up, and save the machine's state into the directory `into`."""
    need_room(into, guest.memory.machine + ROOM)
    with run_directory() as place, _pipe() as (commands, monitor):
        channel, serial = place / "channel", place / SERIAL
        emulators.make_channel(channel)
        job.warm_up(WARM_UP, ENV).post(channel, WARM_UP_JOB)
        start = emulators.to_save(machine, replace(guest, channel=channel), place, serial, into)
        limits = {**start.limits, "dom0": start.limits["dom0"] + WARM_UP_LIMIT}
        child = Child(start.argv, place / "emulator.log", env=start.env, cwd=into, stdin=commands.fileno())
        with child, closing(Watch(serial, channel, child.pid)) as watch:
            tell = _telling(progress)
            follow(watch, child, limits, tell, lambda: watch.answers == SENT_BEFORE_SNAPSHOT)
            progress("snapshot", "saving")
            monitor.write(start.save.encode())
            since = Stopwatch(watch.pace)
            while child.status() is None and not since.exceeds(SAVE_LIMIT):
                time.sleep(POLL)
            if start.saved not in child.said():
                raise SnapshotUnusable(f"the emulator did not save its state: {child.said()[-300:]!r}")
        if machine.emulator == "bochs":
            bochs.check_saved(into / STATE)
        shutil.copyfile(serial, into / SERIAL)
    return {}


@contextlib.contextmanager
def restored(
    kept: Entry, guest: Guest, machine: Machine, place: Path, progress: Progress
) -> Iterator[Running]:
    """Restore a snapshot as a machine that has answered; raise `SnapshotUnusable` if that fails.

    Every byte is checked before the machine gets a job.
    """
    restore = _restored_qemu if machine.emulator == "qemu" else _restored_bochs
    with ExitStack() as stack:
        try:
            before = (kept.path / SERIAL).read_bytes()
            running = stack.enter_context(restore(kept, guest, machine, place, before, progress))
        except BootError as error:
            raise SnapshotUnusable(str(error).splitlines()[0]) from error
        except (OSError, ValueError) as error:
            raise SnapshotUnusable(f"the snapshot cannot be read: {error}") from error
        yield running


@contextlib.contextmanager
def _restored_qemu(
    kept: Entry, guest: Guest, machine: Machine, place: Path, before: bytes, progress: Progress
) -> Iterator[Running]:
    """Restore QEMU, which takes its state from a pipe: the checksum is made on the way."""
    serial = place / SERIAL
    wanted = kept.manifest()["files"][STATE]["sha256"]
    with (kept.path / STATE).open("rb", buffering=0) as state, _pipe() as (into_qemu, feed):
        with writing(place):
            start = emulators.qemu_to_restore(guest, place, serial, into_qemu.fileno())
        child = Child(
            start.argv, place / "emulator.log", env=start.env, cwd=place, pass_fds=[into_qemu.fileno()]
        )
        with child, closing(Watch(serial, guest.channel, child.pid, before=before)) as watch:
            into_qemu.close()
            if _feed(state, feed, watch, child, start.limits) != wanted:
                raise SnapshotUnusable("the snapshot is damaged")
            feed.close()
            job.answer().post(guest.channel, WARM_UP_JOB + 1)
            follow(watch, child, start.limits, progress, lambda: watch.answers > 0)
            yield Running(child, watch, start.limits, WARM_UP_JOB + 2)


@contextlib.contextmanager
def _restored_bochs(
    kept: Entry, guest: Guest, machine: Machine, place: Path, before: bytes, progress: Progress
) -> Iterator[Running]:
    """Restore Bochs, which reads its state from files: they are checked while it does so."""
    serial = place / SERIAL
    with writing(place):
        start, channel = emulators.bochs_to_restore(machine, guest, place, serial, kept.path)
    job.answer().post(channel, WARM_UP_JOB + 1)
    child = Child(start.argv, place / "emulator.log", env=start.env, cwd=place)
    with child, closing(Watch(serial, guest.channel, child.pid, before=before)) as watch:
        with ThreadPoolExecutor(1) as pool:
            problem = pool.submit(kept.problem, deep=True)
            follow(watch, child, start.limits, progress, lambda: watch.answers > 0)
        if problem.result():
            raise SnapshotUnusable("the snapshot is damaged")
        yield Running(child, watch, start.limits, WARM_UP_JOB + 2)


def _feed(state: FileIO, feed: FileIO, watch: Watch, child: Child, limits: Mapping[str, float]) -> str:
    """Send a state to the emulator and return its checksum."""
    into = feed.fileno()
    os.set_blocking(into, False)
    with contextlib.suppress(OSError):
        fcntl.fcntl(into, SET_PIPE_SIZE, PIECE)
    digest = hashlib.sha256()
    while piece := state.read(PIECE):
        digest.update(piece)
        while piece:
            try:
                piece = piece[os.write(into, piece) :]
            except BlockingIOError:
                select.select([], [into], [], WAIT)
                check_boot(watch, child, limits)
            except BrokenPipeError:
                time.sleep(WAIT)
                check_boot(watch, child, limits)
                raise SnapshotUnusable("QEMU stopped reading the snapshot") from None
    return digest.hexdigest()


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[FileIO, FileIO]]:
    """Provide a pipe's reading and writing end."""
    reading, writing = os.pipe()
    with FileIO(reading, "rb") as source, FileIO(writing, "wb") as sink:
        yield source, sink


def _telling(progress: Progress) -> Progress:
    return lambda stage, text: progress("snapshot", stage)
