"""``xenapic lab shell``."""

from __future__ import annotations

import shlex

import click

from xenapic.cli.base import Command
from xenapic.cli.commands.lab.common import machine_options


@click.command("shell", cls=Command)
@machine_options
def command(machine: str, xen: str, xen_args: str) -> None:
    """Open a prompt in dom0 of a real Xen.

    `exit` powers the machine off; Ctrl-C goes to the program inside; Ctrl-] ends the machine at once.
    """
    from xenapic.lab import shell
    from xenapic.lab.progress import Reporter

    with Reporter() as reporter:
        shell.shell(machine=machine, xen=xen, xen_args=shlex.split(xen_args), progress=reporter)
