"""``xenapic lab remove``."""

from __future__ import annotations

from collections.abc import Iterable

import click

from xenapic.cli.base import Command, Name


def _added() -> Iterable[str]:
    from xenapic.lab.added import added_names

    return added_names()


@click.command("remove", cls=Command)
@click.argument("names", nargs=-1, required=True, metavar="NAME...", type=Name("added Xen", _added))
def command(names: tuple[str, ...]) -> None:
    """Remove Xens that were added. Debian's stay, and a machine that runs is not disturbed."""
    from xenapic.lab.added import remove

    for name in names:
        remove(name)
