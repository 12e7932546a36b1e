"""``xenapic create``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

import xenapic
from xenapic.cli import output, values
from xenapic.cli.base import Command
from xenapic.cli.options import JSON, POLICY_FILE, guest_type_option, policy_of, policy_options
from xenapic.cli.status import Status
from xenapic.errors import ConfigRefused, Problem

if TYPE_CHECKING:
    from xenapic.model.config import DomainConfig
    from xenapic.policy.terms import Policy


@click.command("create", cls=Command)
@guest_type_option("the policy file's, else pvh")
@click.option(
    "--policy", "policy_file", type=POLICY_FILE, help="A policy file: TOML, or an xl.cfg. See 'xenapic plan'."
)
@policy_options
@click.option(
    "--vcpus", type=int, default=1, show_default=True, help="Number of vCPUs; they are allocated too."
)
@click.option("--memory", type=int, metavar="MIB", help="Limit of the domain's memory.")
@click.option(
    "--set",
    "fields",
    multiple=True,
    metavar="FIELD=VALUE",
    callback=values.assignment,
    help="Any field of createdomain; flags by name or number: flags=+nested_virt, altp2m=mixed.",
)
@click.option("--dry-run", is_flag=True, help="Check only; create nothing.")
@JSON
@click.pass_obj
def command(
    library: str | None,
    /,
    guest_type: str | None,
    policy_file: str | None,
    vcpus: int,
    memory: int | None,
    fields: dict[str, object],
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Check a domain's configuration, then create the domain; it stays paused.

    A refusal lists every reason at once, before Xen is called. The new domain's number is
    printed to stdout.
    """
    from xenapic.policy.terms import Policy

    asked, file_type = policy_of(policy_file, options)
    policy = asked if policy_file or asked != Policy() else None
    preset = guest_type or (file_type.value if file_type else "pvh")
    config = values.set_fields(preset, {"max_vcpus": vcpus, **fields})
    try:
        with xenapic.open(library) as xen:
            if not dry_run:
                _create(xen, config, policy, memory, as_json)
                return
            problems = xen.check(config, policy)
            if problems:
                raise ConfigRefused(problems)
    except ConfigRefused as error:
        if not as_json:
            raise
        _print(None, as_json, error.problems)
        raise SystemExit(Status.REFUSED) from None
    _print(None, as_json)


def _create(
    xen: xenapic.Xen, config: DomainConfig, policy: Policy | None, memory: int | None, as_json: bool
) -> None:
    """Create the domain, print its number, and only then let go of it.

    If the number cannot be printed, nobody would know of the domain: it is destroyed.
    """
    with xen.create_domain(config, policy) as domain:
        domain.set_max_vcpus(config.max_vcpus)
        if memory is not None:
            domain.set_max_mem(memory * 1024)
        try:
            _print(domain.domid, as_json)
        except OSError as error:
            raise output.OutputLost(
                f"the number of domain {domain.domid} could not be printed ({error.strerror}): "
                "it was destroyed again"
            ) from None
        domain.release()


def _print(domid: int | None, as_json: bool, problems: Sequence[Problem] = ()) -> None:
    """Print the answer and flush it."""
    if as_json:
        from xenapic.documents.domains import CreateReport

        output.emit(CreateReport.of(domid, problems))
    else:
        click.echo("no rule forbids this domain" if domid is None else domid)
    output.flush()
