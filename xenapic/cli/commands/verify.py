"""``xenapic verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import xenapic
from xenapic.apic.state import ApicState
from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.options import JSON, OUTPUT, SELECT
from xenapic.cli.reports import Files, on_stdout
from xenapic.cli.status import Status

if TYPE_CHECKING:
    from xenapic.verify.check import Report
    from xenapic.verify.recording import Recording

HERE = "this Xen"


@click.command("verify", cls=Command)
@click.option(
    "--processor",
    default="",
    metavar="NAME",
    help="Predict from this processor of the table.  [default: from the log]",
)
@click.option("--emulator", default="", metavar="TEXT", help="What emulates the processor, e.g. 'bochs 3.0'.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in ApicState]),
    help="Only these states of the APIC.  [default: all]",
)
@SELECT
@click.option("--no-probe", is_flag=True, help="Run no guest: compare only the VMCS and the log.")
@click.option(
    "--refusals",
    is_flag=True,
    help="Also send creates that Xen refuses early; on 4.21 and 4.22 each uses up a domain number.",
)
@click.option(
    "--trace",
    is_flag=True,
    help="Also count VM exits in Xen's trace; its buffers stay allocated until reboot.",
)
@click.option(
    "--record", "record_file", type=OUTPUT, help="Save what was observed, for 'xenapic spec check'."
)
@click.option("--junit", "junit_file", type=OUTPUT, help="Write JUnit XML.")
@click.option("--html", "html_file", type=OUTPUT, help="Write a page with register maps.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@JSON
@click.pass_obj
def command(
    library: str | None,
    /,
    processor: str,
    emulator: str,
    states: tuple[str, ...],
    select: str,
    no_probe: bool,
    refusals: bool,
    trace: bool,
    record_file: str | None,
    junit_file: str | None,
    html_file: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Compare the model with the running Xen: VMCS, CPUID, every register, interrupts.

    Covers every policy that this Xen can express and every state of a guest's APIC: a paused
    domain shows its VMCS, and a tiny guest measures from inside which accesses exit, which
    fault, and whether interrupts arrive. Nothing is left behind. Exit status 1 means that
    something disagrees.
    """
    from xenapic.verify.checks import check_recording
    from xenapic.verify.record import Settings, record
    from xenapic.verify.select import selection_of

    busy = on_stdout(as_json, record_file, junit_file, html_file)
    settings = Settings(
        processor=processor,
        emulator=emulator,
        states=tuple(map(ApicState, states)) or tuple(ApicState),
        refusals=refusals,
        probe=not no_probe,
        hints=not no_probe,
        trace=trace,
    ).part(select)
    with xenapic.open(library) as xen:
        recording = record(xen, settings, _silent if quiet else _progress)
    report = selection_of(select).report(check_recording(recording, HERE))
    files = Files()
    files.write_recording(record_file, recording)
    files.write_reports("xenapic verify", {HERE: (recording, report)}, junit_file, html_file)
    if as_json:
        from xenapic.documents.verifications import Verification

        output.emit(Verification.of(report, recording.not_testable))
    elif not busy:
        _show(recording, report)
    files.finish()
    if not report.ok:
        raise SystemExit(Status.REFUSED)


def _progress(step: str, number: int, total: int) -> None:
    click.echo(f"{number}/{total} {step}", err=True)


def _silent(_step: str, _number: int, _total: int) -> None:
    pass


def _show(recording: Recording, report: Report) -> None:
    """Print the table, what disagrees, and what could not be tested."""
    from xenapic.verify.check import Verdict
    from xenapic.verify.reports import columns, summary

    click.echo(f"Xen {recording.xen}; predicted from {report.processor}\n")
    rows = summary(report)
    headers = columns(rows)
    output.table(
        ("compared", *headers),
        [(row, *(cells.get(header, "") for header in headers)) for row, cells in rows.items()],
    )
    for check in report.of(Verdict.DISAGREES):
        click.echo(f"DISAGREES {output.printable(str(check))}")
    for reason in recording.not_testable:
        click.echo(f"not testable here: {output.printable(reason)}")
    click.echo(f"\n{report.agree} of {report.compared} agree")
