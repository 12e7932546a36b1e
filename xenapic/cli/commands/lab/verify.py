"""``xenapic lab verify``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.commands.lab.common import JOBS, RECORD_DIR, apicv_option, names_in, options_of
from xenapic.cli.options import JSON, OUTPUT, SELECT
from xenapic.cli.reports import Files, on_stdout
from xenapic.cli.status import Status

if TYPE_CHECKING:
    from xenapic.verify.matrix import Cell, Result


@click.command("verify", cls=Command)
@click.option("--machines", default="", metavar="NAME,…", help="Machines to verify.  [default: all]")
@click.option("--xen", "xens", default="", metavar="NAME,…", help="Xens to verify.  [default: Debian's]")
@apicv_option("both")
@SELECT
@JOBS
@RECORD_DIR
@click.option("--junit", "junit_file", type=OUTPUT, help="Write JUnit XML.")
@click.option("--html", "html_file", type=OUTPUT, help="Write a page with register maps.")
@JSON
def command(
    machines: str,
    xens: str,
    apicv: str,
    select: str,
    jobs: int | None,
    record_dir: str | None,
    junit_file: str | None,
    html_file: str | None,
    as_json: bool,
) -> None:
    """Verify the model on every machine and release of the lab, with apicv on and off.

    Exit status 1 means that something disagrees, or that a machine gave no answer.
    """
    from xenapic.lab.machines import MACHINES
    from xenapic.lab.xens import RELEASES
    from xenapic.verify import matrix
    from xenapic.verify.select import selection_of

    busy = on_stdout(as_json, junit_file, html_file)
    cells = matrix.cells(_names(machines, MACHINES), _names(xens, RELEASES), options_of(apicv))
    selection_of(select)  # a wrong word must not cost a boot
    if record_dir:
        OUTPUT.convert(str(Path(record_dir, "recording.json")), None, click.get_current_context())
    results = _run(cells, jobs or matrix.default_jobs(), select)
    files = _keep(results, record_dir, junit_file, html_file)
    if as_json:
        from xenapic.documents.verifications import LabVerification

        output.emit(LabVerification.of(results.values()))
    elif not busy:
        _show(results)
    files.finish()
    if not all(result.ok for result in results.values()):
        sys.exit(Status.REFUSED)


def _names(text: str, known: Iterable[str]) -> list[str]:
    return names_in(text) if text else list(known)


def _run(cells: list[Cell], jobs: int, select: str) -> dict[str, Result]:
    """Boot each cell and verify it, with progress on stderr."""
    from xenapic.verify.matrix import run_matrix

    done = 0

    def progress(result: Result) -> None:
        nonlocal done
        done += 1
        outcome = f"{result.text} agree" if result.report else f"failed: {result.error}"
        click.echo(f"{done}/{len(cells)} {result.cell}: {outcome} ({result.seconds:.0f} s)", err=True)

    return run_matrix(cells, jobs, progress, select)


def _keep(
    results: dict[str, Result], record_dir: str | None, junit_file: str | None, html_file: str | None
) -> Files:
    """Write recordings and reports; a cell that failed has none."""
    files = Files()
    complete = {
        name: (result.recording, result.report)
        for name, result in results.items()
        if result.recording is not None and result.report is not None
    }
    if record_dir:
        for name, (recording, _report) in complete.items():
            files.write_recording(Path(record_dir) / f"{name.replace(' ', '-')}.json", recording)
    files.write_reports("xenapic lab verify", complete, junit_file, html_file, results)
    return files


def _show(results: dict[str, Result]) -> None:
    from xenapic.verify.check import Verdict

    columns = list(dict.fromkeys(_column(result) for result in results.values()))
    rows: dict[str, dict[str, str]] = {}
    for result in results.values():
        rows.setdefault(result.cell.machine, {})[_column(result)] = result.text
    output.table(
        ("machine", *columns), [(name, *(row.get(c, "") for c in columns)) for name, row in rows.items()]
    )
    for result in results.values():
        for check in result.report.of(Verdict.DISAGREES) if result.report else ():
            click.echo(f"DISAGREES {result.cell}: {output.printable(str(check))}")


def _column(result: Result) -> str:
    return f"Xen {result.cell.xen} {result.cell.options}".strip()
