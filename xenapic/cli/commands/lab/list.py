"""``xenapic lab list``."""

from __future__ import annotations

import click

from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.options import JSON

MODELS = (
    "Each machine is an emulator's model, under the emulator's name: sapphire_rapids is Bochs' model. The "
    "real processors, which 'xenapic plan --processor' knows too, have other names: sapphire-rapids-sp."
)


@click.command("list", cls=Command)
@JSON
def command(as_json: bool) -> None:
    """List the machines and what each offers Xen."""
    from xenapic.lab.machines import MACHINES

    if as_json:
        from xenapic.documents.lab_machines import MachineList

        output.emit(MachineList.of(MACHINES.values()))
        return
    output.noted_table(
        ("machine", "emulator", "vendor", "offers"),
        [((m.name, m.emulator, m.vendor, ", ".join(m.offers)), m.notes) for m in MACHINES.values()],
        label="notes",
    )
    click.echo()
    output.text(MODELS, hanging="")
