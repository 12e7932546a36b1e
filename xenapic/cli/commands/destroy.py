"""``xenapic destroy``."""

from __future__ import annotations

import click

import xenapic
from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.options import JSON
from xenapic.cli.status import Status
from xenapic.errors import DomainNotFound


@click.command("destroy", cls=Command)
@click.argument("domids", type=int, nargs=-1, metavar="[DOMID]...")
@click.option("--orphans", is_flag=True, help="Every domain whose creator ended without destroying it.")
@JSON
@click.pass_obj
def command(library: str | None, domids: tuple[int, ...], orphans: bool, as_json: bool) -> None:
    """Destroy domains by number, or all orphans."""
    from xenapic.documents.domains import DestroyReport, FailureEntry

    if bool(domids) == orphans:
        raise click.UsageError("name the domains, or use --orphans")
    if 0 in domids:
        raise click.UsageError("domain 0 is dom0; it cannot be destroyed")
    destroyed, failed = [], []
    with xenapic.open(library) as xen:
        for domid in [orphan.domid for orphan in xen.orphans()] if orphans else domids:
            try:
                xen.domain(domid).destroy()
                destroyed.append(domid)
            except DomainNotFound as error:
                failed.append(FailureEntry.of(domid, error))
    if as_json:
        output.emit(DestroyReport(tuple(destroyed), tuple(failed)))
    else:
        for domid in destroyed:
            click.echo(f"destroyed {domid}")
        for failure in failed:
            click.echo(f"xenapic: {failure.message} [{failure.code}]", err=True)
    if failed:
        raise SystemExit(Status.REFUSED)
