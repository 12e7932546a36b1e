"""``xenapic create``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

import xenapic
from xenapic.cli import output, values
from xenapic.cli.base import Command
from xenapic.cli.created import print_number
from xenapic.cli.domainfile import check_on, domain_text, guest_type_of, show_check
from xenapic.cli.hostoptions import HostChoice, host_options
from xenapic.cli.hosts import THIS_HOST, host_of
from xenapic.cli.options import (
    INPUT,
    JSON,
    guest_type_option,
    policy_of,
    policy_options,
    stdin_once,
)
from xenapic.cli.status import Status
from xenapic.errors import ConfigRefused, Problem
from xenapic.frozen import dataclass

if TYPE_CHECKING:
    from xenapic.model.config import DomainConfig
    from xenapic.model.create import Dependency
    from xenapic.model.guest_types import GuestType
    from xenapic.model.host import Host
    from xenapic.policy.terms import Policy
    from xenapic.toolstack.check import FileCheck


@click.command("create", cls=Command)
@guest_type_option("the policy file's, else pvh")
@click.option(
    "--policy", "policy_file", type=INPUT, help="A policy file: TOML, or an xl.cfg. See 'xenapic plan'."
)
@policy_options
@click.option(
    "--vcpus", type=int, help="Number of vCPUs; they are allocated too.  [default: the file's, else 1]"
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
@host_options
@click.option("--dry-run", is_flag=True, help="Check only; create nothing.")
@JSON
@click.pass_obj
def command(
    library: str | None,
    /,
    guest_type: str | None,
    policy_file: str | None,
    vcpus: int | None,
    memory: int | None,
    fields: dict[str, object],
    choice: HostChoice,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Check a domain's configuration, then create the domain: an empty one, paused.

    Something else must give it memory and contents; 'xenapic boot' creates a domain with a kernel.

    A refusal lists every reason at once, before Xen is called. The new domain's number is
    printed to stdout. With an xl.cfg or a libvirt domain XML, the domain is the one in the file.
    With --dry-run the host can be any that the options name; then no Xen is needed.
    """
    if not dry_run and choice != HostChoice():
        raise click.UsageError(
            "an option that names a host needs --dry-run: a domain is created on this host only"
        )
    stdin_once(policy_file, *choice.files)
    values.set_fields(guest_type or "pvh", {"max_vcpus": vcpus or 1, **fields})  # nonsense comes before Xen
    text = domain_text(policy_file)
    read = policy_of(policy_file, options)
    order = Order(guest_type, policy_file is not None, text, read, vcpus, fields)
    try:
        if dry_run:
            _dry_run(order, choice, library, as_json)
            return
        with xenapic.open(library) as handle:
            check, config, policy = order.on(THIS_HOST, handle.host())
            if check is not None and not check.possible:
                _refuse(check, as_json)
            _create(handle, config, policy, memory, as_json)
    except ConfigRefused as error:
        if not as_json:
            raise
        from xenapic.documents.creations import CreateReport

        output.emit(CreateReport.of(None, error.problems))
        raise SystemExit(Status.REFUSED) from None


@dataclass(frozen=True)
class Order:
    """What the command line asks for."""

    guest_type: str | None
    from_file: bool
    """Whether the policy comes from a file."""
    text: str | None
    """Of a domain's configuration."""
    read: tuple[Policy, GuestType | None]
    """The policy, and the file's type of guest."""
    vcpus: int | None
    fields: dict[str, object]

    def on(self, name: str, host: Host) -> tuple[FileCheck | None, DomainConfig, Policy | None]:
        """Return the check of the file, if it is a domain's, the config and the policy on a host."""
        from xenapic.policy.terms import Policy

        checks = check_on(self.text, {name: host})
        check = checks.get(name)
        asked, file_type = self.read
        policy = asked if self.from_file or asked != Policy() else None
        derived = guest_type_of(checks) or file_type
        preset = self.guest_type or (derived.value if derived else "pvh")
        base = {} if check is None or check.derived is None else values.config_fields(check.derived.fields)
        if self.vcpus is not None or "max_vcpus" not in base:
            base["max_vcpus"] = 1 if self.vcpus is None else self.vcpus
        return check, values.set_fields(preset, {**base, **self.fields}), policy


def _dry_run(order: Order, choice: HostChoice, library: str | None, as_json: bool) -> None:
    if not choice.running or choice.xen is not None or choice.xen_options is not None:
        from xenapic.model.conditions import Situation
        from xenapic.policy.creation import prepare

        name, host = host_of(choice, library)
        check, config, policy = order.on(name, host)
        if check is None or check.refused is None:
            creation = prepare(config, Situation(host), policy)
            _answer(name, check, creation.problems, creation.depends, as_json)
    else:
        name = THIS_HOST
        with xenapic.open(library) as xen:
            if choice.measure:
                xen.measure()
            check, config, policy = order.on(name, xen.host())
            if check is None or check.refused is None:
                _answer(name, check, xen.check(config, policy), (), as_json)
    if check is not None and check.refused is not None:
        _refuse(check, as_json)


def _answer(
    name: str,
    check: FileCheck | None,
    problems: Sequence[Problem],
    depends: Sequence[Dependency],
    as_json: bool,
) -> None:
    """Print what a create would come to, and end if it is refused."""
    every = tuple(dict.fromkeys((*(() if check is None else check.problems), *problems)))
    if as_json:
        from xenapic.documents.creations import CreateReport

        output.emit(CreateReport.of(None, every, depends, check))
        if every:
            raise SystemExit(Status.REFUSED)
    elif every:
        raise ConfigRefused(every)
    elif check is not None:
        show_check(name, check)
    else:
        for dependency in depends:
            output.text(str(dependency))
        rest = " beyond what it depends on" if depends else ""
        output.text(f"no rule forbids this domain{rest}")


def _refuse(check: FileCheck, as_json: bool) -> NoReturn:
    """Say why the file's domain is not created, and end."""
    if as_json:
        from xenapic.documents.creations import CreateReport

        output.emit(CreateReport.of(None, check.problems, (), check))
        raise SystemExit(Status.REFUSED)
    if check.refused is not None:
        raise check.refused
    raise ConfigRefused(check.problems)


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
        print_number(domain.domid, as_json)
        domain.release()
