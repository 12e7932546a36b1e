"""``xenapic lab``: a real Xen in an emulated machine; one module for each subcommand."""

from __future__ import annotations

import click

from xenapic.cli.base import LazyGroup

COMMANDS = {
    "list": "List the machines, and the Xens that can boot on them.",
    "run": "Run a command in dom0 of a real Xen, and exit with its status.",
    "shell": "Open a prompt in dom0 of a real Xen.",
    "add": "Add a Xen of your own: a build, single files, or packages.",
    "build": "Build a hypervisor from source, and add it.",
    "remove": "Remove a Xen that was added.",
    "fetch": "Fetch Xen and Bochs into the cache, so that later runs need no network.",
    "compare": "Compare two Xens: what your patch changes.",
    "xtf": "Run tests of Xen's test framework on Xens, and show what differs.",
    "verify": "Verify the model on every machine and release of the lab.",
}
"""Each subcommand and its line in ``--help``; its code is ``command`` in the module of that name."""


@click.group("lab", cls=LazyGroup, package=__name__, table=COMMANDS)
def command() -> None:
    """Boot a real Xen in an emulated machine and run commands in its dom0."""
