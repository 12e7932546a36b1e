"""``xenapic host``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from xenapic.apic.features import CONTROL_FIELDS, FEATURES
from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.hostoptions import HostChoice, host_options
from xenapic.cli.hosts import host_of
from xenapic.cli.options import JSON, PROMETHEUS, one_form

if TYPE_CHECKING:
    from xenapic.model.facts import Fact
    from xenapic.model.host import Host
    from xenapic.model.measured import Measurement


@click.command("host", cls=Command)
@host_options
@click.option(
    "--probe", is_flag=True, help="Find out about the per-domain interface with a create that cannot succeed."
)
@JSON
@PROMETHEUS
@click.pass_obj
def command(library: str | None, /, choice: HostChoice, probe: bool, as_json: bool, prometheus: bool) -> None:
    """Show what Xen uses of the processor's APIC acceleration, and the source of each fact.

    An answer is yes, no or unknown; for an unknown one the command says how to find out. The host is
    this one, or the one that the options name.

    \b
      ssh host xl dmesg | xenapic host --log -
      xenapic host --processor skylake-sp --xen 4.20 --json
    """
    if probe and not choice.running:
        raise click.UsageError("--probe asks the running Xen, so it excludes the options that name a host")
    one_form(as_json, prometheus)
    _name, host = host_of(choice, library, probe)
    if as_json:
        output.emit(host)
    elif prometheus:
        from xenapic.documents.prometheus import host_text

        click.echo(host_text(host), nl=False)
    else:
        _show(host)


def _show(host: Host) -> None:
    technology = host.technology.value if host.technology else "no hardware virtualization"
    click.echo(f"Xen {host.version} on {technology}{_processor(host)}\n")
    facts = _facts(host)
    output.noted_table(
        ("APIC feature", "used"),
        [((name, fact.answer.value), fact.source) for name, fact in facts],
    )
    if host.measured is not None:
        _show_measured(host.measured)
    steps = dict.fromkeys(fact.how for _name, fact in facts if fact.how)
    if steps:
        click.echo("\nTo find out what is unknown:")
    for step in steps:
        output.text(step, "  ")


def _facts(host: Host) -> list[tuple[str, Fact]]:
    """Return the facts to show; the features of the other technology do not concern the host."""
    features = [row for row in FEATURES if host.technology in (row.technology, None)]
    return [
        *((row.name, host.features[row.key]) for row in features),
        *((title, getattr(host, name)) for name, title in PLATFORM.items() if getattr(host, name).known),
        *([("one bit per control", host.per_control)] if host.per_control else []),
        ("choice per domain", host.interface),
        ("  assisted_xapic", host.assisted_xapic),
        ("  assisted_x2apic", host.assisted_x2apic),
    ]


PLATFORM = {
    "x2apic_mode": "Xen's own APICs in x2APIC mode",
    "interrupt_remapping": "interrupt remapping",
    "posted_by_iommu": "interrupts posted by the IOMMU",
}
"""Facts about the platform, which are shown where they are known."""


def _processor(host: Host) -> str:
    """Return what is known of the processor of a host that is known from files."""
    if host.seen is None:
        return ""
    names = [host.seen.processor, host.seen.model, " or ".join(host.seen.rows)]
    return "".join(f", {output.printable(name)}" for name in names if name)


def _show_measured(measured: Measurement) -> None:
    if not measured.done:
        click.echo()
        output.text(f"Not measured: {measured.why_not}.")
        return
    click.echo(f"\nMeasured with {measured.how}:\n")
    output.table(
        ("local APIC", *(field.printed for field in CONTROL_FIELDS.values())),
        [(state.value, *words.texts().values()) for state, words in measured.states.items()],
    )
