"""``xenapic inspect``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

import xenapic
from xenapic.cli import output
from xenapic.cli.accesses import show_accesses
from xenapic.cli.base import Command
from xenapic.cli.options import DOMID, JSON
from xenapic.cli.status import Status
from xenapic.parse.flagnames import names

if TYPE_CHECKING:
    from xenapic.verify.inspection import Inspection, VcpuInspection

PLAIN_MEMORY = (
    "DEFECT: the APIC of vCPU {vcpu} is plain memory. Nothing intercepts accesses to its page and no "
    "interrupt controller is behind it: the guest receives no interrupts unless it switches to x2APIC "
    "mode. [{code}]"
)


@click.command("inspect", cls=Command)
@click.argument("domid", type=DOMID)
@click.option("--accesses", is_flag=True, help="Show what happens to each access too.")
@click.option("--watch", type=float, metavar="SECONDS", help="Inspect again at this interval; print changes.")
@JSON
@click.pass_obj
def command(library: str | None, /, domid: int, accesses: bool, watch: float | None, as_json: bool) -> None:
    """Show what is in force for a domain: for each vCPU the APIC's state and the controls it runs with.

    Also shows whether that matches the model's prediction and the policy that the domain was created
    for. The domain may be running; it is not changed. Exit status 1 means that something does not match.
    """
    from xenapic.verify.inspection import inspect

    if as_json and watch is not None:
        raise click.UsageError("--json and --watch exclude each other")
    with xenapic.open(library) as xen:
        inspection = inspect(xen, domid)
        if as_json:
            output.emit(inspection)
        else:
            _show(inspection, accesses)
        if watch is not None:
            _watch(xen, inspection, accesses, watch)
    if not inspection.ok:
        raise SystemExit(Status.REFUSED)


def _watch(xen: xenapic.Xen, last: Inspection, accesses: bool, seconds: float) -> None:
    """Print the inspection whenever it differs from the previous one, until Ctrl-C or the domain's end."""
    from xenapic.errors import DomainNotFound
    from xenapic.verify.inspection import inspect

    try:
        while True:
            time.sleep(seconds)
            now = inspect(xen, last.info.domid)
            if now.vcpus != last.vcpus:
                click.echo(f"\n{time.strftime('%H:%M:%S')}")
                _show(now, accesses)
            last = now
    except DomainNotFound:
        click.echo(f"\n{time.strftime('%H:%M:%S')} domain {last.info.domid} is gone")
    except KeyboardInterrupt:
        pass


def _show(inspection: Inspection, accesses: bool) -> None:
    info = inspection.info
    click.echo(f"domain {info.domid}, {info.guest_type.name}, misc_flags {int(info.misc_flags):#x}\n")
    if inspection.in_force is not None:
        click.echo(f"Xen says in force: {', '.join(names(inspection.in_force)) or 'nothing'}\n")
    output.table(
        ("vCPU", "APIC", "base", "controls in force", "as predicted"),
        [
            (
                vcpu.measured.vcpu,
                vcpu.measured.state.value,
                f"{vcpu.measured.apic_base:#x}",
                vcpu.measured.controls or vcpu.measured.why_not,
                _agrees(vcpu),
            )
            for vcpu in inspection.vcpus
        ],
    )
    for vcpu in inspection.vcpus:
        _show_trouble(vcpu)
    if inspection.policy is not None:
        _show_promises(inspection)
    if accesses:
        for vcpu in inspection.vcpus:
            click.echo(f"\nvCPU {vcpu.measured.vcpu}:")
            show_accesses(vcpu.accesses())


def _agrees(vcpu: VcpuInspection) -> str:
    if vcpu.agrees is None:
        return "-"
    if not vcpu.agrees:
        return "NO"
    return "yes" if len(vcpu.predicted) == 1 else "possible: not every fact about the host is known"


def _show_trouble(vcpu: VcpuInspection) -> None:
    from xenapic.model.acceleration import PLAIN_MEMORY_CODE

    number = vcpu.measured.vcpu
    if vcpu.plain_memory:
        text = PLAIN_MEMORY.format(vcpu=number, code=PLAIN_MEMORY_CODE)
        click.echo(f"\n{click.style(text, bold=True)}")
    if vcpu.agrees is False:
        predicted = " or ".join(map(str, vcpu.predicted))
        click.echo(f"\nvCPU {number}: the model predicts {predicted}")
        click.echo(f"  differing: {', '.join(vcpu.differences)}")


def _show_promises(inspection: Inspection) -> None:
    rows = [
        (vcpu.measured.vcpu, promise.asked, promise.kept.value)
        for vcpu in inspection.vcpus
        for promise in vcpu.promises
    ]
    click.echo("\ncreated for a policy" + (":" if rows else " that asks for nothing"))
    if rows:
        output.table(("vCPU", "asked", ""), rows)
