"""``xenapic lab xtf``."""

from __future__ import annotations

import shlex
from itertools import product
from pathlib import Path

import click

from xenapic.cli.base import Command
from xenapic.cli.commands.lab.common import MACHINE, XEN, apicv_option, names_in, options_of
from xenapic.cli.xtfview import check_outputs, finish, selected, settings_of, xtf_options


@click.command("xtf", cls=Command)
@click.option(
    "--xen", "xens", default="4.17", show_default=True, metavar="NAME,…", help="Xens of the lab to boot."
)
@click.option(
    "--machine",
    "-m",
    default="epyc",
    show_default=True,
    type=MACHINE,
    metavar="NAME",
    help="Machine to emulate.",
)
@apicv_option("on")
@click.option("--xen-args", default="", metavar="TEXT", help="More options for Xen's command line.")
@xtf_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    xens: str,
    machine: str,
    apicv: str,
    xen_args: str,
    tree: str,
    select: str,
    policies: tuple[str, ...],
    timeout: float,
    memory: int | None,
    junit_file: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run tests of Xen's test framework on Xens of the lab; of several, show what differs.

    A Xen that goes down fails the test that ran; the others run on a new boot. See 'xenapic xtf' for
    the tests and their verdicts.

    Exit status 1 means that a test did not pass; with several runs, that they differ.

    \b
      xenapic lab xtf ~/xtf --xen 4.17,4.20
      xenapic lab xtf ~/xtf --xen 4.20,my-branch --machine broadwell_ult --apicv both
    """
    from xenapic.lab.catalog import find
    from xenapic.lab.machines import machine as find_machine
    from xenapic.policy.read import from_file
    from xenapic.xtf.inlab import Place, run_on
    from xenapic.xtf.results import XtfReport

    check_outputs(as_json, junit_file)
    tests, settings = selected(tree, select), settings_of(timeout, memory)
    names = [str(XEN.convert(name, None, ctx)) for name in dict.fromkeys(names_in(xens))]
    for path in policies:
        from_file(path)  # a wrong policy must not cost a boot
    apicv_options = options_of(apicv) if find_machine(machine).vendor == "Intel" else [""]
    found = {name: find(name).version for name in names}  # a path is copied once
    places = [
        Place(
            xen=found[name],
            machine=machine,
            policy=Path(path) if path else None,
            title=" ".join(filter(None, [name, option, path])),
            xen_args=(*shlex.split(option), *shlex.split(xen_args)),
        )
        for name, option, path in product(names, apicv_options, dict.fromkeys(policies) or [""])
    ]

    def progress(title: str, text: str) -> None:
        if not quiet:
            click.echo(f"{title}: {text}", err=True)

    finish(XtfReport.of([run_on(place, tests, settings, progress) for place in places]), as_json, junit_file)
