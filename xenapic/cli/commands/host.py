"""``xenapic host``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import xenapic
from xenapic.apic.features import CONTROL_FIELDS, FEATURES
from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.options import INPUT, JSON, RELEASE, read_input

if TYPE_CHECKING:
    from xenapic.model.facts import Fact
    from xenapic.model.host import Host
    from xenapic.model.measured import Measurement


@click.command("host", cls=Command)
@JSON
@click.option(
    "--probe", is_flag=True, help="Find out about the per-domain interface with a create that cannot succeed."
)
@click.option(
    "--measure", is_flag=True, help="Read the controls from the VMCS of a throw-away domain, per APIC state."
)
@click.option(
    "--log",
    type=INPUT,
    help="Take the facts from a saved boot log (e.g. of xl dmesg) instead of this host; - is stdin.",
)
@click.option(
    "--xen",
    type=RELEASE,
    metavar="RELEASE",
    help="Release of Xen that wrote the log, if the log does not say.",
)
@click.pass_obj
def command(
    library: str | None, as_json: bool, probe: bool, measure: bool, log: str | None, xen: str | None
) -> None:
    """Show what Xen uses of the processor's APIC acceleration, and the source of each fact.

    An answer is yes, no or unknown; for an unknown one the command says how to find out.
    """
    warnings: tuple[str, ...] = ()
    if log is not None:
        if probe or measure:
            raise click.UsageError("--log asks no Xen: --probe and --measure exclude it")
        report, warnings = _logged(log, xen)
    elif xen is not None:
        raise click.UsageError("--xen needs --log: the release of the running Xen is known")
    else:
        report = _running(library, probe, measure)
    if as_json:
        output.emit(report)
    else:
        _show(report)
    for warning in warnings:
        click.echo(f"note: {warning}", err=True)


def _running(library: str | None, probe: bool, measure: bool) -> Host:
    """Return what the running Xen says about this host."""
    with xenapic.open(library) as xen:
        if measure:
            xen.measure()
        return xen.host(probe=probe)


def _logged(log: str, release: str | None) -> tuple[Host, tuple[str, ...]]:
    """Return the host of a saved log, and what limits the trust in it."""
    from xenapic.model.logged import host_from_log
    from xenapic.model.releases import xen_release

    name, text = read_input(log)
    logged = host_from_log(text, name=name, release=None if release is None else xen_release(release))
    return logged.host, logged.warnings


def _show(host: Host) -> None:
    technology = host.technology.value if host.technology else "no hardware virtualization"
    click.echo(f"Xen {host.version} on {technology}\n")
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
        ("choice per domain", host.interface),
        ("  assisted_xapic", host.assisted_xapic),
        ("  assisted_x2apic", host.assisted_x2apic),
    ]


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
