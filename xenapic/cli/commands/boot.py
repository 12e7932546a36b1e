"""``xenapic boot``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import click

import xenapic
from xenapic.cli import output
from xenapic.cli.base import Command, OutputFile
from xenapic.cli.options import INPUT, JSON, policy_of, policy_options
from xenapic.cli.status import Status
from xenapic.errors import ConfigRefused
from xenapic.signals import unwind_on_termination

if TYPE_CHECKING:
    from xenapic.live.guest import Guest
    from xenapic.live.images import Module
    from xenapic.policy.terms import Policy


IMAGE = click.Path(dir_okay=False)


@click.command("boot", cls=Command)
@click.option("--kernel", required=True, type=IMAGE, help="An ELF kernel that PVH can enter, or a bzImage.")
@click.option("--ramdisk", type=IMAGE, help="The kernel's ramdisk: the first module.")
@click.option(
    "--module", "modules", multiple=True, metavar="FILE[=TEXT]", help="A module and its command line."
)
@click.option("--memory", type=int, default=256, show_default=True, metavar="MIB", help="The guest's memory.")
@click.option("--vcpus", type=int, default=1, show_default=True, help="Number of vCPUs.")
@click.option("--policy", "policy_file", type=INPUT, help="A policy file, as for 'xenapic plan'.")
@policy_options
@click.option(
    "--console", "attached", is_flag=True, help="Connect to the guest's console until the guest ends."
)
@click.option("--log", type=OutputFile(dash=False), help="Save the guest's output here, with --console.")
@click.option("--native-tsc", is_flag=True, help="Let the guest read the processor's own TSC.")
@click.option(
    "--expect", metavar="TEXT", help="Wait until the guest has printed this; destroy a guest that does not."
)
@click.option(
    "--timeout", type=float, default=60.0, show_default=True, metavar="SECONDS", help="Limit for --expect."
)
@JSON
@click.argument("words", metavar="[-- CMDLINE...]", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def command(
    library: str | None,
    /,
    kernel: str,
    ramdisk: str | None,
    modules: tuple[str, ...],
    memory: int,
    vcpus: int,
    policy_file: str | None,
    attached: bool,
    log: str | None,
    native_tsc: bool,
    expect: str | None,
    timeout: float,
    as_json: bool,
    words: tuple[str, ...],
    **options: Any,
) -> None:
    """Boot a kernel as a PVH guest under a policy, without a toolstack.

    The words after -- are the kernel's command line; console=hvc0 makes Linux use the console.
    Without --console the guest's number is printed and the guest runs on: 'xenapic console DOMID'
    connects to it, 'xenapic destroy DOMID' ends it. Until somebody connects, nobody reads the
    console, and a guest that prints more than 2 KiB may wait for that.

    With --console, the guest is destroyed when it ends, or when the command is interrupted. On a
    terminal, Ctrl-] leaves the guest running and prints its number; Ctrl-C goes to the guest.

    An HVM guest with firmware, and a PV guest, need xl.
    """
    if log is not None and not attached:
        raise click.UsageError("--log needs --console")
    if attached and as_json:
        raise click.UsageError("--console and --json exclude each other")
    unwind_on_termination()
    asked, _guest_type = policy_of(policy_file, options)
    try:
        with (
            xenapic.open(library) as xen,
            _log(log) as record,
            _progress() as tell,
            xen.boot(
                kernel,
                ramdisk=ramdisk,
                modules=[_module(text) for text in modules],
                cmdline=" ".join(words),
                memory_mib=memory,
                vcpus=vcpus,
                policy=_policy(policy_file is not None, asked),
                native_tsc=native_tsc,
                console_log=record,
                progress=tell,
            ) as guest,
        ):
            tell("", 0, 0)
            if expect is not None:
                shown = guest.console.expect(expect.encode(), timeout)
                if attached:
                    sys.stdout.buffer.write(shown)
            if attached:
                _attached(guest)
            else:
                _released(guest, as_json)
    except ConfigRefused as error:
        if not as_json:
            raise
        from xenapic.documents.creations import CreateReport

        output.emit(CreateReport.of(None, error.problems))
        raise SystemExit(Status.REFUSED) from None


def _policy(from_file: bool, asked: Policy) -> Policy | None:
    from xenapic.policy.terms import Policy

    return asked if from_file or asked != Policy() else None


def _module(text: str) -> Module:
    from xenapic.live.images import Module

    file, _, cmdline = text.partition("=")
    return Module(file, cmdline)


@contextmanager
def _log(path: str | None) -> Iterator[BinaryIO | None]:
    if path is None:
        yield None
        return
    with open(path, "wb") as stream:  # noqa: PTH123  (pathlib takes time to import)
        yield stream


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Provide a function that shows what is loaded, on a terminal only."""
    shown = ""

    def tell(what: str, done: int, size: int) -> None:
        nonlocal shown
        line = f"{what}: {done * 100 // size} %" if size else ""
        if line != shown and sys.stderr.isatty():
            click.echo(f"\r{line.ljust(len(shown))}{'' if line else chr(13)}", nl=False, err=True)
            shown = line

    try:
        yield tell
    finally:
        tell("", 0, 0)


def _attached(guest: Guest) -> None:
    from xenapic.cli.attach import attach, say_end
    from xenapic.model.flags import Shutdown

    reason = attach(guest)
    if reason is None:
        guest.release()
        click.echo(f"\ndomain {guest.domid} runs on", err=True)
        return
    say_end(guest, reason)
    if reason not in (Shutdown.poweroff, Shutdown.reboot):
        raise SystemExit(Status.REFUSED)


def _released(guest: Guest, as_json: bool) -> None:
    """Print the guest's number, and only then let go of it."""
    from xenapic.cli.created import print_number

    print_number(guest.domid, as_json)
    guest.release()
