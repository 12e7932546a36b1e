"""``xenapic abi diff``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.hostoptions import RELEASE
from xenapic.cli.options import JSON

if TYPE_CHECKING:
    from xenapic.documents.abi_differences import AbiDiff

SUBJECTS = {
    "create-rule": "rules by which Xen refuses a create",
    "libxl-refusal": "refusals of libxl",
    "defect": "known defects",
}
NOTHING = "-"


@click.command("diff", cls=Command)
@click.argument("first", type=RELEASE)
@click.argument("second", type=RELEASE)
@JSON
def command(first: str, second: str, as_json: bool) -> None:
    """Show what differs between two releases of Xen, for whoever creates domains.

    Compares the structures, constants and calls that concern creating domains, as each release's headers
    have them; the rules by which Xen and libxl refuse a domain; and the known defects of each release's .0.

    \b
      xenapic abi diff 4.17 4.21
    """
    from xenapic.documents.abi_differences import AbiDiff
    from xenapic.model.releases import xen_release

    differences = AbiDiff.of(xen_release(first), xen_release(second))
    if as_json:
        output.emit(differences)
    else:
        _show(differences)


def _show(differences: AbiDiff) -> None:
    first, second = differences.first, differences.second
    if not differences.abi and not differences.behaviour:
        click.echo(f"no difference between Xen {first} and {second}")
        return
    if differences.abi:
        output.table(
            ("", "", f"Xen {first}", f"Xen {second}"),
            [
                (row.item.value, row.name, row.before or NOTHING, row.after or NOTHING)
                for row in differences.abi
            ],
        )
    for subject, title in SUBJECTS.items():
        rows = [row for row in differences.behaviour if row.subject == subject]
        if rows:
            click.echo(f"\n{title}:")
        for row in rows:
            output.text(f"{row.change}: {row.name}: {row.text}", "  ")
