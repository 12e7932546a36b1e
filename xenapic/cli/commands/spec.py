"""``xenapic spec``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.options import FILE, JSON
from xenapic.cli.status import Status

if TYPE_CHECKING:
    from xenapic.verify.check import Report


@click.group("spec")
def command() -> None:
    """Check recordings of a real Xen against the model."""


@command.command(cls=Command)
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option("--verbose", "-v", is_flag=True, help="Show values that the model does not cover too.")
@JSON
def check(files: tuple[str, ...], verbose: bool, as_json: bool) -> None:
    """Compare recordings with the model: every create answer, VMCS word, CPUID leaf and access cost.

    Exit status 1 means that something disagrees, or that nothing could be compared.
    """
    from xenapic.verify.checks import check_file

    reports = [check_file(Path(file)) for file in files]
    if as_json:
        from xenapic.documents.verifications import SpecCheck

        output.emit(SpecCheck.of(reports))
    else:
        for report in reports:
            _show(report, verbose)
    if not all(report.ok for report in reports):
        raise SystemExit(Status.REFUSED)


def _show(report: Report, verbose: bool) -> None:
    from xenapic.verify.check import Verdict

    not_covered = report.of(Verdict.NOT_COVERED)
    click.echo(f"{report.name}: {report.agree} of {report.compared} agree ({len(not_covered)} not covered)")
    click.echo(f"  processor: {report.processor}")
    for check in report.of(Verdict.DISAGREES):
        click.echo(f"  DISAGREES {output.printable(str(check))}")
    for check in not_covered if verbose else ():
        click.echo(f"  not covered {output.printable(str(check))}")
