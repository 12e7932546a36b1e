"""``xenapic lab``: a real Xen in an emulated machine."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

    from xenapic.verify.matrix import Result


@contextlib.contextmanager
def _lab_errors() -> Iterator[None]:
    """Print a failure of the lab with its code, and exit with 1; 130 after Ctrl-C."""
    from xenapic.lab.errors import LabError, LabUsageError

    try:
        yield
    except LabUsageError as error:
        raise click.UsageError(str(error)) from None
    except LabError as error:
        click.echo(f"xenapic: {error} [{error.code}]", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("lab: interrupted", err=True)
        sys.exit(130)


def _end_like_interrupt() -> None:
    """Let a termination request unwind like Ctrl-C, so that everything is cleaned up."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


@click.group()
def lab() -> None:
    """Boot a real Xen in an emulated machine and run commands in its dom0."""


@lab.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_machines(as_json: bool) -> None:
    """Show the machines and what each offers Xen."""
    from dataclasses import asdict

    from xenapic.cli import show
    from xenapic.lab.machines import MACHINES

    if as_json:
        show.emit("machines", {"machines": [asdict(m) for m in MACHINES.values()]})
        return
    rows = [(m.name, m.emulator, m.vendor, ", ".join(m.offers), m.notes) for m in MACHINES.values()]
    show.table(("machine", "emulator", "vendor", "offers", "notes"), rows)


