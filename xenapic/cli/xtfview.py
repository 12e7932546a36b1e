"""What ``xtf`` and ``lab xtf`` share: their options, and how a report is shown and written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from xenapic.cli import output
from xenapic.cli.options import FILE, JSON, OUTPUT
from xenapic.cli.reports import Files, on_stdout
from xenapic.cli.status import Status

if TYPE_CHECKING:
    from xenapic.xtf.results import XtfDifference, XtfReport, XtfRun
    from xenapic.xtf.run import Settings
    from xenapic.xtf.tree import XtfTest

__all__ = ["check_outputs", "finish", "selected", "settings_of", "xtf_options"]

F = TypeVar("F", bound=Callable[..., Any])

MOST_LINES = 8
"""How many lines of a guest's output are shown where it differs; ``--json`` has all."""


def xtf_options(function: F) -> F:
    """Add the argument and the options of both commands."""
    for option in (
        JSON,
        click.option("--quiet", "-q", is_flag=True, help="Show no progress."),
        click.option("--junit", "junit_file", type=OUTPUT, help="Write JUnit XML."),
        click.option(
            "--memory",
            type=click.IntRange(1),
            metavar="MIB",
            help="Memory of each guest.  [default: what its xl.cfg says]",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(0, min_open=True),
            default=60.0,
            show_default=True,
            metavar="SECONDS",
            help="Limit for each test.",
        ),
        click.option(
            "--policy",
            "policies",
            multiple=True,
            type=FILE,
            help="A policy file, as for 'xenapic plan'; several, and what differs is shown.",
        ),
        click.option(
            "--select",
            default="",
            metavar="WORD,…",
            help="Tests (xsa-462, hvm64-msr, 'xsa-4*'), categories, environments, or hvm for all.  "
            "[default: functional,xsa]",
        ),
        click.argument("tree", metavar="DIR", type=click.Path(file_okay=False)),
    ):
        function = option(function)
    return function


def selected(tree: str, select: str) -> list[XtfTest]:
    """Return the tests of a tree that ``--select`` chooses."""
    from xenapic.xtf.tree import find_tests, select_tests

    return select_tests(find_tests(tree), [word.strip() for word in select.split(",") if word.strip()])


def settings_of(timeout: float, memory: int | None) -> Settings:
    """Return how to run the tests."""
    from xenapic.xtf.run import Settings

    return Settings(timeout=timeout, memory_mib=memory)


def check_outputs(as_json: bool, junit_file: str | None) -> bool:
    """Return whether stdout holds a document, so that nothing else may be printed there."""
    return on_stdout(as_json, junit_file) or as_json


def finish(report: XtfReport, as_json: bool, junit_file: str | None) -> None:
    """Write and print a report, and exit with its status."""
    from xenapic.documents.junit import junit, of_run

    files = Files()
    files.write(junit_file, lambda: junit(map(of_run, report.runs)))
    if as_json:
        output.emit(report)
    elif not check_outputs(as_json, junit_file):
        _show(report)
    files.finish()
    if not report.ok:
        raise SystemExit(Status.REFUSED)


def _show(report: XtfReport) -> None:
    by_run = [run.by_name() for run in report.runs]
    names = dict.fromkeys(name for results in by_run for name in results)
    output.table(
        ("test", *(run.title for run in report.runs)),
        [(output.printable(name), *(_cell(results, name) for results in by_run)) for name in names],
    )
    for run in report.runs:
        _show_notes(run, many=len(report.runs) > 1)
    for difference in report.differences:
        _show_difference(difference)
    click.echo()
    for run in report.runs:
        click.echo(f"{run.title}: {_count(run)}" if len(report.runs) > 1 else _count(run))
    if len(report.runs) > 1:
        click.echo(f"{len(report.differences)} of {len(names)} tests differ")


def _cell(results: dict[str, Any], name: str) -> str:
    if name not in results:
        return ""
    result = results[name]
    return f"{result.verdict.value}{', with warnings' if result.warnings else ''}"


def _show_notes(run: XtfRun, many: bool) -> None:
    noted = [result for result in run.results if result.note]
    if noted or run.untested:
        click.echo(f"\n{run.title}:" if many else "")
    for result in noted:
        output.text(output.printable(f"{result.name}: {result.note}"))
    if run.untested:
        output.text(output.printable(f"not all tests ran: {run.untested}"))


def _show_difference(difference: XtfDifference) -> None:
    what = "" if difference.in_verdict else ", in what its guest prints alone"
    click.echo(f"\n{output.printable(difference.name)} differs{what}:")
    for title, verdict in difference.verdicts.items():
        lines = difference.only.get(title, ())
        click.echo(f"  {title}: {verdict or 'did not run'}")
        for line in lines[:MOST_LINES]:
            click.echo(f"    | {output.printable(line)}")
        if len(lines) > MOST_LINES:
            click.echo(f"    and {len(lines) - MOST_LINES} lines more (--json)")


def _count(run: XtfRun) -> str:
    counts: dict[str, int] = {}
    for result in run.results:
        counts[result.verdict.value] = counts.get(result.verdict.value, 0) + 1
    return f"{len(run.results)} tests: " + ", ".join(
        f"{number} {verdict}" for verdict, number in counts.items()
    )
