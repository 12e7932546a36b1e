"""Connect the terminal, or standard input and output, to a guest's console."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from xenapic.live.guest import Guest
    from xenapic.model.flags import Shutdown

__all__ = ["ESCAPE_NAME", "attach", "say_end"]

ESCAPE, ESCAPE_NAME = b"\x1d", "Ctrl-]"
READ_BYTES = 512
TICK = 0.25


def attach(guest: Guest) -> Shutdown | int | None:
    """Pass bytes on until the guest ends, and return why; None for Ctrl-], which only a terminal sends.

    The end of standard input is not the guest's end.
    """
    console, stdin = guest.console, _standard_input()
    terminal = stdin is not None and os.isatty(stdin)
    waiting = b""
    with _raw(stdin if terminal else None):
        while True:
            ended = guest.ended
            _write(console.read())
            if ended is not None:
                return ended
            # What the guest has not read yet comes first: a guest that reads nothing stops the keyboard only.
            descriptors = [stdin] if stdin is not None and not waiting else []
            console.wait(TICK, *descriptors)
            if descriptors and (typed := _typed(descriptors[0])) is not None:
                if terminal and ESCAPE in typed:
                    return None
                waiting = typed
                if not typed:
                    stdin = None
            if waiting:
                waiting = waiting[console.put(waiting) :]


def say_end(guest: Guest, reason: Shutdown | int) -> None:
    """Say on stderr how a guest ended."""
    from xenapic.live.guest import shutdown_name

    click.echo(f"domain {guest.domid} ended: {shutdown_name(reason)}", err=True)


def _standard_input() -> int | None:
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or replaced by a program that runs the command
        return None


def _typed(descriptor: int) -> bytes | None:
    """Return what can be read at once, empty at the end; None if there is nothing."""
    import select

    if not select.select([descriptor], [], [], 0)[0]:
        return None
    return os.read(descriptor, READ_BYTES)


def _write(data: bytes) -> None:
    if data:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()


@contextlib.contextmanager
def _raw(descriptor: int | None) -> Iterator[None]:
    if descriptor is None:
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
