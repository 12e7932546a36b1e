"""Wait for a running machine: until it has done what is waited for, or until something goes wrong."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from xenapic.lab.cache import cache_root
from xenapic.lab.child import Child
from xenapic.lab.errors import BootError, DiskFull, Dom0Failed, EmulatorDied, StageTimeout, XenPanicked
from xenapic.lab.pace import Stopwatch
from xenapic.lab.watch import Watch

Progress = Callable[[str, str], None]

POLL = 0.01
SLOWEST = 0.05
"""How often a machine is looked at, in seconds: at first, and when it has said nothing for a while."""
KEPT_LOGS = 20
FULL = 1 << 20
"""A disk with less room than this is full, in bytes."""
STILL = 5.0
"""A machine that says nothing for so long while the disk is full waits for room, in seconds."""
LAST_WORDS = 3.0
"""How long a dying Xen may take to print what killed it, in seconds."""
SILENCE = 0.4
"""A dying Xen that has printed nothing for so long has printed everything, in seconds."""


@dataclass(frozen=True)
class Running:
    """A machine whose dom0 waits for jobs."""

    child: Child
    watch: Watch
    limits: Mapping[str, float]
    """For each stage, in seconds."""
    next_job: int
    """The number of the first job it will do."""


def follow(
    watch: Watch, child: Child, limits: Mapping[str, float], progress: Progress, done: Callable[[], bool]
) -> None:
    """Read what the machine says until `done`; raise `BootError` if it dies or takes too long.

    `limits` gives the seconds for each stage; `progress` is told each stage that begins.
    """
    told, pause = "", POLL
    still = Stopwatch(watch.pace)
    while not done():
        pause = min(pause * 1.1, SLOWEST)
        if watch.poll():
            still, pause = Stopwatch(watch.pace), POLL
        if watch.stage != told:
            told = watch.stage
            progress(told, "")
        if not done():
            check_boot(watch, child, limits)
            _check_room(watch, still)
            time.sleep(pause)


def check_boot(watch: Watch, child: Child, limits: Mapping[str, float]) -> None:
    """Raise `BootError` if the machine died or its stage takes longer than it may."""
    if watch.xen_died:
        _hear_out(watch)
        raise _failed(XenPanicked, watch, f"Xen died in stage {watch.stage}")
    if reason := watch.dom0_died:
        _hear_out(watch)
        raise _failed(Dom0Failed, watch, f"dom0 failed in stage {watch.stage}: {reason}")
    if (status := child.status()) is not None and not watch.poll():
        said = child.said()[-1000:]
        what = f"the emulator ended (status {status}) in stage {watch.stage}: {said}"
        raise _failed(EmulatorDied, watch, what)
    limit = limits[watch.stage]
    if watch.in_stage.exceeds(limit):
        own, wall = watch.in_stage.own(), watch.in_stage.wall()
        what = (
            f"stage {watch.stage} took more than {limit:g} s: {own:.0f} s of the emulator's own time, "
            f"{wall:.0f} s by the clock"
        )
        raise _failed(StageTimeout, watch, what)


def _check_room(watch: Watch, still: Stopwatch) -> None:
    """Raise `DiskFull` if the machine waits for room: QEMU stops a machine whose disk is full, for good."""
    if still.exceeds(STILL) and _full():
        raise _failed(DiskFull, watch, f"the machine stands still in stage {watch.stage}")


def _full() -> bool:
    return shutil.disk_usage(tempfile.gettempdir()).free < FULL


def _hear_out(watch: Watch) -> None:
    since = Stopwatch(watch.pace)
    while not since.exceeds(LAST_WORDS) and not watch.quiet.exceeds(SILENCE):
        watch.poll()
        time.sleep(POLL)


def _failed(kind: type[BootError], watch: Watch, what: str) -> BootError:
    serial = watch.serial()
    if _full():
        what += f"; the disk of {tempfile.gettempdir()} (TMPDIR) is full"
    return kind(what, stage=watch.stage, serial=serial, serial_path=_keep(serial))


def _keep(serial: str) -> Path | None:
    """Write a failed run's log where it outlives the run, and remove the oldest logs."""
    logs = cache_root() / "lab" / "logs"
    with contextlib.suppress(OSError):
        logs.mkdir(parents=True, exist_ok=True)
        for old in sorted(logs.glob("*.log"))[: -KEPT_LOGS + 1]:
            old.unlink(missing_ok=True)
        path = logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns() % 10**6:06}.log"
        path.write_text(serial)
        return path
    return None
