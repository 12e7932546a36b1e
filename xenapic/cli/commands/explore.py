"""``xenapic explore``. It needs no Xen."""

from __future__ import annotations

import click

from xenapic.cli.base import Command
from xenapic.cli.options import FILE


@click.command("explore", cls=Command)
@click.option(
    "--host",
    "reports",
    multiple=True,
    type=FILE,
    help="Offer the host of a saved report (xenapic host --json), too.",
)
def command(reports: tuple[str, ...]) -> None:
    """Print the explorer: one HTML page that shows what happens to each access to the APIC.

    Save it and open it in a browser; it needs nothing else. Choose a processor, a release and its options,
    the state of the guest's APIC and the flags of the domain; compare two choices; drop a host report or a
    recording onto it.

    \b
      xenapic explore > explorer.html
      xenapic explore --host report.json > explorer.html
    """
    from pathlib import Path

    from xenapic.documents import from_file
    from xenapic.explorer.page import explorer_page
    from xenapic.model.host import Host

    hosts = {Path(path).stem or path: from_file(path, Host) for path in reports}
    click.echo(explorer_page(hosts), nl=False)
