"""The top of the command: its subcommands are imported when they are used."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import Any

import click

from xenapic.errors import ConfigRefused, PolicyRefused, Unavailable, XenApicError

__all__ = ["app"]

COMMANDS = {
    "info": ("xenapic.cli.commands:info", "Which Xen this is: version, memory, processors, capabilities."),
    "host": ("xenapic.cli.commands:host", "What host and Xen do about APIC acceleration, with sources."),
    "list": ("xenapic.cli.commands:list_domains", "The domains, and which of them xenapic made."),
    "create": ("xenapic.cli.commands:create", "Check a domain's config, then create it."),
    "plan": ("xenapic.cli.spec:plan_command", "Turn a policy into a plan, or a refusal with every reason."),
    "access": ("xenapic.cli.spec:access", "What becomes of each access to the APIC's registers."),
    "explain": (
        "xenapic.cli.explain:explain",
        "Explain a control, flag, register, code, release, processor.",
    ),
    "spec": ("xenapic.cli.spec:spec", "Check recordings of a real Xen against the specification."),
    "inspect": ("xenapic.cli.inspect:inspect_command", "What is in force for a domain, vCPU by vCPU."),
    "verify": ("xenapic.cli.verify:verify", "Compare the specification with the running Xen."),
    "destroy": ("xenapic.cli.commands:destroy", "Destroy domains, or all orphans."),
    "console": ("xenapic.cli.commands:console", "Read, follow or clear Xen's console ring."),
    "exits": ("xenapic.cli.exits:exits", "What a domain's APIC costs: its VM exits by reason and register."),
    "schema": ("xenapic.cli.commands:schema", "Print the JSON schema of a command's --json output."),
    "completion": ("xenapic.cli.commands:completion", "Print the code that makes a shell complete xenapic."),
    "lab": ("xenapic.cli.lab:lab", "Boot a real Xen in an emulated machine and run a command in it."),
}
"""Name, where it is, and its line in ``--help``, which imports none of them."""

REFUSED, USAGE, UNAVAILABLE = 1, 2, 3


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is used, and turns our errors into exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list for ``--help`` from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run; every error of ours becomes a sentence and an exit code."""
        try:
            return super().invoke(ctx)
        except XenApicError as error:
            _say(error)
            sys.exit(UNAVAILABLE if isinstance(error, Unavailable) else REFUSED)
        except BrokenPipeError:
            # The reader (head, less) went away: nothing is wrong. Keep Python from flushing into it again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)


def _say(error: XenApicError) -> None:
    if isinstance(error, ConfigRefused):
        click.echo("refused, and Xen was not called:", err=True)
        for problem in error.problems:
            click.echo(f"  {problem}", err=True)
        return
    if isinstance(error, PolicyRefused):
        from xenapic.cli.spec import show_reasons

        click.echo("refused, and Xen was not called:", err=True)
        show_reasons(error.reasons, "  ", err=True)
        return
    click.echo(f"xenapic: {error} [{error.code}]", err=True)


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("-v", "--verbose", is_flag=True, help="Show each call of libxenctrl, its result and its time.")
@click.option(
    "--library",
    metavar="PATH|RELEASE",
    help="libxenctrl to use, e.g. 4.17 or /opt/xen/lib/libxenctrl.so.4.17 (default: the running Xen's; "
    "also $XENAPIC_LIBXENCTRL).",
)
@click.version_option(package_name="xenapic")
@click.pass_context
def app(ctx: click.Context, verbose: bool, library: str | None) -> None:
    """APIC acceleration in Xen: ask, check, create, see.

    \b
    Try, in dom0 as root:
      xenapic host                          what is accelerated here, and how that is known
      xenapic create --type pvh --dry-run   would Xen take this domain? (Xen is not called)
      xenapic list                          the domains
    Without a Xen, on any Debian:
      xenapic lab run -- xenapic host       the same on a real Xen in an emulated machine

    Exit status: 0 fine, 1 refused or failed, 2 wrong usage, 3 Xen cannot be used from here.
    """
    ctx.obj = library
    if verbose:
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s", stream=sys.stderr)
