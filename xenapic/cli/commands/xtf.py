"""``xenapic xtf``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import xenapic
from xenapic.cli.base import Command
from xenapic.cli.xtfview import check_outputs, finish, selected, settings_of, xtf_options

if TYPE_CHECKING:
    from xenapic.policy.terms import Policy
    from xenapic.xtf.results import XtfRun
    from xenapic.xtf.run import Settings
    from xenapic.xtf.tree import XtfTest

HOST = "this host"


@click.command("xtf", cls=Command)
@xtf_options
@click.pass_obj
def command(
    library: str | None,
    /,
    tree: str,
    select: str,
    policies: tuple[str, ...],
    timeout: float,
    memory: int | None,
    junit_file: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run tests of Xen's test framework (XTF) from a built tree, without a toolstack.

    Runs the tests for HVM-type guests. Each is a guest of its own, with what its xl.cfg says about vCPUs,
    paging, Viridian and nesting; its verdict comes over its console. Some tests provoke crashes of
    a Xen that is not patched: use a host that may go down, or 'xenapic lab xtf'.

    Exit status 1 means that a test did not pass; with several policies, that they differ.

    \b
      xenapic xtf ~/xtf --select xsa,selftest
      xenapic xtf ~/xtf --policy with.toml --policy without.toml
    """
    from xenapic.policy.read import from_file
    from xenapic.signals import unwind_on_termination
    from xenapic.xtf.results import XtfReport

    check_outputs(as_json, junit_file)
    tests, settings = selected(tree, select), settings_of(timeout, memory)
    wanted: dict[str, Policy | None] = {path: from_file(path).policy for path in policies}
    unwind_on_termination()
    with xenapic.open(library) as xen:
        runs = [
            _run(xen, tests, path, policy, settings, quiet) for path, policy in (wanted or {"": None}).items()
        ]
    finish(XtfReport.of(runs), as_json, junit_file)


def _run(
    xen: xenapic.Xen,
    tests: list[XtfTest],
    path: str,
    policy: Policy | None,
    settings: Settings,
    quiet: bool,
) -> XtfRun:
    from xenapic.xtf.results import XtfRun
    from xenapic.xtf.run import run_tests

    results = []
    for result in run_tests(xen, tests, policy, settings):
        results.append(result)
        if not quiet:
            click.echo(f"{len(results)}/{len(tests)} {result.name}: {result.verdict.value}", err=True)
    return XtfRun(
        title=path or HOST,
        xen=str(xen.version),
        machine=None,
        policy=path or None,
        untested=None,
        results=tuple(results),
    )
