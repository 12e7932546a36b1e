"""``xenapic schema``."""

from __future__ import annotations

import click

from xenapic.documents import DOCUMENTS, schema_text


@click.command("schema")
@click.argument("name", type=click.Choice(list(DOCUMENTS)))
def command(name: str) -> None:
    """Print the JSON schema of a document, such as a command's --json output."""
    click.echo(schema_text(name), nl=False)
