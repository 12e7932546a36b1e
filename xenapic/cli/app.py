"""The top of the command: it imports a subcommand only when that is used."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

import xenapic
from xenapic.cli.base import AS_JSON, LazyGroup
from xenapic.cli.output import colour, emitted, flush, prepare_streams, width
from xenapic.cli.status import MEANINGS, Status

__all__ = ["COMMANDS", "app"]

COMMANDS = {
    "info": "Show the version of Xen, and the host's memory, processors and capabilities.",
    "host": "Show what Xen uses of APIC acceleration on this host, with sources.",
    "list": "List the domains, and who created them.",
    "create": "Check a domain's configuration, then create the domain.",
    "boot": "Boot a kernel as a PVH guest under a policy, without a toolstack.",
    "plan": "Turn a policy into a plan, or into a refusal with every reason.",
    "validate": "Check hosts for scripts: hardware, firmware, options, defects, a policy.",
    "find": "Show what assisted_x2apic=0 and similar settings of xl.cfg do on a host.",
    "access": "Show what happens to each access to the APIC's registers.",
    "guest": "Show what a guest sees of its host, and what changes when it moves.",
    "explore": "Print a page that shows every access for every choice of host and guest.",
    "explain": "Explain a control, flag, register, code, release or processor.",
    "spec": "Check recordings of a real Xen against the model.",
    "inspect": "Show what is in force for a domain, vCPU by vCPU.",
    "verify": "Compare the model with the running Xen.",
    "destroy": "Destroy domains, or all orphans.",
    "console": "Print, follow or clear Xen's console ring; connect to a guest's console.",
    "exits": "Count a domain's VM exits by reason and APIC register.",
    "workload": "Measure what acceleration is worth: exits and time of one operation.",
    "xtf": "Run tests of Xen's test framework as guests.",
    "abi": "Show what differs between releases of Xen, for toolstacks.",
    "proposal": "Turn the proposal, one control per bit, into patches for Xen.",
    "schema": "Print the JSON schema of a command's --json output.",
    "completion": "Print the script that makes a shell complete xenapic.",
    "lab": "Boot a real Xen in an emulated machine and run a command in it.",
}
"""Each command and its line in ``--help``; its code is ``command`` in `xenapic.cli.commands`.NAME."""


WIDEST_HELP = 100


class App(LazyGroup):
    """The complete command: turns errors into messages, documents and exit statuses."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command and exit with its status."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        prepare_streams()
        status: Any
        try:
            try:
                status = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            except SystemExit as end:
                status = end.code
            flush()
        except Exception as error:
            as_json = "--json" in (sys.argv if args is None else args) and not emitted()
            status = self._report(error, as_json)
        sys.exit(status or Status.FINE)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Make the context; helps are as wide as the terminal, up to `WIDEST_HELP`."""
        extra.setdefault("terminal_width", min(width() or WIDEST_HELP, WIDEST_HELP))
        return super().make_context(*args, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments before the subcommand; this prints ``--help`` and ``--version``."""
        try:
            return super().parse_args(ctx, args)
        except OSError as error:
            raise SystemExit(self._report(error, False)) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; an error becomes a message, with ``--json`` a document, and a status."""
        try:
            return super().invoke(ctx)
        except click.exceptions.Exit:
            raise
        except KeyboardInterrupt:
            error: Exception = click.Abort()
        except Exception as raised:
            error = raised
        as_json = ctx.meta.get(AS_JSON, False) and not emitted()
        raise SystemExit(self._report(error, as_json))

    @staticmethod
    def _report(error: Exception, as_json: bool) -> int:
        from xenapic.cli.failures import report

        return report(error, as_json)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of exit statuses."""
        with formatter.section("Exit status"):
            formatter.write_dl([(str(int(status)), meaning) for status, meaning in MEANINGS.items()])


@click.group(
    cls=App,
    package="xenapic.cli.commands",
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
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
      xenapic host                     what is accelerated here, with sources
      xenapic create --dry-run         check whether Xen would create a domain
      xenapic list                     the domains
    Without Xen, on any Debian:
      xenapic lab run -- xenapic host  the same, in an emulated machine
    """
    ctx.obj = library
    ctx.color = colour()
    if verbose:
        import logging

        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s", stream=sys.stderr)
