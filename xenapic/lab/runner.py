"""Run a command in dom0 of a real Xen: ``run()``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xenapic.lab import emulators, xens
from xenapic.lab.cache import cache_root
from xenapic.lab.child import Child
from xenapic.lab.errors import BootError, Dom0Failed, EmulatorDied, LabError, StageTimeout, XenPanicked
from xenapic.lab.machines import DEFAULT_MACHINE, Machine
from xenapic.lab.machines import machine as find_machine
from xenapic.lab.overlay import write_overlay
from xenapic.lab.pace import Stopwatch
from xenapic.lab.rundir import run_directory
from xenapic.lab.watch import Sink, Watch

Progress = Callable[[str, str], None]

POLL = 0.01
KEPT_LOGS = 20
COMMAND_LIMIT = 600.0
# How long a dying Xen may take to print what killed it, in seconds.
LAST_WORDS = 3.0
SILENCE = 0.4


@dataclass
class RunResult:
    """What became of a command in dom0. Times are in seconds, per stage."""

    status: int
    stdout: bytes
    stderr: bytes
    serial: str
    timings: dict[str, float]
    machine: str
    xen: str
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
    command: tuple[str, ...]
    xen_args: tuple[str, ...]
    dom0_args: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, Path | str]
    timeout: float
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
    on_stdout: Sink | None = None,
    on_stderr: Sink | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Boot Xen `xen` on `machine`, run `command` in dom0 and return what became of it.

    The present checkout of xenapic is at /checkout there, importable, and the working directory.
    `files` maps absolute paths in dom0 to files or directories here. `timeout` is for the command
    alone, in seconds of the emulator's own time: waiting for a processor of this machine does not
    count. `on_stdout` and `on_stderr` get the output as it arrives; the result holds all of it.
    `progress` is told of stages: (stage, text).

    Raises `LabError`: `XenPanicked` if the hypervisor dies, `StageTimeout` naming the stage,
    `LabPrerequisite` if a program is missing. A boot that fails before the command began is
    tried once more, and `progress` is told ("retry").
    """
    collected = _Collected()
    order = _Order(
        machine=find_machine(machine),
        release=xens.release(xen),
        command=tuple(command),
        xen_args=tuple(xen_args),
        dom0_args=tuple(dom0_args),
        env=env or {},
        files=files or {},
        timeout=timeout,
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


def _once(order: _Order) -> RunResult:
    began = time.monotonic()
    order.progress("image", f"Xen {order.release.version}")
    emulators.check(order.machine, lambda text: order.progress("image", text))
    xen = xens.ensure(order.release, lambda text: order.progress("image", text))
    with run_directory() as place:
        guest = put_together(
            place,
            xen,
            order.command,
            env=order.env,
            files=order.files,
            xen_args=order.xen_args,
            dom0_args=order.dom0_args,
        )
        serial = place / "serial.log"
        start = emulators.start(order.machine, guest, place, serial)
        image = time.monotonic() - began
        child = Child(start.argv, place / "emulator.log", env=start.env, cwd=place)
        limits = {**start.limits, "command": order.timeout}
        with child, _watching(serial, guest.channel, order, child.pid) as watch:
            _follow(watch, child, limits, order.progress)
        return _result(order, watch, image)


def _result(order: _Order, watch: Watch, image: float) -> RunResult:
    if watch.status is None:
        raise LabError("the command's status was lost")
    return RunResult(
        status=watch.status,
        stdout=b"",
        stderr=b"",
        serial=watch.serial(),
        timings={"image": image, **watch.split()},
        machine=order.machine.name,
        xen=order.release.version,
    )


def put_together(
    place: Path,
    xen: xens.XenFiles,
    command: Sequence[str] | None,
    *,
    env: Mapping[str, str],
    files: Mapping[str, Path | str],
    xen_args: tuple[str, ...] = (),
    dom0_args: tuple[str, ...] = (),
) -> emulators.Guest:
    """Make a run's own files in `place`; `command` None asks for a shell."""
    overlay, channel = place / "overlay.cpio", place / "channel"
    with overlay.open("wb") as out:
        write_overlay(out, command, python=xen.python, env=env, files=files)
    emulators.make_channel(channel)
    return emulators.Guest(xen, overlay, channel, xen_args, dom0_args)


@contextlib.contextmanager
def _watching(serial: Path, channel: Path, order: _Order, pid: int) -> Iterator[Watch]:
    watch = Watch(serial, channel, *order.sinks, pid)
    try:
        yield watch
    finally:
        watch.close()


def _follow(watch: Watch, child: Child, limits: Mapping[str, float], progress: Progress) -> None:
    told = ""
    while watch.status is None:
        grown = watch.poll()
        if watch.stage != told:
            told = watch.stage
            progress(told, "")
        if watch.status is None and not grown:
            check_boot(watch, child, limits)
            time.sleep(POLL)


def check_boot(watch: Watch, child: Child, limits: Mapping[str, float]) -> None:
    """Raise if the machine died or its stage takes longer than it may."""
    if watch.xen_died():
        _hear_out(watch)
        raise _failed(XenPanicked, watch, f"Xen died in stage {watch.stage}")
    if reason := watch.dom0_died():
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


def _hear_out(watch: Watch) -> None:
    heard = Stopwatch(watch.pace)
    while not heard.exceeds(LAST_WORDS) and not watch.quiet.exceeds(SILENCE):
        watch.poll()
        time.sleep(POLL)


def _failed(kind: type[BootError], watch: Watch, what: str) -> BootError:
    serial = watch.serial()
    return kind(what, stage=watch.stage, serial=serial, serial_path=_keep(serial))


def _keep(serial: str) -> Path | None:
    """Write a failed run's log where it outlives the run; the oldest ones go."""
    logs = cache_root() / "lab" / "logs"
    with contextlib.suppress(OSError):
        logs.mkdir(parents=True, exist_ok=True)
        for old in sorted(logs.glob("*.log"))[: -KEPT_LOGS + 1]:
            old.unlink(missing_ok=True)
        path = logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns() % 10**6:06}.log"
        path.write_text(serial)
        return path
    return None
