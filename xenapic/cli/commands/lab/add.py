"""``xenapic lab add``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from xenapic.cli import output
from xenapic.cli.base import Command

DIRECTORY = click.Path(file_okay=False)
FILE = click.Path(dir_okay=False)


@click.command("add", cls=Command)
@click.argument("name")
@click.argument("more", nargs=-1, metavar="[PACKAGE...]", type=FILE)
@click.option(
    "--tree", type=DIRECTORY, help="A built tree of Xen, its dist/install, or any directory with both."
)
@click.option(
    "--packages", multiple=True, metavar="FILE...", type=FILE, help="A .deb or .rpm; several may follow."
)
@click.option("--hypervisor", type=FILE, metavar="FILE", help="xen.gz, xen or xen-syms.")
@click.option(
    "--libraries", type=DIRECTORY, help="Directory with libxenctrl.so.4.N and the libraries it needs."
)
@click.option(
    "--headers", type=DIRECTORY, help="Directory with xenctrl.h, to prove an unknown release's layout."
)
@click.option(
    "--kernel", type=FILE, metavar="FILE", help="Another kernel for dom0, with its drivers built in."
)
@click.option(
    "--root", default="", metavar="SUITE", help="Dom0's root: bookworm or trixie.  [default: what fits]"
)
@click.option(
    "--xen-args", default="", metavar="TEXT", help="Options for Xen at every boot of it, e.g. apicv=0."
)
def command(
    name: str,
    more: tuple[str, ...],
    tree: str | None,
    packages: tuple[str, ...],
    hypervisor: str | None,
    libraries: str | None,
    headers: str | None,
    kernel: str | None,
    root: str,
    xen_args: str,
) -> None:
    """Add a Xen to the lab under NAME, in place of an earlier one of that name.

    The files are copied, so a rebuild changes nothing until you add it again. Every --xen of 'xenapic lab'
    then takes NAME.

    \b
      xenapic lab add my-branch --tree ~/xen
      xenapic lab add patched --hypervisor xen.gz --libraries dist/install/usr/local/lib
      xenapic lab add distro --packages xen-hypervisor-*.deb libxenmisc*.deb
    """
    from xenapic.lab.added import add
    from xenapic.lab.gather import Sources
    from xenapic.lab.progress import Reporter

    if more and not packages:
        raise click.UsageError(f"unexpected argument {more[0]!r}; packages follow --packages")
    sources = Sources(
        tree=_path(tree),
        packages=tuple(map(Path, (*packages, *more))),
        hypervisor=_path(hypervisor),
        libraries=_path(libraries),
        headers=_path(headers),
        kernel=_path(kernel),
    )
    with Reporter() as reporter:
        xen = add(
            name,
            sources,
            root=root,
            options=tuple(shlex.split(xen_args)),
            progress=lambda text: reporter("image", text),
        )
    what = " ".join(
        filter(None, [f"Xen {xen.xen}", {True: "(debug)", False: "", None: ""}[xen.debug], xen.changeset])
    )
    click.echo(output.printable(f"{name}: {what}; dom0's root is Debian {xen.root}"))
    for part, file in xen.taken.items():
        click.echo(output.printable(f"  {part}: {file['path']} (sha256 {file['sha256'][:16]})"))


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
