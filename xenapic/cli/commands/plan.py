"""``xenapic plan``. It needs no Xen when the options name a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from xenapic.cli import output
from xenapic.cli.base import Command
from xenapic.cli.domainfile import check_on, domain_text, guest_type_of, show_check
from xenapic.cli.failures import show_reasons
from xenapic.cli.hostoptions import POOL, HostChoice, host_options
from xenapic.cli.hosts import hosts_of, with_pool
from xenapic.cli.options import (
    INPUT,
    JSON,
    guest_type_option,
    policy_of,
    policy_options,
    stdin_once,
)
from xenapic.cli.status import Status
from xenapic.parse.flagnames import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xenapic.model.acceleration import VcpuApic
    from xenapic.policy.plan import Plan
    from xenapic.policy.pool import PoolPlan
    from xenapic.toolstack.check import FileCheck


@click.command("plan", cls=Command)
@click.argument("policy_file", required=False, type=INPUT, metavar="[POLICY]")
@policy_options
@host_options
@POOL
@click.option("--xl-cfg", is_flag=True, help="Print the lines of an xl.cfg that realise the plan.")
@click.option(
    "--libvirt-xml", is_flag=True, help="Print the elements of a libvirt domain XML that realise it."
)
@guest_type_option("the policy file's, else pvh")
@JSON
@click.pass_obj
def command(
    library: str | None,
    /,
    policy_file: str | None,
    choice: HostChoice,
    pool: str | None,
    xl_cfg: bool,
    libvirt_xml: bool,
    guest_type: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Turn a policy into a plan, or into a refusal with every reason; nothing is created.

    POLICY is a TOML file, an xl.cfg or a libvirt domain XML. The latter two are also checked as the
    toolstack and Xen will check them. The host is this one, or the one that the options name; several
    make a pool. Exit status 1 means refused.

    \b
      xenapic plan --processor skylake-sp --require virtual_interrupt_delivery
      xenapic plan policy.toml --log xl-dmesg.txt
      xenapic plan policy.toml --host first.json --host second.json
      xenapic plan policy.toml --pool reports/
      xenapic plan policy.toml --xl-cfg >> guest.cfg
    """
    from xenapic.model.guest_types import GuestType
    from xenapic.policy.pool import plan_pool

    if as_json + xl_cfg + libvirt_xml > 1:
        raise click.UsageError("--json, --xl-cfg and --libvirt-xml exclude each other")
    choice = with_pool(choice, pool)
    stdin_once(policy_file, *choice.files)
    text = domain_text(policy_file)
    policy, file_type = policy_of(policy_file, options)
    hosts = hosts_of(choice, library)
    checks = check_on(text, hosts)
    chosen = GuestType(guest_type) if guest_type else None
    plans = plan_pool(policy, hosts, chosen or guest_type_of(checks) or file_type or GuestType.PVH)
    if as_json:
        _emit(plans, checks)
    elif (xl_cfg or libvirt_xml) and plans and all(check.possible for check in checks.values()):
        _realise(plans, xl_cfg)
    else:
        for name, check in checks.items():
            show_check(name, check)
        if all(check.possible for check in checks.values()):
            _show(plans, after_checks=bool(checks))
    if not plans or not all(check.possible for check in checks.values()):
        raise SystemExit(Status.REFUSED)


def _emit(pool: PoolPlan, checks: dict[str, FileCheck]) -> None:
    from xenapic.documents.plans import PoolReport

    output.emit(PoolReport.of(pool, checks))


def _show(pool: PoolPlan, after_checks: bool) -> None:
    if after_checks:
        click.echo()
    if len(pool.plans) + len(pool.refusals) == 1:
        _show_single(pool)
    else:
        _show_pool(pool)


def _show_single(pool: PoolPlan) -> None:
    for name, refusal in pool.refusals.items():
        output.text(f"refused on {name}:")
        show_reasons(refusal.reasons, "  ")
    for name, plan in pool.plans.items():
        _show_plan(name, plan)


def _show_plan(name: str, plan: Plan) -> None:
    flags = "|".join(names(plan.misc_flags)) or "0"
    if plan.effective is not None and plan.misc_flags:
        from xenapic.model.apicbits import misc_shown

        flags = f"{flags} ({misc_shown(plan.misc_flags)})"
    output.text(f"{plan.guest_type.value} guest on {name}: misc_flags {flags}")
    click.echo()
    output.noted_table(
        ("aspect", "in force"),
        [((aspect.title, fact.answer.value), fact.source) for aspect, fact in plan.in_force.items()],
    )
    if plan.states:
        click.echo()
        _show_states(plan)
    for warning in plan.warnings:
        click.echo()
        output.text(str(warning))


def _show_states(plan: Plan) -> None:
    from xenapic.apic.outcome import Operation
    from xenapic.policy.outlook import access_rows, hvm_leaf, share, vcpus

    rows = []
    for state in plan.states:
        accesses = list(access_rows(plan, state))
        possible = vcpus(plan, state)
        controls = _controls(possible[0]) if len(possible) == 1 else "not all known"
        shares = (share(accesses, state, operation) for operation in (Operation.READ, Operation.WRITE))
        rows.append((state.value, *shares, controls))
    output.table(("APIC", "reads that stay", "writes that stay", "controls"), rows)
    leaf = hvm_leaf(plan)
    bits = "unknown" if leaf is None else "|".join(names(leaf)) or "neither"
    click.echo()
    output.text(f"CPUID base+4 EAX tells the guest: {bits}")


def _controls(vcpu: VcpuApic) -> str:
    """Return the controls in force that are aspects."""
    from xenapic.apic.controls import Controls
    from xenapic.policy.terms import Aspect

    if not isinstance(vcpu.controls, Controls):
        return "AVIC off"
    aspects = {aspect.value for aspect in Aspect}
    return " ".join(key for key in vcpu.controls.keys if key in aspects) or "none"


def _realise(pool: PoolPlan, xl_cfg: bool) -> None:
    """Print what realises the plans: once if all hosts need the same settings, else host by host."""
    from xenapic.policy import realise

    groups: dict[tuple[str, ...], list[str]] = {}
    for name, plan in pool.plans.items():
        groups.setdefault(realise.settings(plan), []).append(name)
    if len(groups) > 1 and not xl_cfg:
        raise click.UsageError("the hosts need different settings; ask about one at a time")
    for hosts in groups.values():
        plan = pool.plans[hosts[0]]
        if not xl_cfg:
            click.echo(realise.libvirt_xml(plan), nl=False)
            continue
        click.echo(f"# for {output.printable(_few(hosts))}")
        click.echo(realise.xl_cfg(plan), nl=False)


MOST_NAMED = 6
"""How many hosts of a group are named; ``--json`` has all."""


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _show_pool(pool: PoolPlan) -> None:
    for hosts in pool.in_the_way:
        if len(hosts) == 1:
            output.text(f"{hosts[0]} stands in the way:")
        else:
            output.text(f"{len(hosts)} hosts stand in the way: {_few(hosts)} (sources: those of {hosts[0]})")
        show_reasons(pool.refusals[hosts[0]].reasons, "  ")
    if pool.holds:
        click.echo(f"\nholds on {len(pool.plans)} of {len(pool.plans) + len(pool.refusals)} hosts:")
        output.table(("aspect", "in force"), [(a.title, answer.value) for a, answer in pool.holds.items()])
    for aspect, answers in pool.differs.items():
        for answer, hosts in answers.items():
            output.text(f"{aspect.title} is {answer.value} on {_few(hosts)}")
