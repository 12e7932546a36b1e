"""``xenapic exits``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

import xenapic
from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.options import DOMID, JSON, PROMETHEUS, one_form
from xenapic.exits.buffers import recover_tracing
from xenapic.exits.counter import DEFAULT_PAGES, ExitCounter
from xenapic.exits.judgement import Cause, ExitKind
from xenapic.exits.reasons import reason_name, reason_number
from xenapic.exits.report import ExitReport

HEADERS = ("reason", "", "APIC register", "access", "exits", "per second", "share", "acceleration removes")


@click.command("exits", cls=Command)
@click.argument("domid", type=DOMID, required=False)
@click.option(
    "--seconds", type=click.FloatRange(min=0.0), default=10.0, show_default=True, help="How long to count."
)
@click.option("--live", is_flag=True, help="Show the numbers every second while counting.")
@click.option("--per-vcpu", is_flag=True, help="Show a table for each vCPU.")
@click.option(
    "--buffer-pages",
    type=click.IntRange(1, 4096),
    default=DEFAULT_PAGES,
    show_default=True,
    help="4 KiB pages of trace buffer for each CPU, if Xen has none yet; they stay allocated until reboot.",
)
@click.option("--recover", is_flag=True, help="Restore tracing after a tracer was killed; count nothing.")
@JSON
@PROMETHEUS
@click.pass_obj
def command(
    library: str | None,
    domid: int | None,
    seconds: float,
    live: bool,
    per_vcpu: bool,
    buffer_pages: int,
    recover: bool,
    as_json: bool,
    prometheus: bool,
) -> None:
    """Count a domain's VM exits by reason, and those for its APIC by register.

    The command uses Xen's trace buffers, which exist once per host: it fails when another
    program uses them. It restores the settings at the end and after Ctrl-C; the buffers stay
    allocated until reboot. Ctrl-C ends the counting and prints what was counted so far.
    """
    if recover:
        if domid is not None or as_json or prometheus:
            raise click.UsageError("--recover excludes a domain, --json and --prometheus")
        with xenapic.open(library) as xen:
            needed = recover_tracing(xen)
        click.echo("tracing is off, with Xen's default event mask" + ("" if needed else ", as before"))
        return
    if domid is None:
        raise click.UsageError("name the domain, or use --recover")
    one_form(as_json, prometheus)
    if live and (as_json or prometheus):
        raise click.UsageError("--live excludes --json and --prometheus")
    with xenapic.open(library) as xen, _ended_by_signals():
        counter = ExitCounter(xen, domid, pages=buffer_pages)
        try:
            with counter:
                _count(counter, seconds, live)
        except KeyboardInterrupt:
            pass
        report = counter.stop()
    if as_json:
        output.emit(report)
    elif prometheus:
        from xenapic.documents.prometheus import exits_text

        click.echo(exits_text(report), nl=False)
    else:
        _show(report, per_vcpu)


def _count(counter: ExitCounter, seconds: float, live: bool) -> None:
    if not live:
        counter.wait(seconds)
        return
    left = seconds
    while left > 0:
        counter.wait(min(left, 1.0))
        left -= 1.0
        if left > 0:
            if sys.stdout.isatty():
                click.clear()
            _show(counter.snapshot(), per_vcpu=False)
            click.echo("")


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the counting like Ctrl-C, so that the settings are restored."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(report: ExitReport, per_vcpu: bool) -> None:
    rate = f"{report.rate(report.total):.0f} per second"
    click.echo(f"domain {report.domid}: {report.total} VM exits in {report.seconds:.1f} s, {rate}")
    if per_vcpu:
        for vcpu in sorted({counted.vcpu for counted in report.counts}):
            click.echo(f"\nvCPU {vcpu}: {report.rate(report.count(vcpu=vcpu)):.0f} per second")
            counts = [counted for counted in report.counts if counted.vcpu == vcpu]
            _table(report, {counted.kind: counted.count for counted in counts})
    elif report.counts:
        click.echo("")
        _table(report, report.kinds)
    click.echo(f"\n{_summary(report)}")
    for note in report.notes:
        click.echo(f"note: {note}")


def _table(report: ExitReport, kinds: dict[ExitKind, int]) -> None:
    total = sum(kinds.values())
    output.table(
        HEADERS,
        [
            (
                reason_number(kind.technology, kind.reason),
                reason_name(kind.technology, kind.reason),
                _register(kind),
                kind.operation.value if kind.operation else "",
                count,
                f"{report.rate(count):.1f}",
                f"{count / total:.1%}",
                kind.removable.value if kind.cause is not Cause.OTHER else "",
            )
            for kind, count in kinds.items()
        ],
    )


def _register(kind: ExitKind) -> str:
    if kind.register is not None:
        return kind.register
    if kind.cause is Cause.ACCESS:
        return "unknown"
    return "unknown if any" if kind.cause is Cause.UNKNOWN else ""


def _summary(report: ExitReport) -> str:
    access, unknown = report.count(cause=Cause.ACCESS), report.count(cause=Cause.UNKNOWN)
    text = f"for the APIC's registers: {access}"
    if unknown:
        text += f" to {access + unknown}"
    least, most = report.removable_share
    share = f"{least:.1%}" if least == most else f"{least:.1%} to {most:.1%}"
    return f"{text} exits; acceleration could remove {share} of all exits"
