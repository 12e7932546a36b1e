"""What the lab's subcommands share."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeVar

import click

from xenapic.cli.status import Status

__all__ = ["lab_errors", "machine_options", "unwind_on_termination"]

F = TypeVar("F", bound=Callable[..., Any])
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def machine_options(function: F) -> F:
    """Add the options that choose a machine and its Xen."""
    for option in (
        click.option("--xen-args", default="", metavar="TEXT", help="More options for Xen's command line."),
        click.option(
            "--xen", default="4.17", show_default=True, metavar="RELEASE", help="Release of Xen to boot."
        ),
        click.option(
            "--machine",
            "-m",
            default="epyc",
            show_default=True,
            metavar="NAME",
            help="Machine to emulate; 'xenapic lab list' lists them.",
        ),
    ):
        function = option(function)
    return function


@contextlib.contextmanager
def lab_errors() -> Iterator[None]:
    """Print a failure of the lab with its code and exit with 1; exit with 130 after Ctrl-C."""
    from xenapic.lab.errors import LabError, LabUsageError

    try:
        yield
    except LabUsageError as error:
        raise click.UsageError(str(error)) from None
    except LabError as error:
        click.echo(f"xenapic: {error} [{error.code}]", err=True)
        sys.exit(Status.REFUSED)
    except KeyboardInterrupt:
        click.echo("lab: interrupted", err=True)
        sys.exit(INTERRUPTED)


def unwind_on_termination() -> None:
    """Let SIGTERM and SIGHUP unwind like Ctrl-C, so that everything is cleaned up."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
