"""``xenapic lab fetch``."""

from __future__ import annotations

import click

from xenapic.cli.base import Command
from xenapic.cli.commands.lab.common import RELEASE


@click.command("fetch", cls=Command)
@click.option(
    "--xen",
    "releases",
    multiple=True,
    type=RELEASE,
    metavar="RELEASE",
    help="Release of Xen to fetch.  [default: all]",
)
@click.option("--renew", is_flag=True, help="Fetch again even if it is in the cache.")
@click.option("--verify", is_flag=True, help="Read every cached byte; fetch what is damaged again.")
def command(releases: tuple[str, ...], renew: bool, verify: bool) -> None:
    """Fetch Xen and Bochs into the cache, so that later runs need no network."""
    from xenapic.lab import bochs_package, xens
    from xenapic.lab.progress import Reporter

    with Reporter() as reporter:
        for name in releases or tuple(xens.RELEASES):
            release = xens.release(name)
            damaged = verify and xens.entry(release).problem(deep=True) is not None
            reporter("image", f"Xen {name}")
            xens.ensure(release, lambda text: reporter("image", text), renew=renew or damaged)
        damaged = verify and bochs_package.entry().problem(deep=True) is not None
        reporter("image", "Bochs")
        bochs_package.ensure(lambda text: reporter("image", text), renew=renew or damaged)
