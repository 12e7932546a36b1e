"""Run a command in dom0 of a real Xen: ``run()``."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from xenapic.lab import emulators, job, snapshot, xens
from xenapic.lab.child import Child
from xenapic.lab.errors import BootError, Dom0Failed, EmulatorDied, LabError, SnapshotUnusable, StageTimeout
from xenapic.lab.follow import Progress, follow
from xenapic.lab.machines import DEFAULT_MACHINE, Machine
from xenapic.lab.machines import machine as find_machine
from xenapic.lab.overlay import CHECKOUT, ENV, test_files, write_overlay
from xenapic.lab.rundir import run_directory
from xenapic.lab.watch import RESTORE, Sink, Watch

COMMAND_LIMIT = 600.0
COLD, SNAPSHOT = "cold boot", "snapshot"


@dataclass
class RunResult:
    """The outcome of a command in dom0.

    `timings` has the seconds of each stage; `start` is how the machine started: ``cold boot``, ``snapshot``.
    """

    status: int
    stdout: bytes
    stderr: bytes
    serial: str
    timings: dict[str, float]
    machine: str
    xen: str
    start: str = COLD
    retries: int = 0

    @property
    def total(self) -> float:
        """Seconds from the call to the command's exit."""
        return sum(self.timings.values())


@dataclass(frozen=True)
class _Order:
    """One request, checked."""

    machine: Machine
    release: xens.Release
    job: job.Job
    xen_args: tuple[str, ...]
    dom0_args: tuple[str, ...]
    timeout: float
    cold: bool
    sinks: tuple[Sink, Sink]
    progress: Progress


@dataclass
class _Collected:
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)


def run(
    command: Sequence[str],
    *,
    machine: str = DEFAULT_MACHINE,
    xen: str = xens.DEFAULT_RELEASE,
    xen_args: Sequence[str] = (),
    dom0_args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    files: Mapping[str, Path | str] | None = None,
    timeout: float = COMMAND_LIMIT,
    cold: bool = False,
    on_stdout: Sink | None = None,
    on_stderr: Sink | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Start Xen `xen` on `machine`, run `command` in dom0 and return its outcome.

    In dom0, /checkout is the running checkout of xenapic: importable, and the working directory.
    `files` maps absolute paths in dom0 to files or directories here. `timeout` is for the command
    alone, in seconds of the emulator's own time: waiting for a processor of this machine does not
    count. `on_stdout` and `on_stderr` get the output as it arrives; the result holds all of it.
    `progress` is told of stages: (stage, text).

    In QEMU and without `xen_args` or `dom0_args`, the machine is restored from a snapshot that the first
    such run makes; `cold` boots it instead. Without a usable snapshot it boots, and `progress` is told
    ("retry").

    Raises `LabError`: `XenPanicked` if the hypervisor dies, `StageTimeout` naming the stage,
    `LabPrerequisite` if a program is missing. A boot that fails before the command began is
    tried once more, and `progress` is told ("retry").
    """
    collected = _Collected()
    order = _Order(
        machine=find_machine(machine),
        release=xens.release(xen),
        job=_job(command, env or {}, files or {}),
        xen_args=tuple(xen_args),
        dom0_args=tuple(dom0_args),
        timeout=timeout,
        cold=cold,
        sinks=(_tee(collected.stdout, on_stdout), _tee(collected.stderr, on_stderr)),
        progress=progress or (lambda stage, text: None),
    )
    try:
        result = _with_retry(order)
    except BootError as error:
        error.stdout, error.stderr = bytes(collected.stdout), bytes(collected.stderr)
        raise
    result.stdout, result.stderr = bytes(collected.stdout), bytes(collected.stderr)
    return result


def _tee(into: bytearray, sink: Sink | None) -> Sink:
    def take(data: bytes) -> None:
        into.extend(data)
        if sink is not None:
            sink(data)

    return take


def _with_retry(order: _Order) -> RunResult:
    try:
        return _once(order)
    except (StageTimeout, EmulatorDied, Dom0Failed) as error:
        if error.stage == "command":
            raise
        order.progress("retry", f"the boot failed in stage {error.stage} ({error.code}); trying once more")
    result = _once(order)
    result.retries = 1
    return result


def _job(command: Sequence[str], env: Mapping[str, str], files: Mapping[str, Path | str]) -> job.Job:
    tests = [job.read_file(f"{CHECKOUT}/{path}", source) for path, source in test_files()]
    return job.command(command, {**ENV, **env}, [*tests, *job.given_files(files)])


def _once(order: _Order) -> RunResult:
    began = time.monotonic()
    order.progress("image", f"Xen {order.release.version}")
    emulators.check(order.machine, lambda text: order.progress("image", text))
    xen = xens.ensure(order.release, lambda text: order.progress("image", text))
    with run_directory() as place:
        overlay = place / "overlay.cpio"
        with overlay.open("wb") as out:
            write_overlay(out, python=xen.python)
        channel = place / "channel"
        emulators.make_channel(channel)
        guest = emulators.Guest(xen, overlay, channel, order.xen_args, order.dom0_args)
        timings = {"image": time.monotonic() - began}
        if not order.cold and snapshot.possible(guest, order.machine):
            try:
                return _restored(order, guest, place, timings)
            except SnapshotUnusable as error:
                order.progress("retry", f"{error}; booting cold")
                emulators.make_channel(channel)
        return _booted(order, guest, place, timings)


def _restored(order: _Order, guest: emulators.Guest, place: Path, timings: dict[str, float]) -> RunResult:
    """Run the job in a machine restored from a snapshot; raise `SnapshotUnusable` before it has begun."""
    began = time.monotonic()
    kept = snapshot.ensure(guest, order.machine, order.release.version, order.progress)
    timings = {**timings, "snapshot": time.monotonic() - began}
    try:
        with snapshot.restored(kept, guest, place, order.sinks) as machine:
            watch = machine.watch
            order.job.post(guest.channel, snapshot.FIRST_JOB)
            limits = {**machine.limits, "command": order.timeout}
            follow(watch, machine.child, limits, order.progress, lambda: watch.status is not None)
            return _result(order, watch, timings, SNAPSHOT)
    except SnapshotUnusable:
        kept.discard()
        raise
    except (StageTimeout, EmulatorDied, Dom0Failed) as error:
        if error.stage != RESTORE:
            raise
        kept.discard()
        raise SnapshotUnusable(f"the restored machine did not start ({error.code})") from error


def _booted(order: _Order, guest: emulators.Guest, place: Path, timings: dict[str, float]) -> RunResult:
    order.job.post(guest.channel, 1)
    serial = place / "serial.log"
    start = emulators.start(order.machine, guest, place, serial)
    child = Child(start.argv, place / "emulator.log", env=start.env, cwd=place)
    with child, closing(Watch(serial, guest.channel, *order.sinks, child.pid)) as watch:
        limits = {**start.limits, "command": order.timeout}
        follow(watch, child, limits, order.progress, lambda: watch.status is not None)
        return _result(order, watch, timings, COLD)


def _result(order: _Order, watch: Watch, timings: Mapping[str, float], start: str) -> RunResult:
    if watch.status is None:
        raise LabError("the command's status was lost")
    return RunResult(
        status=watch.status,
        stdout=b"",
        stderr=b"",
        serial=watch.serial(),
        timings={**timings, **watch.split()},
        machine=order.machine.name,
        xen=order.release.version,
        start=start,
    )
