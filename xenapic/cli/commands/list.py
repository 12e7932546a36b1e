"""``xenapic list``."""

from __future__ import annotations

import click

import xenapic
from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.options import JSON
from xenapic.live.owners import owner_state
from xenapic.model.info import DomainInfo
from xenapic.model.owner import OwnerState
from xenapic.parse.flagnames import names


@click.command("list", cls=Command)
@JSON
@click.option(
    "--orphans", is_flag=True, help="List only domains whose creator ended without destroying them."
)
@click.pass_obj
def command(library: str | None, as_json: bool, orphans: bool) -> None:
    """List the domains.

    The last column shows which ones xenapic created: 'pid N' while that process owns the domain,
    'orphan' after it has died, 'handed over' when the domain was kept on purpose.
    """
    with xenapic.open(library) as xen:
        domains = xen.orphans() if orphans else xen.domains()
    if as_json:
        from xenapic.documents.domains import DomainList

        output.emit(DomainList.of(domains))
        return
    output.table(
        ("domid", "type", "state", "vCPUs", "MiB", "CPU s", "created by xenapic"),
        [
            (
                domain.domid,
                domain.guest_type.name,
                " ".join(name for name in names(domain.flags) if name not in ("hvm_guest", "hap")),
                domain.nr_online_vcpus,
                domain.memory_kib // 1024,
                f"{domain.cpu_time / 1e9:.1f}",
                _owner(domain),
            )
            for domain in domains
        ],
    )


def _owner(domain: DomainInfo) -> str:
    owner = domain.owner
    if owner is None:
        return "-"
    return {
        OwnerState.RELEASED: "handed over",
        OwnerState.RUNNING: f"pid {owner.pid}",
        OwnerState.ORPHAN: f"orphan of pid {owner.pid}",
        OwnerState.ELSEWHERE: f"pid {owner.pid} in another PID namespace",
    }[owner_state(owner)]
