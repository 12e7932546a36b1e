"""``xenapic info``."""

from __future__ import annotations

import click

import xenapic
from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.options import JSON
from xenapic.parse.flagnames import names


@click.command("info", cls=Command)
@JSON
@click.pass_obj
def command(library: str | None, as_json: bool) -> None:
    """Show the version of Xen, and the host's memory, processors and capabilities."""
    with xenapic.open(library) as xen:
        version, physinfo = xen.version, xen.physinfo()
    if as_json:
        from xenapic.documents.xen_info import InfoReport

        output.emit(InfoReport.of(version, physinfo))
        return
    arch = physinfo.arch_capabilities
    output.table(
        ("", ""),
        [
            ("Xen", version),
            ("changeset", version.changeset or "-"),
            ("guest types", " ".join(version.capabilities)),
            ("command line", version.commandline),
            ("CPUs", f"{physinfo.nr_cpus} at {physinfo.cpu_khz / 1000:.0f} MHz"),
            ("memory", f"{physinfo.total_pages // 256} MiB, {physinfo.free_pages // 256} MiB free"),
            ("capabilities", " ".join(names(physinfo.capabilities))),
            ("arch_capabilities", "no such field" if arch is None else " ".join(names(arch)) or "0"),
        ],
    )
