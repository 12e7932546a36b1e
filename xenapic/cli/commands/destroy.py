"""``xenapic destroy``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import xenapic
from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.options import DOMID, JSON
from xenapic.cli.status import Status
from xenapic.errors import CallFailed

if TYPE_CHECKING:
    from uuid import UUID

    from xenapic.documents.domains import FailureEntry


@click.command("destroy", cls=Command)
@click.argument("domids", type=DOMID, nargs=-1, metavar="[DOMID]...")
@click.option("--orphans", is_flag=True, help="Every domain whose creator ended without destroying it.")
@JSON
@click.pass_obj
def command(library: str | None, domids: tuple[int, ...], orphans: bool, as_json: bool) -> None:
    """Destroy domains by number, or all orphans.

    A domain that cannot be destroyed does not stop the others; the answer lists both.
    """
    from xenapic.documents.domains import DestroyReport, FailureEntry

    if bool(domids) == orphans:
        raise click.UsageError("name the domains, or use --orphans")
    if 0 in domids:
        raise click.UsageError("domain 0 is dom0; it cannot be destroyed")
    destroyed: list[int] = []
    failed: list[FailureEntry] = []
    with xenapic.open(library) as xen:
        targets: dict[int, UUID | None] = dict.fromkeys(domids)
        if orphans:
            targets.update((orphan.domid, orphan.handle) for orphan in xen.orphans())
        for domid, mark in targets.items():
            try:
                _destroy(xen, domid, mark)
                destroyed.append(domid)
            except CallFailed as error:
                failed.append(FailureEntry.of(domid, error))
        if orphans and not failed:
            _forget_orphans()
    if as_json:
        output.emit(DestroyReport(tuple(destroyed), tuple(failed)))
    else:
        _show(destroyed, failed)
    if failed:
        raise SystemExit(Status.REFUSED)


def _destroy(xen: xenapic.Xen, domid: int, mark: UUID | None) -> None:
    """Destroy a domain; with a mark only while it bears that mark, because the number may be reused."""
    if mark is None:
        xen.domain(domid).destroy()
        return
    from xenapic.live.owned import destroy_marked

    destroy_marked(xen.handle, domid, mark.bytes)


def _forget_orphans() -> None:
    """Forget the policies of the orphans, which are all gone."""
    from xenapic.live.policy_store import sweep

    sweep()


def _show(destroyed: list[int], failed: list[FailureEntry]) -> None:
    for domid in destroyed:
        click.echo(f"destroyed {domid}")
    for failure in failed:
        click.echo(f"xenapic: {failure.message} [{failure.code}]", err=True)
