"""The signals that end a program: how one that changes the host's state puts it back.

This is the one place for every command. SIGKILL cannot be caught: what it leaves is found by its mark
(`xenapic destroy --orphans`, `xenapic exits --recover`).
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType

__all__ = ["ENDING", "run", "undisturbed", "unwind_on_termination"]

ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""The signals that end a program and can be held back."""
SOON = 0.01
"""Seconds."""


def run(program: Callable[[], object]) -> None:
    """Run a program that each of these signals unwinds, so that what it changed on the host is put back.

    SIGTERM and SIGHUP raise SystemExit with 128 and the signal's number, as shells have it; Ctrl-C raises
    KeyboardInterrupt, and prints no traceback. When the program has ended, the signals are held back, so that
    exit handlers complete.
    """
    sys.excepthook = _without_traceback
    sys.unraisablehook = _send_again
    try:
        unwind_on_termination()
        program()
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def unwind_on_termination() -> None:
    """Let SIGTERM and SIGHUP unwind the program like Ctrl-C, unless they are ignored (nohup)."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Hold back the signals that end a program, until the block is left."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Ended(SystemExit):
    """A signal ends the program."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def _stop(number: int, _frame: FrameType | None) -> None:
    raise _Ended(number)


def _send_again(ignored: sys.UnraisableHookArgs) -> None:
    """Send a signal again whose exception was raised in a finalizer, where Python drops it and goes on."""
    number = None
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        number = int(signal.SIGINT)
    elif isinstance(ignored.exc_value, _Ended):
        number = ignored.exc_value.number
    if number is None:
        sys.__unraisablehook__(ignored)
        return
    with contextlib.suppress(RuntimeError):  # no thread starts at the interpreter's end
        _thread.start_new_thread(_send_soon, (number,))


def _send_soon(number: int) -> None:
    """Send this process a signal when the main thread has left what drops exceptions."""
    time.sleep(SOON)
    os.kill(os.getpid(), number)


def _without_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        with contextlib.suppress(OSError):
            print("xenapic: interrupted [interrupted]", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)
