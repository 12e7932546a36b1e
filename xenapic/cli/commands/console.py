"""``xenapic console``."""

from __future__ import annotations

import sys

import click

import xenapic
from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.options import DOMID, JSON
from xenapic.parse.ring import Origin, RingLine


@click.command("console", cls=Command)
@click.argument("domid", type=DOMID, required=False)
@click.option("--follow", "-f", is_flag=True, help="Wait for new lines and print them, until Ctrl-C.")
@click.option("--clear", is_flag=True, help="Empty the ring afterwards, for every reader on the host.")
@click.option(
    "--origin",
    type=click.Choice([origin.value for origin in Origin]),
    help="Print only lines from this writer.",
)
@click.option("--raw", is_flag=True, help="Print the ring's bytes unchanged.")
@JSON
@click.pass_obj
def command(
    library: str | None,
    /,
    domid: int | None,
    follow: bool,
    clear: bool,
    origin: str | None,
    raw: bool,
    as_json: bool,
) -> None:
    """Print Xen's console ring, each line with its writer; with DOMID, connect to that guest's console.

    Guests can write into the ring too. The writer comes from Xen, not from the line's text.

    The guest must be one that 'xenapic boot' started. The command ends when the guest does, and on a
    terminal at Ctrl-], which leaves the guest running. The guest's output is passed on unchanged.
    """
    if domid is not None:
        if follow or clear or origin or raw or as_json:
            raise click.UsageError("a guest's console has no options")
        _guest(library, domid)
        return
    if raw + follow + as_json > 1:
        raise click.UsageError("--raw, --follow and --json exclude each other")
    with xenapic.open(library) as xen:
        if raw:
            sys.stdout.buffer.write(xen.console.read())
        elif follow:
            _follow(xen, origin)
        else:
            _print([line for line in xen.console.lines() if origin in (None, line.origin.value)], as_json)
        if clear:
            xen.console.clear()


def _guest(library: str | None, domid: int) -> None:
    from xenapic.cli.attach import attach, say_end
    from xenapic.signals import unwind_on_termination

    unwind_on_termination()
    with xenapic.open(library) as xen:
        guest = xen.guest(domid)
        try:
            reason = attach(guest)
        finally:
            guest.close_console()
        if reason is not None:
            say_end(guest, reason)


def _print(lines: list[RingLine], as_json: bool) -> None:
    if as_json:
        from xenapic.documents.console_lines import ConsoleLines

        output.emit(ConsoleLines.of(lines))
        return
    for line in lines:
        click.echo(_text(line))


def _follow(xen: xenapic.Xen, origin: str | None) -> None:
    try:
        for line in xen.console.follow(from_start=True):
            if origin in (None, line.origin.value):
                click.echo(_text(line))
    except KeyboardInterrupt:
        pass


def _text(line: RingLine) -> str:
    writer = f"d{line.domid}" if line.domid is not None else line.origin.value
    stamp = f"[{line.stamp}] " if line.stamp else ""
    return f"{writer:>10} | {stamp}{output.printable(line.text)}"
