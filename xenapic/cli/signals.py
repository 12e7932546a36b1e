"""Signals that end the command."""

from __future__ import annotations

import signal
from types import FrameType

__all__ = ["unwind_on_termination"]


def unwind_on_termination() -> None:
    """Let SIGTERM and SIGHUP unwind like Ctrl-C: what the command changed on the host is put back.

    The exit status is 128 and the signal's number, as shells have it.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, stop)
