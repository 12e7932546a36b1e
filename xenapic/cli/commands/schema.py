"""``xenapic schema``."""

from __future__ import annotations

import click

from xenapic.cli.base import Command
from xenapic.documents import DOCUMENTS, schema_text


@click.command("schema", cls=Command)
@click.argument("name", type=click.Choice(list(DOCUMENTS)))
def command(name: str) -> None:
    """Print the JSON schema of a document, such as a command's --json output."""
    click.echo(schema_text(name), nl=False)
