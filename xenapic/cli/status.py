"""The exit statuses of the command, and which error has which: the one table of them."""

from __future__ import annotations

import errno
from enum import IntEnum

import click

__all__ = ["MEANINGS", "Status", "status_of"]


class Status(IntEnum):
    """Exit statuses; scripts may rely on them."""

    FINE = 0
    REFUSED = 1
    INVALID = 2
    UNAVAILABLE = 3
    UNTESTED = 125
    INTERRUPTED = 130
    READER_GONE = 141


MEANINGS = {
    Status.FINE: "success: yes",
    Status.REFUSED: "no: refused, something disagrees, or a step failed",
    Status.INVALID: "the question makes no sense: misspelt, invalid, or a file that cannot be read",
    Status.UNAVAILABLE: "Xen cannot be used from here: no Xen, no privilege, or no libxenctrl that fits",
    Status.UNTESTED: "`xenapic lab compare` could not compare; `git bisect run` then skips the commit",
    Status.INTERRUPTED: "interrupted by Ctrl-C",
    Status.READER_GONE: "the reader of the output went away, e.g. head",
}
"""What each status means; 130 and 141 are what shells report for SIGINT and SIGPIPE."""


def status_of(error: Exception) -> Status | None:
    """Return the exit status for an error; None for an error that should not happen."""
    from xenapic import errors

    invalid = (
        errors.ConfigInvalid,
        errors.DocumentInvalid,
        errors.FileUnreadable,
        errors.HeadersUnusable,
        errors.ImageInvalid,
        errors.LogInvalid,
        errors.NameUnknown,
        errors.PolicyInvalid,
    )
    if isinstance(error, click.Abort):
        return Status.INTERRUPTED
    if isinstance(error, click.ClickException):
        return Status.INVALID
    if isinstance(error, OSError):
        return Status.READER_GONE if error.errno == errno.EPIPE else Status.REFUSED
    if not isinstance(error, errors.XenApicError):
        return None
    if isinstance(error, invalid) or error.code in INVALID_CODES:
        return Status.INVALID
    return Status.UNAVAILABLE if isinstance(error, errors.Unavailable) else Status.REFUSED


INVALID_CODES = ("lab-usage",)
"""Codes of errors in rooms that most commands do not import."""
