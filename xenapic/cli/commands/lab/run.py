"""``xenapic lab run``."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable

import click

from xenapic.cli.base import Command, Name, OutputFile
from xenapic.cli.commands.lab.common import machine_options
from xenapic.cli.reports import Files


def _guest_kernels() -> Iterable[str]:
    from xenapic.lab.guestkernel import GUEST_KERNELS

    return GUEST_KERNELS


@click.command("run", cls=Command, context_settings={"ignore_unknown_options": True})
@machine_options
@click.option("--dom0-args", default="", metavar="TEXT", help="More options for dom0's kernel.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="Set a variable in dom0.")
@click.option("--file", "files", multiple=True, metavar="DEST=SOURCE", help="Put a file into dom0.")
@click.option(
    "--timeout",
    default=600.0,
    show_default=True,
    help="Limit for the command, in seconds of the emulator's own processor time.",
)
@click.option("--cold", is_flag=True, help="Boot, even if a snapshot is there.")
@click.option(
    "--snapshot",
    is_flag=True,
    help="Start from a snapshot, which the first such run makes, in Bochs and with options for Xen too.",
)
@click.option(
    "--guest-kernel",
    type=Name("guest kernel", _guest_kernels),
    metavar="NAME",
    help="Put a kernel and a ramdisk for guests into dom0, and give it the memory for them: 'debian'.",
)
@click.option("--keep-log", type=OutputFile(dash=False), help="Save the serial log here.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress and no times.")
@click.argument("arguments", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    machine: str,
    xen: str,
    xen_args: str,
    dom0_args: str,
    env: tuple[str, ...],
    files: tuple[str, ...],
    timeout: float,
    cold: bool,
    snapshot: bool,
    guest_kernel: str | None,
    keep_log: str | None,
    quiet: bool,
    arguments: tuple[str, ...],
) -> None:
    """Run COMMAND in dom0 of a real Xen, and exit with its status.

    In dom0, /checkout is the checkout of xenapic that runs here: it can be imported, and xenapic and
    python3 are in PATH. Put -- before COMMAND. With --guest-kernel debian, /guest/vmlinuz is the
    kernel that boots dom0, and /guest/initrd.img a ramdisk with busybox.
    """
    from xenapic.lab import runner
    from xenapic.lab.progress import Reporter

    with Reporter(quiet=quiet) as reporter:
        result = runner.run(
            arguments,
            machine=machine,
            xen=xen,
            xen_args=shlex.split(xen_args),
            dom0_args=shlex.split(dom0_args),
            env=_pairs(env, "--env"),
            files=_pairs(files, "--file"),
            timeout=timeout,
            cold=cold,
            snapshot=snapshot,
            guest_kernel=guest_kernel,
            on_stdout=_writer(sys.stdout.fileno()),
            on_stderr=_writer(sys.stderr.fileno()),
            progress=reporter,
        )
        kept = Files()
        kept.write(keep_log, lambda: result.serial)
        reporter.split(result.start, result.timings)
    kept.finish(result.status)
    sys.exit(result.status)


def _pairs(items: tuple[str, ...], option: str) -> dict[str, str]:
    pairs = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals:
            raise click.UsageError(f"{option} expects NAME=VALUE, not {item!r}")
        pairs[name] = value
    return pairs


def _writer(fd: int) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        while data:
            data = data[os.write(fd, data) :]

    return write
