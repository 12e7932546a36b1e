"""What the command says when it fails."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

import click

from xenapic.cli import output
from xenapic.cli.status import Status, status_of
from xenapic.errors import ConfigRefused, PolicyRefused, XenApicError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xenapic.policy.reasons import Reason

__all__ = ["OutputLost", "report", "show_reasons"]


class OutputLost(XenApicError):
    """The answer could not be printed."""

    code = "output"


def report(error: Exception, as_json: bool) -> Status:
    """Say why the command failed and return its exit status; raise the error if it should not happen.

    People read stderr. With ``as_json`` stdout gets the document ``xenapic/error``, unless that is
    where the command failed.
    """
    status = status_of(error)
    if status is None:
        raise error
    lost = isinstance(error, OutputLost) or _is_of_output(error)
    if lost:
        output.give_up()
    with contextlib.suppress(OSError):  # stderr may be gone too
        if status is not Status.READER_GONE:
            _show(error)
    if as_json and not lost:
        try:
            _emit(error, status)
        except OSError:
            output.give_up()
    return status


def _emit(error: Exception, status: Status) -> None:
    from xenapic.documents.failures import ErrorReport

    output.emit(ErrorReport.of(error, _code(error), _message(error), status))


def _show(error: Exception) -> None:
    if isinstance(error, (ConfigRefused, PolicyRefused)):
        click.echo("refused, and Xen was not called:", err=True)
        if isinstance(error, PolicyRefused):
            show_reasons(error.reasons, "  ", err=True)
            return
        for problem in error.problems:
            output.text(str(problem), "  ", err=True)
    elif isinstance(error, click.ClickException):
        error.show()
    else:
        click.echo(f"xenapic: {_message(error)} [{_code(error)}]", err=True)


def show_reasons(reasons: Sequence[Reason], indent: str = "", err: bool = False) -> None:
    """Print the reasons of a refusal, each with its remedies."""
    for reason in reasons:
        output.text(f"{reason.asked}: {reason.fact} [{reason.code.value}]", indent, err=err)
        output.text(f"known from: {reason.source}", f"{indent}  ", err=err)
        for remedy in reason.remedies:
            output.text(f"- {remedy.text}", f"{indent}  ", err=err)


SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
"""What no file fails with while it is written."""


def _is_of_output(error: Exception) -> bool:
    """Return True for an error of writing to stdout: it names no file."""
    return isinstance(error, OSError) and error.filename is None and error.errno not in SCARCE


def _code(error: Exception) -> str:
    if isinstance(error, click.Abort):
        return "interrupted"
    if isinstance(error, click.ClickException):
        return "usage"
    if isinstance(error, OSError):
        return "output" if _is_of_output(error) else "system"
    return str(getattr(error, "code", "error"))


def _message(error: Exception) -> str:
    if isinstance(error, click.Abort):
        return "interrupted"
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        if _is_of_output(error):
            return f"cannot write the output: {reason}"
        return reason if error.filename is None else f"{error.filename}: {reason}"
    return str(error)
