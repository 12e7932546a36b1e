"""Start commands from a process that has imported everything, and signal them at chosen moments.

Starting Python and importing xenapic takes seconds in an emulated machine, so commands are forked; some start
cold all the same, because a command can be killed then, too.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import select
import signal
import sys
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from multiprocessing import util
from multiprocessing.connection import Connection as Channel
from multiprocessing.connection import Pipe
from pathlib import Path
from pkgutil import walk_packages
from types import TracebackType
from typing import Any

import xenapic
from xenapic.abi.library import load

__all__ = ["ENDING", "Moment", "Nursery", "Order", "When", "become", "run_program", "run_to_the_end"]

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
NOT_USED = (
    "xenapic.lab",
    "xenapic._xenctrl",
    "xenapic.cli.commands.lab",
)
"""Modules that no command in dom0 needs."""


class When(Enum):
    """How the moment of a signal is found."""

    TIME = "after a time"
    BEFORE_CALL = "before a call of libxenctrl"
    AFTER_CALL = "after a call of libxenctrl"


@dataclass(frozen=True)
class Moment:
    """A signal and when it is sent."""

    number: signal.Signals
    when: When
    at: float
    """Seconds after the start, or the number of the call."""
    again: tuple[signal.Signals, float] | None = None
    """A second signal, and how many seconds later."""

    def __str__(self) -> str:
        at = f"{self.at:.3f} s" if self.when is When.TIME else f"{self.at:.0f}"
        again = f", {self.again[0].name} {self.again[1]:.3f} s later" if self.again else ""
        return f"{self.number.name} {self.when.value} ({at}){again}"


@dataclass(frozen=True)
class Order:
    """A command to start."""

    argv: tuple[str, ...]
    program: str
    """The function of `tests.torture.programs` in place of the command; empty for a command."""
    cold: bool
    out: str
    """Files for stdout and stderr."""
    err: str
    whole_end: bool = True
    """Whether Python takes itself apart at the end; in a forked process that copies all its memory."""
    calls: str = ""
    """File for the number of calls that the command made; empty for none."""
    signal_at: tuple[int, int, bool] | None = None
    """A signal to itself: its number, at which call, and whether after it."""


class Nursery:
    """The process that forks the commands; it never opens Xen."""

    def __init__(self) -> None:
        self._pipe, inner = Pipe()
        self.pid = os.fork()
        self.order: Order | None = None
        """In a process that became a command: what it is to run."""
        if self.pid == 0:
            self._pipe.close()
            self.order = _serve(inner)
        else:
            inner.close()

    def start(self, order: Order) -> int:
        """Start a command and return its process id."""
        return int(self._ask(("start", order)))

    def wait(self, pid: int, seconds: float) -> int | None:
        """Wait for a command; return its status, negative for a signal, or None when it still runs."""
        status: int | None = self._ask(("wait", (pid, seconds)))
        return status

    def end(self) -> None:
        """End the process."""
        self._pipe.send(None)
        os.waitpid(self.pid, 0)

    def _ask(self, question: tuple[str, object]) -> Any:
        self._pipe.send(question)
        return self._pipe.recv()


def _serve(pipe: Channel) -> Order | None:
    """Fork and wait as asked; return in a forked process with its order, and None at the end."""
    _import_everything()
    sys.excepthook = _silent_when_interrupted
    while (question := pipe.recv()) is not None:
        what, about = question
        if what == "start":
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDING[:3])  # `become` lets them in
            pid = os.fork()
            if pid == 0:
                pipe.close()
                return about  # type: ignore[no-any-return]  # an Order
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING[:3])
            pipe.send(pid)
        else:
            pipe.send(_wait(*about))
    return None


def _silent_when_interrupted(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print no traceback of a signal that comes before the command has set its own hook."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


def _import_everything() -> None:
    """Import what the commands will need, and keep the garbage collector from touching it in each child."""
    for module in walk_packages(xenapic.__path__, "xenapic."):
        if not module.name.startswith(NOT_USED) and not module.name.endswith(".__main__"):
            with contextlib.suppress(ImportError):  # an extra that dom0 lacks, such as pytest
                import_module(module.name)
    for name in ("programs", "endurance"):
        import_module(f"tests.torture.{name}")
    load()
    atexit.unregister(util._exit_function)  # type: ignore[attr-defined]  # of the pipe's module; no command has it
    gc.collect()
    gc.freeze()


def _wait(pid: int, seconds: float) -> int | None:
    descriptor = os.pidfd_open(pid)
    try:
        if not select.select([descriptor], [], [], seconds)[0]:
            return None
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def become(order: Order) -> None:
    """Be the command: its files, its signals, its arguments; then run it."""
    for path, onto, flags in (
        (os.devnull, 0, os.O_RDONLY),
        (order.out, 1, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (order.err, 2, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        descriptor = os.open(path, flags, 0o600)
        os.dup2(descriptor, onto)
        os.close(descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not order.cold:
        _watch_calls(order)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING[:3])
    if order.cold:
        module = "tests.torture.dom0" if order.program else "xenapic"
        words = ("program", order.program, *order.argv[1:]) if order.program else order.argv
        os.execv(sys.executable, [sys.executable, "-m", module, *words])
    if order.program:
        run_program(order.program, order.argv[1:])
        return
    from xenapic.cli import main

    sys.argv = ["xenapic", *order.argv]
    main()


def run_to_the_end(order: Order) -> None:
    """Be the command, and end as it would, but for what Python does after the last exit handler."""
    status = 0
    try:
        become(order)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(status)


def run_program(name: str, arguments: tuple[str, ...]) -> None:
    """Run a function of `tests.torture.programs`; Ctrl-C ends it without Python's words."""
    from tests.torture import endurance, programs

    sys.argv = [name, *arguments]
    try:
        (getattr(programs, name, None) or getattr(endurance, name))()
    except KeyboardInterrupt:
        sys.exit(130)


def _watch_calls(order: Order) -> None:
    """Count the calls of libxenctrl; send this process its signal at the chosen one."""
    if not order.calls and order.signal_at is None:
        return
    from xenapic.abi.connection import Connection

    number, chosen, after = order.signal_at or (0, 0, False)
    made = 0

    class Watched:
        """libxenctrl, whose calls are counted."""

        def __init__(self, library: Any) -> None:
            self._library = library

        def __getattr__(self, name: str) -> Any:
            function = getattr(self._library, name)
            if not callable(function):
                return function

            def watched(*args: Any) -> Any:
                nonlocal made
                made += 1
                if made == chosen and not after:
                    os.kill(os.getpid(), number)
                try:
                    return function(*args)
                finally:
                    if made == chosen and after:
                        os.kill(os.getpid(), number)

            return watched

    begin = Connection.__init__

    def opened(self: Connection, *args: Any) -> None:
        begin(self, *args)
        self._xenctrl = Watched(self._xenctrl)

    Connection.__init__ = opened  # type: ignore[method-assign,assignment]
    if order.calls:
        atexit.register(lambda: Path(order.calls).write_text(str(made)))
