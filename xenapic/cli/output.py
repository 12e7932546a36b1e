"""What commands print: JSON documents for scripts, tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from xenapic.errors import ConfigRefused, PolicyRefused, XenApicError

if TYPE_CHECKING:
    from xenapic.policy.reasons import Reason

__all__ = ["emit", "printable", "show_error", "show_reasons", "table"]


def emit(value: object) -> None:
    """Print the JSON document of a value (see `xenapic.documents.to_json`)."""
    import json

    from xenapic.documents import to_json

    click.echo(json.dumps(to_json(value), indent=2))


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    from tabulate import tabulate

    click.echo(
        tabulate([list(row) for row in rows], headers=list(headers), tablefmt="simple", disable_numparse=True)
    )


def printable(text: str) -> str:
    """Return text that cannot steer a terminal: characters that cannot be printed become escapes."""
    return "".join(char if char.isprintable() or char == "\t" else repr(char)[1:-1] for char in text)


def show_error(error: XenApicError) -> None:
    """Print an error to stderr; of a refusal, every reason."""
    if isinstance(error, ConfigRefused):
        click.echo("refused, and Xen was not called:", err=True)
        for problem in error.problems:
            click.echo(f"  {problem}", err=True)
    elif isinstance(error, PolicyRefused):
        click.echo("refused, and Xen was not called:", err=True)
        show_reasons(error.reasons, "  ", err=True)
    else:
        click.echo(f"xenapic: {error} [{error.code}]", err=True)


def show_reasons(reasons: Sequence[Reason], indent: str, err: bool = False) -> None:
    """Print the reasons of a refusal, each with its remedies."""
    for reason in reasons:
        click.echo(f"{indent}{reason.asked}: {reason.fact} [{reason.code.value}]", err=err)
        click.echo(f"{indent}  known from: {reason.source}", err=err)
        for remedy in reason.remedies:
            click.echo(f"{indent}  - {remedy.text}", err=err)