@lab.command(context_settings={"ignore_unknown_options": True})
@click.option("--machine", "-m", default="epyc", show_default=True, metavar="NAME")
@click.option("--xen", default="4.17", show_default=True, metavar="RELEASE")
@click.option("--xen-args", default="", help="More options for Xen's command line.")
@click.option("--dom0-args", default="", help="More options for dom0's kernel.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="Set a variable in dom0.")
@click.option("--file", "files", multiple=True, metavar="DEST=SOURCE", help="Put a file into dom0.")
@click.option(
    "--timeout", default=600.0, show_default=True, help="Seconds for the command, of the emulator's own time."
)
@click.option("--keep-log", type=click.Path(dir_okay=False), help="Keep the serial log here.")
@click.option("--quiet", "-q", is_flag=True, help="No progress and no times.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    machine: str,
    xen: str,
    xen_args: str,
    dom0_args: str,
    env: tuple[str, ...],
    files: tuple[str, ...],
    timeout: float,
    keep_log: str | None,
    quiet: bool,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND in dom0 of a real Xen and exit with its status.

    The checkout of xenapic that runs here is at /checkout in dom0, importable, with xenapic and
    python3 in the PATH. Put -- before COMMAND.
    """
    from pathlib import Path

    from xenapic.lab import runner
    from xenapic.lab.progress import Reporter

    _end_like_interrupt()
    with _lab_errors(), Reporter(quiet=quiet) as reporter:
        result = runner.run(
            command,
            machine=machine,
            xen=xen,
            xen_args=shlex.split(xen_args),
            dom0_args=shlex.split(dom0_args),
            env=_pairs(env, "--env"),
            files=_pairs(files, "--file"),
            timeout=timeout,
            on_stdout=_writer(sys.stdout.fileno()),
            on_stderr=_writer(sys.stderr.fileno()),
            progress=reporter,
        )
        if keep_log:
            Path(keep_log).write_text(result.serial)
        reporter.split(result.timings)
    sys.exit(result.status)


def _pairs(items: tuple[str, ...], option: str) -> dict[str, str]:
    pairs = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals:
            raise click.UsageError(f"{option} takes NAME=VALUE, not {item!r}")
        pairs[name] = value
    return pairs


def _writer(fd: int) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        while data:
            data = data[os.write(fd, data) :]

    return write


@lab.command()
@click.option("--machine", "-m", default="epyc", show_default=True, metavar="NAME")
@click.option("--xen", default="4.17", show_default=True, metavar="RELEASE")
@click.option("--xen-args", default="", help="More options for Xen's command line.")
def shell(machine: str, xen: str, xen_args: str) -> None:
    """Open a prompt in dom0 of a real Xen.

    `exit` powers the machine off; Ctrl-C goes to the program inside; Ctrl-] ends it all at once.
    """
    from xenapic.lab import shell as lab_shell
    from xenapic.lab.progress import Reporter

    _end_like_interrupt()
    with _lab_errors(), Reporter() as reporter:
        args = shlex.split(xen_args)
        lab_shell.shell(machine=machine, xen=xen, xen_args=args, progress=reporter)


@lab.command()
@click.option("--xen", "releases", multiple=True, metavar="RELEASE", help="Default: all.")
@click.option("--renew", is_flag=True, help="Fetch again even if the cache has it.")
@click.option("--verify", is_flag=True, help="Read every cached byte; fetch what is damaged.")
def fetch(releases: tuple[str, ...], renew: bool, verify: bool) -> None:
    """Fetch Xen releases and Bochs into the cache, so that later runs need no network."""
    from xenapic.lab import bochs_package, xens
    from xenapic.lab.progress import Reporter

    _end_like_interrupt()
    with _lab_errors(), Reporter() as reporter:
        for name in releases or tuple(xens.RELEASES):
            release = xens.release(name)
            damaged = verify and xens.entry(release).problem(deep=True) is not None
            reporter("image", f"Xen {name}")
            xens.ensure(release, lambda text: reporter("image", text), renew=renew or damaged)
        damaged = verify and bochs_package.entry().problem(deep=True) is not None
        reporter("image", "Bochs")
        bochs_package.ensure(lambda text: reporter("image", text), renew=renew or damaged)


@lab.command("verify")
@click.option("--machines", default="", metavar="NAME,…", help="Default: all.")
@click.option("--xen", "xens", default="", metavar="RELEASE,…", help="Default: all.")
@click.option("--apicv", type=click.Choice(["on", "off", "both"]), default="both", show_default=True)
@click.option("--jobs", type=int, help="Boots at a time.  [default: one for each processor]")
@click.option("--record-dir", type=click.Path(file_okay=False), help="Keep the recordings here.")
@click.option("--junit", "junit_file", type=click.Path(dir_okay=False), help="Write JUnit XML.")
@click.option("--html", "html_file", type=click.Path(dir_okay=False), help="Write a page with register maps.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify_lab(
    machines: str,
    xens: str,
    apicv: str,
    jobs: int | None,
    record_dir: str | None,
    junit_file: str | None,
    html_file: str | None,
    as_json: bool,
) -> None:
    """Verify the specification on the lab's machines: every one, each release, apicv on and off.

    Exit status 1 when anything disagrees or a machine gave no answer.
    """
    from xenapic.lab.machines import MACHINES
    from xenapic.lab.xens import RELEASES
    from xenapic.verify import matrix

    _end_like_interrupt()
    options = {"on": [""], "off": [matrix.APICV_OFF], "both": ["", matrix.APICV_OFF]}[apicv]
    with _lab_errors():
        wanted = matrix.cells(_names(machines, MACHINES), _names(xens, RELEASES), options)
        number = 0

        def say(result: matrix.Result) -> None:
            nonlocal number
            number += 1
            what = f"{result.text} agree" if result.report else f"failed: {result.error}"
            click.echo(f"{number}/{len(wanted)} {result.cell}: {what} ({result.seconds:.0f} s)", err=True)

        results = matrix.run_matrix(wanted, jobs or matrix.default_jobs(), say)
    _keep(results, record_dir, junit_file, html_file)
    _show_matrix(results, as_json)
    if not all(one.ok for one in results.values()):
        sys.exit(1)


def _names(text: str, known: Iterable[str]) -> list[str]:
    return [name.strip() for name in text.split(",")] if text else list(known)


def _keep(
    results: dict[str, Result], record_dir: str | None, junit_file: str | None, html_file: str | None
) -> None:
    """Write recordings and reports; a cell that failed has none."""
    import json
    from pathlib import Path

    from xenapic.verify.matrix import overview
    from xenapic.verify.page import html_page
    from xenapic.verify.reports import junit

    found = {
        name: (one.data, one.report)
        for name, one in results.items()
        if one.data is not None and one.report is not None
    }
    if record_dir:
        for name, (data, _report) in found.items():
            path = Path(record_dir) / f"{name.replace(' ', '-')}.json"
            _write(path, json.dumps(data, indent=1) + "\n")
    if junit_file:
        _write(Path(junit_file), junit([report for _data, report in found.values()]))
    if html_file:
        _write(Path(html_file), html_page("xenapic lab verify", found, overview(results)))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _show_matrix(results: dict[str, Result], as_json: bool) -> None:
    from xenapic.cli import show
    from xenapic.cli.spec import spec_json
    from xenapic.verify.check import Verdict

    if as_json:
        body = [
            {
                "machine": one.cell.machine,
                "xen": one.cell.xen,
                "options": one.cell.options or None,
                "seconds": round(one.seconds, 1),
                "error": one.error or None,
                "report": spec_json(one.report) if one.report else None,
            }
            for one in results.values()
        ]
        show.emit("lab-verify", {"cells": body})
        return
    columns = list(dict.fromkeys(_column(one) for one in results.values()))
    rows: dict[str, dict[str, str]] = {}
    for one in results.values():
        rows.setdefault(one.cell.machine, {})[_column(one)] = one.text
    show.table(
        ("machine", *columns), [(name, *(line.get(c, "") for c in columns)) for name, line in rows.items()]
    )
    for one in results.values():
        for check in one.report.of(Verdict.DISAGREES) if one.report else ():
            click.echo(f"DISAGREES {one.cell}: {show.printable(str(check))}")


def _column(result: Result) -> str:
    return f"Xen {result.cell.xen} {result.cell.options}".strip()
