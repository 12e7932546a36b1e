"""The number of a new domain, which must reach the user: otherwise nobody would know of the domain."""

from __future__ import annotations

from xenapic.cli import output
from xenapic.cli.failures import OutputLost

__all__ = ["print_number"]


def print_number(domid: int, as_json: bool) -> None:
    """Print the number of a new domain; raise `OutputLost` if that fails: the caller destroys the domain."""
    import click

    try:
        if as_json:
            from xenapic.documents.creations import CreateReport

            output.emit(CreateReport.of(domid, ()))
        else:
            click.echo(domid)
        output.flush()
    except OSError as error:
        raise OutputLost(
            f"the number of domain {domid} could not be printed ({error.strerror}): it was destroyed again"
        ) from None
