"""Run commands in dom0 of a real Xen: ``run()`` for one, ``start()`` for several in one machine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from xenapic.lab import bochs_package, catalog, emulators, guestkernel, job, xens
from xenapic.lab import snapshot as snapshots
from xenapic.lab.child import Child
from xenapic.lab.emulators import Guest
from xenapic.lab.errors import BootError, LabError, LabUsageError, SnapshotUnusable, XenPanicked
from xenapic.lab.follow import Progress, Running, follow
from xenapic.lab.machines import DEFAULT_MACHINE, Machine
from xenapic.lab.machines import machine as find_machine
from xenapic.lab.overlay import CHECKOUT, ENV, test_files, write_overlay
from xenapic.lab.rundir import run_directory, writing
from xenapic.lab.watch import Sink, Watch

COMMAND_LIMIT = 600.0
COLD, SNAPSHOT = "cold boot", "snapshot"
FIRST_JOB = 1


@dataclass(frozen=True)
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
    """What is to be started, checked."""

    machine: Machine
    release: catalog.LabXen
    xen_args: tuple[str, ...]
    dom0_args: tuple[str, ...]
    cold: bool
    snapshot: bool
    progress: Progress
    guest_kernel: str | None

    @property
    def memory(self) -> emulators.Memory:
        return emulators.SMALL if self.guest_kernel is None else emulators.WITH_GUESTS


class Session:
    """A running machine; commands run in its dom0 one after another.

    `timings` has the seconds of each stage of its start.
    """

    def __init__(
        self, order: _Order, guest: Guest, running: Running, start: str, timings: Mapping[str, float]
    ) -> None:
        self.start = start
        self.timings = {**timings, **running.watch.split()}
        self.retries = 0
        self._order = order
        self._channel = guest.channel
        self._running = running
        self._next_job = running.next_job
        self._first_files: Mapping[str, Path] = guest.files

    def run(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        files: Mapping[str, Path | str] | None = None,
        timeout: float = COMMAND_LIMIT,
        on_stdout: Sink | None = None,
        on_stderr: Sink | None = None,
    ) -> RunResult:
        """Run `command` in dom0 and return its outcome; parameters and errors are those of `run`."""
        given = _job(command, env or {}, {**self._first_files, **(files or {})})
        self._first_files = {}
        stdout, stderr = bytearray(), bytearray()
        watch, began = self._running.watch, time.monotonic()
        watch.expect(_tee(stdout, on_stdout), _tee(stderr, on_stderr))
        with writing(self._channel.parent):
            given.post(self._channel, self._next_job)
        self._next_job += 1
        limits = {**self._running.limits, "command": timeout}
        try:
            follow(watch, self._running.child, limits, self._order.progress, lambda: watch.status is not None)
        except BootError as error:
            error.stdout, error.stderr = bytes(stdout), bytes(stderr)
            raise
        if watch.status is None:
            raise LabError("the command's status was lost")
        return RunResult(
            status=watch.status,
            stdout=bytes(stdout),
            stderr=bytes(stderr),
            serial=watch.serial(),
            timings={"command": time.monotonic() - began},
            machine=self._order.machine.name,
            xen=self._order.release.version,
            start=self.start,
            retries=self.retries,
        )


@contextlib.contextmanager
def start(
    *,
    machine: str = DEFAULT_MACHINE,
    xen: str | Path = xens.DEFAULT_RELEASE,
    xen_args: Sequence[str] = (),
    dom0_args: Sequence[str] = (),
    cold: bool = False,
    snapshot: bool = False,
    guest_kernel: str | None = None,
    progress: Progress | None = None,
) -> Iterator[Session]:
    """Start Xen `xen` on `machine` and provide it for commands; the machine ends with the context.

    `xen` is a name that ``xenapic lab list`` shows, or the path of a tree with a Xen that was built: a
    `Path`, or a text with a slash.

    In QEMU and without `xen_args` or `dom0_args`, it is restored from a snapshot that the first such
    start makes; `cold` boots it instead. With `snapshot` any start is, in Bochs and with options too.
    Without a usable snapshot it boots, and `progress` is told ("retry"). `progress` is told of stages:
    (stage, text).

    With `guest_kernel` "debian", dom0 has the memory and the files to boot guests: /guest/vmlinuz is the
    kernel that boots dom0, and /guest/initrd.img has busybox. The files are there from the first command on.

    Raises `LabError`: `XenPanicked` if the hypervisor dies, `StageTimeout` naming the stage,
    `LabPrerequisite` if a program is missing. A boot that fails is tried once more, and `progress` is
    told ("retry").
    """
    tell = progress or (lambda stage, text: None)
    if cold and snapshot:
        raise LabUsageError("a machine starts cold or from a snapshot, not both")
    emulated, release = find_machine(machine), catalog.find(xen, lambda text: tell("image", text))
    order = _Order(
        machine=emulated,
        release=release,
        xen_args=(*catalog.xen_args(release), *xen_args),
        dom0_args=tuple(dom0_args),
        cold=cold,
        snapshot=snapshot,
        guest_kernel=guest_kernel,
        progress=tell,
    )
    with ExitStack() as stack:
        yield _with_retry(order, stack)


def run(
    command: Sequence[str],
    *,
    machine: str = DEFAULT_MACHINE,
    xen: str | Path = xens.DEFAULT_RELEASE,
    xen_args: Sequence[str] = (),
    dom0_args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    files: Mapping[str, Path | str] | None = None,
    timeout: float = COMMAND_LIMIT,
    cold: bool = False,
    snapshot: bool = False,
    guest_kernel: str | None = None,
    on_stdout: Sink | None = None,
    on_stderr: Sink | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Start a machine as `start` does, run `command` in dom0 and return its outcome.

    In dom0, /checkout is the running checkout of xenapic: importable, and the working directory. Its
    directory tests is there if a word of `command` names it. `files` maps absolute paths in dom0 to
    files or directories here. `timeout` is for the command alone, in seconds of the emulator's own time:
    waiting for a processor of this machine does not count. `on_stdout` and `on_stderr` get the output as
    it arrives; the result holds all of it.

    Raises `LabError`, as `start` does; it has what the command had printed.
    """
    _job(command, env or {}, files or {})  # a wrong request must not cost a boot
    with start(
        machine=machine,
        xen=xen,
        xen_args=xen_args,
        dom0_args=dom0_args,
        cold=cold,
        snapshot=snapshot,
        guest_kernel=guest_kernel,
        progress=progress,
    ) as session:
        result = session.run(
            command, env=env, files=files, timeout=timeout, on_stdout=on_stdout, on_stderr=on_stderr
        )
        return replace(result, timings={**session.timings, **result.timings})


