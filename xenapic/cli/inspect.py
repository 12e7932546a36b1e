"""``xenapic inspect``: what is in force for a domain, and whether it is as it should be."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

import xenapic
from xenapic.cli import show
from xenapic.cli.show import JSON
from xenapic.cli.spec import row_json, show_accesses

if TYPE_CHECKING:
    from xenapic.verify.inspection import Inspection, VcpuInspection

LOUD = (
    "DEFECT: the APIC of vCPU {vcpu} is plain memory. Nothing intercepts its page, no interrupt controller "
    "is behind it: no interrupt will come unless the guest goes to x2APIC mode. [{code}]"
)


@click.command("inspect")
@click.argument("domid", type=int)
@click.option("--accesses", is_flag=True, help="Show what becomes of each access, too.")
@click.option("--watch", type=float, metavar="SECONDS", help="Look again so often; print what changed.")
@JSON
@click.pass_obj
def inspect_command(
    library: str | None, /, domid: int, accesses: bool, watch: float | None, as_json: bool
) -> None:
    """Show what is in force for a domain: per vCPU the APIC's state and the controls that it runs with.

    Says whether that is what the model predicts and what the domain was created for. The
    domain may be running; nothing of it is changed. Exit status 1 when something is not
    as it should be.
    """
    from xenapic.verify.inspection import inspect

    if as_json and watch is not None:
        raise click.UsageError("--json and --watch exclude each other")
    with xenapic.open(library) as xen:
        found = inspect(xen, domid)
        if as_json:
            show.emit("inspect", inspection_json(found))
        else:
            _show(found, accesses)
        if watch is not None:
            _watch(xen, found, accesses, watch)
    if not found.ok:
        raise SystemExit(1)


def _watch(xen: xenapic.Xen, last: Inspection, accesses: bool, seconds: float) -> None:
    """Print the inspection whenever it is unlike the one before, until Ctrl-C or the domain's end."""
    from xenapic.errors import DomainNotFound
    from xenapic.verify.inspection import inspect

    try:
        while True:
            time.sleep(seconds)
            found = inspect(xen, last.info.domid)
            if found.vcpus != last.vcpus:
                click.echo(f"\n{time.strftime('%H:%M:%S')}")
                _show(found, accesses)
            last = found
    except DomainNotFound:
        click.echo(f"\n{time.strftime('%H:%M:%S')} domain {last.info.domid} is gone")
    except KeyboardInterrupt:
        pass


def _show(found: Inspection, accesses: bool) -> None:
    info = found.info
    click.echo(f"domain {info.domid}, {info.guest_type.name}, misc_flags {int(info.misc_flags):#x}\n")
    show.table(
        ("vCPU", "APIC", "base", "controls in force", "as predicted"),
        [
            (
                one.found.vcpu,
                one.found.state.value,
                f"{one.found.apic_base:#x}",
                one.found.controls or one.found.why_not,
                _agrees(one),
            )
            for one in found.vcpus
        ],
    )
    for one in found.vcpus:
        _show_trouble(one)
    if found.policy is not None:
        _show_promises(found)
    if accesses:
        for one in found.vcpus:
            click.echo(f"\nvCPU {one.found.vcpu}:")
            show_accesses(list(one.accesses()))


def _agrees(one: VcpuInspection) -> str:
    if one.agrees is None:
        return "-"
    if not one.agrees:
        return "NO"
    return "yes" if len(one.predicted) == 1 else "possible: the host is not wholly known"


def _show_trouble(one: VcpuInspection) -> None:
    from xenapic.model.acceleration import PLAIN_MEMORY_CODE

    if one.plain_memory:
        click.echo(f"\n{click.style(LOUD.format(vcpu=one.found.vcpu, code=PLAIN_MEMORY_CODE), bold=True)}")
    if one.agrees is False:
        predicted = " or ".join(map(str, one.predicted))
        click.echo(f"\nvCPU {one.found.vcpu}: the model predicts {predicted}")
        click.echo(f"  unlike it: {', '.join(one.differences)}")


def _show_promises(found: Inspection) -> None:
    rows = [
        (one.found.vcpu, promise.asked, promise.kept.value) for one in found.vcpus for promise in one.promises
    ]
    click.echo("\ncreated for a policy" + (":" if rows else " that asks for nothing"))
    if rows:
        show.table(("vCPU", "asked", ""), rows)


def inspection_json(found: Inspection) -> dict[str, Any]:
    """Return the body of ``xenapic/inspect``."""
    return {
        "domid": found.info.domid,
        "type": found.info.guest_type.name,
        "misc_flags": show.plain(found.info.misc_flags),
        "ok": found.ok,
        "policy": found.policy is not None,
        "vcpus": [_vcpu_json(one) for one in found.vcpus],
    }


def _vcpu_json(one: VcpuInspection) -> dict[str, Any]:
    controls = one.found.controls
    return {
        "vcpu": one.found.vcpu,
        "apic_state": one.found.state.value,
        "apic_base": one.found.apic_base,
        "controls": None if controls is None else list(controls.keys),
        "why_not": one.found.why_not or None,
        "as_predicted": one.agrees,
        "differences": list(one.differences),
        "plain_memory": one.plain_memory,
        "promises": [{"asked": promise.asked, "kept": promise.kept.value} for promise in one.promises],
        "accesses": [row_json(row) for row in one.accesses()],
    }
