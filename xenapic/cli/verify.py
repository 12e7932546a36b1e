"""``xenapic verify``: what xenapic says, what the processor is told, and what a guest feels, compared."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import xenapic
from xenapic.apic.state import ApicState
from xenapic.cli import show
from xenapic.cli.show import JSON
from xenapic.cli.spec import spec_json

if TYPE_CHECKING:
    from xenapic.verify.check import Report

FILE = click.Path(dir_okay=False, allow_dash=True)
HERE = "this Xen"


@click.command()
@click.option("--processor", default="", metavar="NAME", help="Predict from this row of the table.")
@click.option("--emulator", default="", metavar="TEXT", help="What emulates the processor, e.g. 'bochs 2.7'.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([one.value for one in ApicState]),
    help="Only these states of the APIC.  [default: all]",
)
@click.option("--no-probe", is_flag=True, help="Run no guest: compare the VMCS and the log alone.")
@click.option(
    "--refusals",
    is_flag=True,
    help="Send creates that Xen refuses early, too; on 4.21 and 4.22 each costs a domain number.",
)
@click.option(
    "--trace",
    is_flag=True,
    help="Count VM exits in Xen's trace, too; its buffers stay allocated until reboot.",
)
@click.option("--record", "record_file", type=FILE, help="Keep what was found, for 'xenapic spec check'.")
@click.option("--junit", "junit_file", type=FILE, help="Write JUnit XML.")
@click.option("--html", "html_file", type=FILE, help="Write a page with register maps.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@JSON
@click.pass_obj
def verify(
    library: str | None,
    /,
    processor: str,
    emulator: str,
    states: tuple[str, ...],
    no_probe: bool,
    refusals: bool,
    trace: bool,
    record_file: str | None,
    junit_file: str | None,
    html_file: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Compare the specification with the running Xen: VMCS, CPUID, every register, interrupts.

    Over every policy that this Xen can express and every state of a guest's APIC: a paused
    domain shows its VMCS, and a tiny guest measures from inside which access leaves it,
    what faults, and whether interrupts come. Nothing is left behind. Exit status 1
    when anything disagrees.
    """
    from xenapic.verify.record import Settings, record
    from xenapic.verify.recording import check_recording

    settings = Settings(
        processor=processor,
        emulator=emulator,
        states=tuple(ApicState(one) for one in states) or tuple(ApicState),
        refusals=refusals,
        probe=not no_probe,
        trace=trace,
    )
    with xenapic.open(library) as xen:
        data = record(xen, settings, _silent if quiet else _say)
    report = check_recording(data, HERE)
    if record_file:
        _write(record_file, json.dumps(data, indent=1) + "\n")
    write_reports({HERE: (data, report)}, junit_file, html_file)
    if as_json:
        show.emit("verify", {"report": {**spec_json(report), "not_testable": data["not_testable"]}})
    else:
        show_report(data, report)
    if not report.ok:
        raise SystemExit(1)


def _say(what: str, at: int, of: int) -> None:
    click.echo(f"{at}/{of} {what}", err=True)


def _silent(_what: str, _at: int, _of: int) -> None:
    pass


def _write(path: str, text: str) -> None:
    if path == "-":
        sys.stdout.write(text)
    else:
        Path(path).write_text(text)


def write_reports(
    found: Mapping[str, tuple[Mapping[str, Any], Report]], junit_file: str | None, html_file: str | None
) -> None:
    """Write what was asked for."""
    if junit_file:
        from xenapic.verify.reports import junit

        _write(junit_file, junit([report for _data, report in found.values()]))
    if html_file:
        from xenapic.verify.page import html_page

        _write(html_file, html_page("xenapic verify", found))


def show_report(data: Mapping[str, Any], report: Report) -> None:
    """Print the table, what disagrees, and what could not be tested."""
    from xenapic.verify.check import Verdict
    from xenapic.verify.reports import columns, summary

    click.echo(f"Xen {data['xen']}; predicted from {report.processor}\n")
    rows = summary(report)
    named = columns(rows)
    show.table(
        ("compared", *named),
        [(row, *(cells.get(column, "") for column in named)) for row, cells in rows.items()],
    )
    for one in report.of(Verdict.DISAGREES):
        click.echo(f"DISAGREES {show.printable(str(one))}")
    for why in data["not_testable"]:
        click.echo(f"not testable here: {show.printable(why)}")
    click.echo(f"\n{report.agree} of {report.compared} agree")
