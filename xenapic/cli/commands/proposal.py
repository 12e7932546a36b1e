"""``xenapic proposal``."""

from __future__ import annotations

from pathlib import Path

import click

from xenapic.cli.base import Command


@click.group("proposal")
def command() -> None:
    """Turn the proposal, one control per bit, into patches for Xen."""


@command.command(cls=Command)
@click.option(
    "--tree", required=True, type=click.Path(file_okay=False), help="A source tree of Xen; it is not changed."
)
@click.option(
    "--output",
    "into",
    default="proposal",
    show_default=True,
    type=click.Path(file_okay=False),
    help="Directory for the patches.",
)
@click.option(
    "--author", default="", metavar="'NAME <EMAIL>'", help="Author of the patches.  [default: git's]"
)
def series(tree: str, into: str, author: str) -> None:
    """Write the proposal as a patch series for a tree, which 'git am' takes.

    The patches have the context of this tree. Xen 4.17 to 4.22 and today's unstable are known; in another one
    the first place that is not as expected is named, and nothing is written.

    \b
      xenapic proposal series --tree ~/xen --output patches
      git -C ~/xen am patches/*.patch
    """
    from xenapic.proposal.series import apply, messages
    from xenapic.proposal.write import author_of, write

    source = Path(tree).expanduser()
    applied = apply(source)
    for path in write(messages(applied, author or author_of(source)), Path(into).expanduser()):
        click.echo(path)