def _job(command: Sequence[str], env: Mapping[str, str], files: Mapping[str, Path | str]) -> job.Job:
    # Unpacking them takes a second and more in an emulated machine, and few commands need them.
    named = any("tests" in word for word in command)
    tests = [job.read_file(f"{CHECKOUT}/{path}", source) for path, source in test_files() if named]
    return job.command(command, {**ENV, **env}, [*tests, *job.given_files(files)])


def _tee(into: bytearray, sink: Sink | None) -> Sink:
    def take(data: bytes) -> None:
        into.extend(data)
        if sink is not None:
            sink(data)

    return take


def _with_retry(order: _Order, stack: ExitStack) -> Session:
    try:
        return _start_once(order, stack)
    except BootError as error:
        # A Xen that panics does so again, unless its file was damaged.
        if not _discard_damaged(order) and isinstance(error, XenPanicked):
            raise
        order.progress("retry", f"the boot failed in stage {error.stage} ({error.code}); trying once more")
    session = _start_once(order, stack)
    session.retries = 1
    return session


def _discard_damaged(order: _Order) -> bool:
    """Check every byte of what boots; remove what is damaged, say so and return True."""
    damaged = False
    entries = catalog.entries(order.release)
    if order.machine.emulator == "bochs":
        entries.append(bochs_package.entry())
    for entry in entries:
        if entry.path.exists() and (problem := entry.problem(deep=True)):
            damaged = True
            entry.discard()
            order.progress("retry", f"{entry.home.name} in the cache is damaged ({problem}); making it again")
    return damaged


def _start_once(order: _Order, stack: ExitStack) -> Session:
    """Return a started machine that lives as long as the context `stack`; nothing is left if that fails."""
    began = time.monotonic()
    order.progress("image", f"Xen {order.release.version}")
    xen = _fetched(order)
    with ExitStack() as attempt:
        place = attempt.enter_context(run_directory())
        overlay, channel = place / "overlay.cpio", place / "channel"
        with writing(place):
            with overlay.open("wb") as out:
                write_overlay(out, xen)
            emulators.make_channel(channel)
        files = guestkernel.ensure(order.guest_kernel, xen) if order.guest_kernel else {}
        guest = Guest(xen, overlay, channel, order.xen_args, order.dom0_args, order.memory, files)
        timings = {"image": time.monotonic() - began}
        if order.snapshot or (not order.cold and snapshots.usual(guest, order.machine)):
            session = _restored(order, guest, place, timings, attempt)
        else:
            session = _booted(order, guest, place, timings, attempt)
        if session is not None:
            stack.push(attempt.pop_all())
            return session
    return _start_once(replace(order, cold=True, snapshot=False), stack)


def _fetched(order: _Order) -> xens.XenFiles:
    """Return the release's files; see to the emulator and to them at the same time."""

    def tell(text: str) -> None:
        order.progress("image", text)

    with ThreadPoolExecutor(1) as pool:
        checked = pool.submit(emulators.check, order.machine, tell)
        files = catalog.ensure(order.release, tell)
        checked.result()
    return files


def _restored(
    order: _Order, guest: Guest, place: Path, timings: Mapping[str, float], stack: ExitStack
) -> Session | None:
    """Return the machine restored from a snapshot, or None if that failed, which is said."""
    kept, began = None, time.monotonic()
    try:
        kept = snapshots.ensure(guest, order.machine, order.release.version, order.progress)
        timings = {**timings, "snapshot": time.monotonic() - began}
        running = stack.enter_context(snapshots.restored(kept, guest, order.machine, place, order.progress))
        return Session(order, guest, running, SNAPSHOT, timings)
    except SnapshotUnusable as error:
        order.progress("retry", f"{error}; booting cold")
    if kept is not None:
        kept.discard()
    return None


def _booted(
    order: _Order, guest: Guest, place: Path, timings: Mapping[str, float], stack: ExitStack
) -> Session:
    serial = place / "boot.log"
    with writing(place):
        how = emulators.start(order.machine, guest, place, serial)
    child = stack.enter_context(Child(how.argv, place / "emulator.log", env=how.env, cwd=place))
    watch = stack.enter_context(contextlib.closing(Watch(serial, guest.channel, child.pid)))
    follow(watch, child, how.limits, order.progress, lambda: watch.answers > 0)
    return Session(order, guest, Running(child, watch, how.limits, FIRST_JOB), COLD, timings)
