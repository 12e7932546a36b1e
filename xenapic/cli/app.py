"""The top of the command: it imports a subcommand only when that is used."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

import xenapic
from xenapic.cli.output import show_error
from xenapic.cli.status import Status
from xenapic.errors import Unavailable, XenApicError

__all__ = ["COMMANDS", "LazyGroup", "app"]

COMMANDS = {
    "info": "Show the version of Xen, and the host's memory, processors and capabilities.",
    "host": "Show what Xen uses of APIC acceleration on this host, with sources.",
    "list": "List the domains, and who created them.",
    "create": "Check a domain's configuration, then create the domain.",
    "plan": "Turn a policy into a plan, or into a refusal with every reason.",
    "find": "Show what assisted_x2apic=0 and similar settings of xl.cfg do on a host.",
    "access": "Show what happens to each access to the APIC's registers.",
    "explain": "Explain a control, flag, register, code, release or processor.",
    "spec": "Check recordings of a real Xen against the model.",
    "inspect": "Show what is in force for a domain, vCPU by vCPU.",
    "verify": "Compare the model with the running Xen.",
    "destroy": "Destroy domains, or all orphans.",
    "console": "Print, follow or clear Xen's console ring.",
    "exits": "Count a domain's VM exits by reason and APIC register.",
    "schema": "Print the JSON schema of a command's --json output.",
    "completion": "Print the script that makes a shell complete xenapic.",
    "lab": "Boot a real Xen in an emulated machine and run a command in it.",
}
"""Each command and its line in ``--help``; its code is ``command`` in `xenapic.cli.commands`.NAME."""


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is used."""

    def __init__(self, *args: Any, package: str, table: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.package = package
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        if cmd_name not in self.table:
            return None
        command: click.Command = import_module(f"{self.package}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list for ``--help`` from the table, which imports no subcommand."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.table.items()))


class App(LazyGroup):
    """The complete command: turns errors into messages and exit statuses."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; an error of ours becomes a message and an exit status."""
        try:
            return super().invoke(ctx)
        except XenApicError as error:
            show_error(error)
            sys.exit(Status.UNAVAILABLE if isinstance(error, Unavailable) else Status.REFUSED)
        except BrokenPipeError:
            # The reader (head, less) is gone, which is fine. Keep Python from flushing into the pipe again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(Status.FINE)


@click.group(
    cls=App,
    package="xenapic.cli.commands",
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Log each call of libxenctrl, its result and its duration to stderr.",
)
@click.option(
    "--library",
    metavar="PATH|RELEASE",
    help="The libxenctrl to use, e.g. 4.17 or /opt/xen/lib/libxenctrl.so.4.17.  "
    "[default: $XENAPIC_LIBXENCTRL, else the one of the running Xen]",
)
@click.version_option(xenapic.__version__)
@click.pass_context
def app(ctx: click.Context, verbose: bool, library: str | None) -> None:
    """APIC acceleration in Xen: ask, plan, create, verify.

    \b
    In dom0, as root:
      xenapic host                          what is accelerated here, and how that is known
      xenapic create --type pvh --dry-run   check whether Xen would create this domain
      xenapic list                          the domains
    Without Xen, on any Debian:
      xenapic lab run -- xenapic host       the same on a real Xen in an emulated machine

    Exit status: 0 success, 1 refused or failed, 2 wrong usage, 3 Xen cannot be used from here.
    """
    ctx.obj = library
    if verbose:
        import logging

        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s", stream=sys.stderr)
