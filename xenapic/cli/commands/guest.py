"""``xenapic guest``. It needs no Xen when the options name a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.hostoptions import RELEASE, HostChoice, host_options
from xenapic.cli.hosts import host_of, host_or_name
from xenapic.cli.options import JSON
from xenapic.cli.status import Status

if TYPE_CHECKING:
    from xenapic.documents.guest_side import GuestView


@click.command("guest", cls=Command)
@click.option("--vcpus", type=int, default=1, show_default=True, help="Number of vCPUs, for the APIC IDs.")
@click.option("--viridian", metavar="GROUPS", help="As in xl.cfg, e.g. 1 or defaults,hcall_ipi.")
@click.option("--to", metavar="FILE|PROCESSOR", help="Where it moves: a report, a boot log, a processor.")
@click.option("--to-xen", type=RELEASE, help="The release of Xen there, for a processor's name.")
@host_options
@JSON
@click.pass_obj
def command(
    library: str | None,
    /,
    vcpus: int,
    viridian: str | None,
    to: str | None,
    to_xen: str | None,
    as_json: bool,
    choice: HostChoice,
) -> None:
    """Show what a PVH or HVM guest sees of its host.

    Shows the APIC IDs, what CPUID tells the guest about its APIC, and what a hypervisor in the guest may
    use. With --to, shows what a running guest was told that no longer holds on the other host; exit status 1
    means that something is lost or unknown.

    \b
      xenapic guest --processor skylake-sp --vcpus 64
      xenapic guest --host here.json --viridian defaults,hcall_ipi
      xenapic guest --host here.json --to there.json
    """
    from xenapic.documents.guest_side import GuestView, MovedHint
    from xenapic.policy.guestside import Change, apic_ids, moved, nested, told, viridian_groups

    name, host = host_of(choice, library)
    groups = viridian_groups(viridian.split(",")) if viridian else frozenset()
    target = host_or_name(to, to_xen) if to else None
    moves = moved(host, target[1], groups) if target else ()
    view = GuestView(
        host=name,
        release=host.release.name,
        apic_ids=apic_ids(vcpus, host.release),
        told=told(host, groups),
        nested=nested(host),
        moves_to=target[0] if target else None,
        moved=tuple(map(MovedHint.of, moves)),
    )
    if as_json:
        output.emit(view)
    elif target:
        _show_move(view)
    else:
        _show(view)
    if any(move.change in (Change.LOST, Change.UNKNOWN) for move in moves):
        raise SystemExit(Status.REFUSED)


def _show(view: GuestView) -> None:
    ids = view.apic_ids
    click.echo(f"a guest on {view.host}:")
    needed = "x2APIC mode is needed" if ids.x2apic_needed else "x2APIC mode is not needed for any ID"
    output.text(f"APIC IDs: vCPU n has 2n; the highest of {ids.vcpus} vCPUs is {ids.highest}; {needed}")
    click.echo("\nCPUID tells the guest:")
    output.noted_table(
        ("", "", "where", "if yes"),
        [
            ((hint.name, hint.fact.answer.value, hint.where, hint.meaning), hint.fact.source)
            for hint in view.told
        ],
    )
    click.echo("\na hypervisor in the guest (nested_virt) may use:")
    output.noted_table(
        ("", ""),
        [((aspect.title, fact.answer.value), fact.source) for aspect, fact in view.nested.items()],
    )


def _show_move(view: GuestView) -> None:
    click.echo(f"a guest that booted on {view.host} moves to {view.moves_to}:")
    output.table(
        ("told at boot", "there", "on the other host", ""),
        [(row.name, row.before.answer.value, row.after.answer.value, row.change.value) for row in view.moved],
    )
    output.text(
        "Xen computes these leaves anew on each host. A guest that read one at boot keeps to what it decided."
    )
