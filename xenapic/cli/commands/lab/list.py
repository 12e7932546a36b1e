"""``xenapic lab list``."""

from __future__ import annotations

import click

from xenapic.cli import output
from xenapic.cli.options import JSON


@click.command("list")
@JSON
def command(as_json: bool) -> None:
    """List the machines and what each offers Xen."""
    from xenapic.lab.machines import MACHINES

    if as_json:
        from xenapic.documents.lab_machines import MachineList

        output.emit(MachineList.of(MACHINES.values()))
        return
    output.table(
        ("machine", "emulator", "vendor", "offers", "notes"),
        [(m.name, m.emulator, m.vendor, ", ".join(m.offers), m.notes) for m in MACHINES.values()],
    )
