"""A prompt in dom0, over the machine's serial console: ``shell()``."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
import termios
import tty
from collections.abc import Iterator, Sequence

from xenapic.lab import catalog, xens
from xenapic.lab.child import Child
from xenapic.lab.emulators import Guest, make_channel, terminal
from xenapic.lab.follow import Progress, check_boot
from xenapic.lab.machines import DEFAULT_MACHINE
from xenapic.lab.machines import machine as find_machine
from xenapic.lab.overlay import SHELL_READY, write_overlay
from xenapic.lab.rundir import run_directory
from xenapic.lab.watch import Watch

ESCAPE = b"\x1d"
END_OF_INPUT = b"\x04"


def shell(
    *,
    machine: str = DEFAULT_MACHINE,
    xen: str = xens.DEFAULT_RELEASE,
    xen_args: Sequence[str] = (),
    progress: Progress | None = None,
) -> None:
    """Boot a machine and connect this terminal to a shell in its dom0, until that exits or until Ctrl-].

    Ctrl-C goes to the program in dom0.
    """
    tell = progress or (lambda stage, text: None)
    emulated, release = find_machine(machine), catalog.find(xen)
    files = catalog.ensure(release, lambda text: tell("image", text))
    rows = shutil.get_terminal_size()
    env = {"TERM": os.environ.get("TERM", "vt100"), "LINES": str(rows.lines)}
    env["COLUMNS"] = str(rows.columns)
    with run_directory() as place, _pty() as (master, name):
        overlay, channel = place / "overlay.cpio", place / "channel"
        with overlay.open("wb") as out:
            write_overlay(out, files, shell=env)
        make_channel(channel)
        guest = Guest(files, overlay, channel, (*catalog.xen_args(release), *xen_args))
        start = terminal(emulated, guest, place, name)
        log = place / "serial.log"
        child = Child(start.argv, place / "emulator.log", env=start.env, cwd=place)
        with child, log.open("wb", buffering=0) as record:
            watch = Watch(log, guest.channel, child.pid)
            try:
                rest = _boot(watch, child, start.limits, master, record.fileno(), tell)
            finally:
                watch.close()
            tell("command", "")
            _converse(child, master, rest)


@contextlib.contextmanager
def _pty() -> Iterator[tuple[int, str]]:
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        yield master, os.ttyname(slave)
    finally:
        os.close(master)
        os.close(slave)


def _boot(
    watch: Watch, child: Child, limits: dict[str, float], master: int, record: int, tell: Progress
) -> bytes:
    """Wait for the prompt and return what came after it."""
    told = ""
    while SHELL_READY not in watch.log:
        if watch.stage != told:
            told = watch.stage
            tell(told, "")
        if select.select([master], [], [], 0.05)[0]:
            os.write(record, os.read(master, 65536))
        if not watch.poll():
            check_boot(watch, child, limits)
    return bytes(watch.log.split(SHELL_READY, 1)[1]).lstrip(b"\r\n")


def _converse(child: Child, master: int, rest: bytes) -> None:
    out = sys.stdout.fileno()
    print("dom0 of a real Xen; exit or Ctrl-D ends it, Ctrl-] at once", file=sys.stderr)
    with _raw(sys.stdin.fileno()):
        _write(out, rest)
        sources = [master, sys.stdin.fileno()]
        while child.status() is None:
            for fd in select.select(sources, [], [], 0.1)[0]:
                if fd == master:
                    _write(out, os.read(master, 65536))
                    continue
                data = os.read(fd, 1024)
                if ESCAPE in data:
                    return
                if not data:
                    sources.remove(fd)
                os.write(master, data or END_OF_INPUT)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


@contextlib.contextmanager
def _raw(fd: int) -> Iterator[None]:
    if not os.isatty(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
