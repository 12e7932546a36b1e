"""``xenapic abi check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from xenapic.cli import output
from xenapic.cli.base import Command, OutputFile
from xenapic.cli.options import JSON
from xenapic.cli.reports import Files
from xenapic.cli.status import Status

if TYPE_CHECKING:
    from xenapic.documents.layouts import LayoutCheck


@click.command("check", cls=Command)
@click.option("--headers", required=True, type=click.Path(), help="Directory with xenctrl.h and xen/.")
@click.option("--library", "checked", type=click.Path(), help="The libxenctrl.so.4.N of the same build.")
@click.option("--save", type=OutputFile(dash=False), help="Save the proof for xenapic.open(layout=FILE).")
@JSON
def command(headers: str, checked: str | None, save: str | None, as_json: bool) -> None:
    """Compare a Xen's own headers with the layouts that xenapic knows, and prove one for its library.

    Compiles questions about every structure that xenapic reads or writes; runs nothing of the headers. Exit
    status 1 means that no known layout is that of the headers: the differences are printed.

    A proof holds for one build of the library. Saved as /etc/xenapic/layout.json, or where $XENAPIC_LAYOUT
    says, every command uses it.

    \b
      xenapic abi check --headers /usr/local/include --library /usr/local/lib/libxenctrl.so.4.23 \\
        --save /etc/xenapic/layout.json
    """
    import json

    from xenapic.documents import to_json
    from xenapic.documents.layouts import check_layout

    if save and not checked:
        raise click.UsageError("--save needs --library: a proof holds for one build")
    found = check_layout(Path(headers), Path(checked) if checked else None)
    files = Files()
    if found.as_release is not None:
        files.write(save, lambda: json.dumps(to_json(found), indent=1) + "\n")
    if as_json:
        output.emit(found)
    else:
        _show(found)
    files.finish()
    if found.as_release is None:
        raise SystemExit(Status.REFUSED)


def _show(found: LayoutCheck) -> None:
    whose = f"Xen {found.release}" if found.release else "these headers"
    for row in found.comparisons:
        name = f"Xen {row.release}'s layout"
        if not row.differences:
            click.echo(f"{name}: equal in all {row.compared} places")
            continue
        click.echo(f"{name}: {len(row.differences)} of {row.compared} places differ")
        for one in row.differences:
            field = f".{one.field}" if one.field else ""
            click.echo(f"  {one.struct}{field}: {one.known}; in the headers {output.printable(one.headers)}")
    if found.as_release is None:
        click.echo(f"refused: no known layout is that of {whose}")
    else:
        click.echo(f"{whose} can be used with {found.as_release}'s layout, proven from these headers")
