"""``xenapic lab build``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xenapic.cli import output
from xenapic.cli.base import Command

if TYPE_CHECKING:
    from xenapic.lab.xens import Release

DIRECTORY = click.Path(file_okay=False)
DEBIAN = "debian:"


@click.command("build", cls=Command)
@click.argument("name")
@click.option(
    "--from",
    "package",
    metavar="debian:RELEASE",
    help="Debian's source package of a release, e.g. debian:4.17.",
)
@click.option("--tree", type=DIRECTORY, help="A source tree of Xen, in place of --from; it is not changed.")
@click.option("--proposal", is_flag=True, help="Add the proposed interface: one control per bit.")
@click.option(
    "--for-bochs",
    is_flag=True,
    help="Also make guests with posted interrupts start in Bochs, by the alignment of their descriptor.",
)
@click.option(
    "--config",
    multiple=True,
    metavar="CONFIG_X=y",
    help="A setting of Xen's Kconfig; can be given several times.",
)
@click.option(
    "--libraries",
    type=DIRECTORY,
    help="Directory with the libxenctrl of the tree's release, if Debian has none.",
)
@click.option(
    "--headers", type=DIRECTORY, help="Directory with xenctrl.h, to prove an unknown release's layout."
)
@click.option(
    "--root", default="", metavar="SUITE", help="Dom0's root: bookworm or trixie.  [default: what fits]"
)
@click.option(
    "--xen-args", default="", metavar="TEXT", help="Options for Xen at every boot of it, e.g. apicv=0."
)
@click.option(
    "--jobs", type=click.IntRange(1, 256), default=2, show_default=True, help="Compilers at a time."
)
def command(
    name: str,
    package: str | None,
    tree: str | None,
    proposal: bool,
    for_bochs: bool,
    config: tuple[str, ...],
    libraries: str | None,
    headers: str | None,
    root: str,
    xen_args: str,
    jobs: int,
) -> None:
    """Build a hypervisor from source, and add it to the lab under NAME.

    The build is kept, and made again only if the source, the change, the settings or the compiler differ. Its
    log is in the cache, as lab/logs/build-NAME.log.

    \b
      xenapic lab build one-bit --from debian:4.17 --proposal
      xenapic lab build plain --from debian:4.17
      xenapic lab build mine --tree ~/xen --proposal --config CONFIG_DEBUG=y
    """
    from xenapic.lab.build import Order, build
    from xenapic.lab.progress import Reporter

    if (package is None) == (tree is None):
        raise click.UsageError("give --from debian:RELEASE or --tree, and not both")
    order = Order(
        release=_release(package) if package else None,
        tree=Path(tree).expanduser() if tree else None,
        proposal=proposal,
        for_bochs=for_bochs,
        config=config,
        libraries=Path(libraries) if libraries else None,
        headers=Path(headers) if headers else None,
        root=root,
        options=tuple(shlex.split(xen_args)),
        jobs=jobs,
    )
    with Reporter() as reporter:
        xen = build(name, order, progress=lambda text: reporter("build", text))
    debug = " (debug)" if xen.debug else ""
    click.echo(output.printable(f"{name}: Xen {xen.xen}{debug}; dom0's root is Debian {xen.root}"))
    for part, file in xen.taken.items():
        click.echo(output.printable(f"  {part}: {file['path']} (sha256 {file['sha256'][:16]})"))


def _release(package: str) -> Release:
    from xenapic.lab.xens import release

    if not package.startswith(DEBIAN):
        raise click.UsageError(f"--from takes debian:RELEASE, such as debian:4.17, and not {package!r}")
    return release(package.removeprefix(DEBIAN))
