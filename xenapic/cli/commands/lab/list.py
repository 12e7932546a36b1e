"""``xenapic lab list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.options import JSON

if TYPE_CHECKING:
    from xenapic.lab.catalog import LabXen

MODELS = (
    "Each machine is an emulator's model, under the emulator's name: sapphire_rapids is Bochs' model. The "
    "real processors, which 'xenapic plan --processor' knows too, have other names: sapphire-rapids-sp."
)


@click.command("list", cls=Command)
@JSON
def command(as_json: bool) -> None:
    """List the machines and what each offers Xen, and the Xens that can boot on them."""
    from xenapic.lab.catalog import find, names
    from xenapic.lab.machines import MACHINES

    xens = [find(name) for name in names()]

    if as_json:
        from xenapic.documents.lab_machines import LabXenEntry, MachineList

        output.emit(MachineList.of(MACHINES.values(), map(LabXenEntry.of, xens)))
        return
    output.noted_table(
        ("machine", "emulator", "vendor", "offers"),
        [((m.name, m.emulator, m.vendor, ", ".join(m.offers)), m.notes) for m in MACHINES.values()],
        label="notes",
    )
    click.echo()
    output.text(MODELS, hanging="")
    click.echo()
    output.table(("Xen", "version", "build", "dom0's root", "options", "since"), [_row(xen) for xen in xens])


def _row(xen: LabXen) -> tuple[str, ...]:
    from xenapic.lab.xens import Release

    if isinstance(xen, Release):
        return xen.version, xen.version, "Debian's", xen.suite, "", ""
    debug = {True: "debug", False: "release", None: ""}[xen.debug]
    build = " ".join(filter(None, [debug, xen.changeset]))
    printable = map(output.printable, (build, xen.root, " ".join(xen.options), xen.made))
    return (xen.version, output.printable(xen.xen), *printable)
