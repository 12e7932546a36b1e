"""``xenapic lab compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.commands.lab.common import JOBS, RECORD_DIR, apicv_option, names_in, options_of
from xenapic.cli.options import JSON, OUTPUT, SELECT
from xenapic.cli.reports import Files, on_stdout
from xenapic.cli.status import Status

if TYPE_CHECKING:
    from xenapic.verify.matrix import Result
    from xenapic.verify.sides import Outcome, Side

MACHINES = "epyc,broadwell_ult"
MOST_LINES = 20


@click.command("compare", cls=Command)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--machines", default=MACHINES, show_default=True, metavar="NAME,…", help="Machines to boot the Xens on."
)
@apicv_option("on")
@SELECT
@click.option(
    "--repeat", type=click.IntRange(1, 20), default=1, help="Boots of each, for the spread of costs."
)
@JOBS
@RECORD_DIR
@click.option("--html", "html_file", type=OUTPUT, help="Write a page with register maps side by side.")
@click.option("--verbose", "-v", is_flag=True, help="List every cost that differs.")
@JSON
def command(
    first: str,
    second: str,
    machines: str,
    apicv: str,
    select: str,
    repeat: int,
    jobs: int | None,
    record_dir: str | None,
    html_file: str | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Show what differs between the Xens A and B: controls, registers, CPUID, interrupts, exits, creates.

    Each is a Xen of the lab, which is booted on every machine, a recording, or a directory of recordings. The
    model has no part in it. Exit status 0 means that nothing differs, 1 that something does, 125 that it
    could not be tested, as 'git bisect run' expects. Costs are shown, and are no difference.

    \b
      xenapic lab compare 4.20 my-branch --html page.html
    """
    from xenapic.errors import XenApicError
    from xenapic.verify import matrix
    from xenapic.verify.sides import compare_html, compare_sides

    busy = on_stdout(as_json, html_file)
    wanted = names_in(machines)
    try:
        sides = _sides(
            first, second, wanted, options_of(apicv), repeat, jobs or matrix.default_jobs(), select
        )
        outcome = compare_sides(*sides, select)
    except XenApicError as error:
        click.echo(f"xenapic: not tested: {error} [{error.code}]", err=True)
        raise SystemExit(Status.UNTESTED) from None
    files = Files()
    if record_dir:
        _keep(files, record_dir, sides)
    files.write(html_file, lambda: compare_html(outcome))
    if as_json:
        from xenapic.documents.lab_comparisons import LabComparison

        output.emit(LabComparison.of(outcome))
    elif not busy:
        _show(outcome, verbose)
    files.finish()
    if outcome.differs:
        raise SystemExit(Status.REFUSED)
    if not outcome.complete:
        raise SystemExit(Status.UNTESTED)


def _sides(
    first: str, second: str, machines: list[str], options: list[str], repeat: int, jobs: int, select: str
) -> tuple[Side, Side]:
    """Read what is recorded, and boot the rest together."""
    from xenapic.lab.catalog import find
    from xenapic.verify.select import selection_of
    from xenapic.verify.sides import booted, from_files, recorded_at

    selection_of(select)  # a wrong word must not cost a boot
    sides = {text: from_files(path) for text in (first, second) if (path := recorded_at(text)) is not None}
    names = {text: find(text).version for text in dict.fromkeys((first, second)) if text not in sides}
    done = 0

    def progress(result: Result) -> None:
        nonlocal done
        done += 1
        outcome = "recorded" if result.recording else f"failed: {result.error}"
        click.echo(f"{done} {result.cell}: {outcome} ({result.seconds:.0f} s)", err=True)

    if names:
        made = booted(list(dict.fromkeys(names.values())), machines, options, repeat, jobs, progress, select)
        sides |= {text: made[name] for text, name in names.items()}
    return sides[first], sides[second]


def _keep(files: Files, directory: str, sides: tuple[Side, Side]) -> None:
    """Save the recordings, each Xen's in a directory of its own."""
    from pathlib import Path

    for number, side in enumerate(sides):
        home = Path(directory) / ("".join(c if c.isalnum() or c in "._-" else "-" for c in side.name) or "x")
        home = home if sides[0].name != sides[1].name else Path(f"{home}-{number + 1}")
        for name, recordings in side.recordings.items():
            for again, recording in enumerate(recordings, 1):
                tail = f"-{again}" if len(recordings) > 1 else ""
                files.write_recording(home / f"{name.replace(' ', '-')}{tail}.json", recording)


def _show(outcome: Outcome, verbose: bool) -> None:
    names = outcome.first.name, outcome.second.name
    for one in outcome.comparisons:
        click.echo(f"{output.printable(one.name)}: {len(one.differences)} of {one.compared} values differ")
        if one.differences:
            rows = [
                tuple(map(output.printable, (d.topic, d.where, d.first, d.second))) for d in one.differences
            ]
            output.table(("topic", "where", *names), rows)
        if one.dearer:
            click.echo(f"  costs: {len(one.dearer)} of {len(one.costs)} accesses differ beyond the spread")
            ordered = sorted(one.dearer, key=lambda cost: cost.second / max(cost.first, 1.0), reverse=True)
            for cost in ordered if verbose else ordered[:MOST_LINES]:
                text = (
                    f"{cost.where}: {cost.first:.0f}, then {cost.second:.0f} ticks, spread {cost.spread:.0f}"
                )
                click.echo(f"    {output.printable(text)}")
            if not verbose and len(ordered) > MOST_LINES:
                click.echo(f"    and {len(ordered) - MOST_LINES} more (--verbose)")
    for name, why in outcome.untested.items():
        click.echo(f"not compared: {output.printable(name)}: {output.printable(why)}")
    same = not outcome.differs and outcome.complete
    click.echo("nothing differs" if same else "something differs" if outcome.differs else "not tested")
