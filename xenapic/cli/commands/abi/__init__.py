"""``xenapic abi``: the interface between a toolstack and Xen; one module for each subcommand."""

from __future__ import annotations

import click

from xenapic.cli.base import LazyGroup

COMMANDS = {
    "diff": "Show what differs between two releases of Xen.",
}
"""Each subcommand and its line in ``--help``; its code is ``command`` in the module of that name."""


@click.group("abi", cls=LazyGroup, package=__name__, table=COMMANDS)
def command() -> None:
    """Look at Xen's interface for toolstacks: structures, constants, calls, rules."""
