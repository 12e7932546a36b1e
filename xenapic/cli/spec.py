"""The commands of the specification: plan, access, spec check. None needs a Xen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from xenapic.apic.controls import Controls
from xenapic.apic.outcome import Operation
from xenapic.apic.state import ApicState
from xenapic.cli import show
from xenapic.cli.options import (
    CHOICE,
    FLAG,
    HostChoice,
    host_options,
    hosts_of,
    policy_of,
    policy_options,
)
from xenapic.cli.show import JSON
from xenapic.model.acceleration import VcpuApic
from xenapic.model.flags import names
from xenapic.model.guest_types import GuestType
from xenapic.policy.outlook import AccessRow, access_rows, hvm_leaf, share, vcpus
from xenapic.policy.plan import Plan, Refusal, plan
from xenapic.policy.pool import PoolPlan, plan_pool
from xenapic.policy.reasons import Reason
from xenapic.policy.terms import Aspect

TYPE = click.Choice([one.value for one in GuestType])


# -- plan ------------------------------------------------------------------------------------------


@click.command("plan")
@click.argument(
    "policy_file", required=False, type=click.Path(exists=True, dir_okay=False), metavar="[POLICY]"
)
@policy_options
@host_options
@click.option("--type", "guest_type", type=TYPE, help="Kind of guest.  [default: the file's, else pvh]")
@JSON
@click.pass_obj
def plan_command(
    library: str | None,
    /,
    policy_file: str | None,
    reports: tuple[str, ...],
    processor: str | None,
    xen: str,
    xen_options: str,
    measure: bool,
    guest_type: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Turn a policy into a plan, or a refusal with every reason; nothing is created.

    POLICY is a TOML file, or an xl.cfg. The host is this one, a saved report, or a named
    processor under a named Xen. Exit status 1 means refused.

    \b
      xenapic plan --processor broadwell_ult --xen 4.17 --require virtual_interrupt_delivery
      xenapic plan policy.toml --host one.json --host two.json
    """
    policy, of_file = policy_of(policy_file, options)
    kind = GuestType(guest_type) if guest_type else of_file or GuestType.PVH
    hosts = hosts_of(HostChoice(reports, processor, xen, xen_options, measure), library)
    pool = plan_pool(policy, hosts, kind)
    if as_json:
        show.emit("plan", pool_json(pool, kind))
    elif len(hosts) == 1:
        _show_one({**pool.plans, **pool.refusals}, kind)
    else:
        _show_pool(pool)
    if not pool:
        raise SystemExit(1)


def _show_one(found: dict[str, Plan | Refusal], kind: GuestType) -> None:
    ((name, one),) = found.items()
    if isinstance(one, Refusal):
        click.echo(f"refused on {name}:")
        show_reasons(one.reasons, "  ")
        return
    flags = "|".join(names(one.misc_flags)) or "0"
    click.echo(f"{kind.value} guest on {name}: misc_flags {flags}\n")
    show.table(
        ("aspect", "in force", "known from"),
        [(aspect.title, fact.answer.value, fact.source) for aspect, fact in one.in_force.items()],
    )
    if one.states:
        click.echo()
        _show_states(one)
    for warning in one.warnings:
        click.echo(f"\n{warning}")


def show_reasons(reasons: Sequence[Reason], indent: str, err: bool = False) -> None:
    """Print each reason with what would make it possible."""
    for reason in reasons:
        click.echo(f"{indent}{reason.asked}: {reason.fact} [{reason.code.value}]", err=err)
        click.echo(f"{indent}  known from: {reason.source}", err=err)
        for remedy in reason.remedies:
            click.echo(f"{indent}  - {remedy.text}", err=err)


def _show_states(one: Plan) -> None:
    rows = []
    for state in one.states:
        found = list(access_rows(one, state))
        situation = vcpus(one, state)
        controls = _controls(situation[0]) if len(situation) == 1 else "not all known"
        shares = (share(found, state, operation) for operation in REPORTED)
        rows.append((state.value, *shares, controls))
    show.table(("APIC", "reads that stay", "writes that stay", "controls"), rows)
    leaf = hvm_leaf(one)
    told = "unknown" if leaf is None else "|".join(names(leaf)) or "neither"
    click.echo(f"\nCPUID base+4 EAX tells the guest: {told}")


def _controls(situation: VcpuApic) -> str:
    """Return the controls that are aspects, of those in force."""
    if not isinstance(situation.controls, Controls):
        return "AVIC off"
    return " ".join(key for key in situation.controls.keys if key in ASPECTS) or "none"


ASPECTS = {aspect.value for aspect in Aspect}
REPORTED = (Operation.READ, Operation.WRITE)


def _show_pool(pool: PoolPlan) -> None:
    for name, refusal in pool.refusals.items():
        click.echo(f"{name} stands in the way:")
        show_reasons(refusal.reasons, "  ")
    if pool.holds:
        click.echo(f"\nholds on {len(pool.plans)} of {len(pool.plans) + len(pool.refusals)} hosts:")
        show.table(("aspect", "in force"), [(a.title, answer.value) for a, answer in pool.holds.items()])
    for aspect, answers in pool.differs.items():
        for answer, hosts in answers.items():
            click.echo(f"{aspect.title} is {answer.value} on {', '.join(hosts)}")


def pool_json(pool: PoolPlan, kind: GuestType) -> dict[str, Any]:
    """Return the body of ``xenapic/plan``."""
    return {
        "guest_type": kind.value,
        "possible": bool(pool),
        "holds": {aspect.value: answer.value for aspect, answer in pool.holds.items()},
        "differs": {
            aspect.value: {answer.value: list(hosts) for answer, hosts in answers.items()}
            for aspect, answers in pool.differs.items()
        },
        "hosts": {
            **{name: _plan_json(one) for name, one in pool.plans.items()},
            **{name: {"refused": refusal_json(one)} for name, one in pool.refusals.items()},
        },
    }


def _plan_json(one: Plan) -> dict[str, Any]:
    leaf = hvm_leaf(one)
    return {
        "release": one.release.name,
        "misc_flags": show.plain(one.misc_flags),
        "in_force": {aspect.value: show.fact_json(fact) for aspect, fact in one.in_force.items()},
        "states": {state.value: _state_json(one, state) for state in one.states},
        "cpuid_base_4_eax": None if leaf is None else show.plain(leaf),
        "warnings": [{"code": w.code.value, "text": w.text} for w in one.warnings],
    }


def _state_json(one: Plan, state: ApicState) -> dict[str, Any]:
    situation = vcpus(one, state)
    known = situation[0].controls if len(situation) == 1 else None
    return {
        "controls": list(getattr(known, "keys", ())) if known is not None else None,
        "accesses": [row_json(row) for row in access_rows(one, state)],
    }


def row_json(row: AccessRow) -> dict[str, Any]:
    """Return one access and what becomes of it."""
    outcome = row.outcome
    return {
        "offset": row.register.offset,
        "msr": row.register.msr,
        "register": row.register.symbol or None,
        "operation": row.operation.value,
        "value": row.value or None,
        "outcome": outcome.kind.value,
        "completion": outcome.completion.value if outcome.completion else None,
        "exit": outcome.reason.name if outcome.reason else None,
        "exit_number": int(outcome.reason) if outcome.reason else None,
        "may_exit": [one.name for one in outcome.may_exit],
        "note": outcome.note or None,
    }


def refusal_json(refusal: Refusal) -> list[dict[str, Any]]:
    """Return every reason of a refusal."""
    return [
        {
            "code": reason.code.value,
            "aspect": reason.aspect.value if reason.aspect else None,
            "asked": reason.asked,
            "fact": reason.fact,
            "source": reason.source,
            "remedies": [{"kind": one.kind.value, "text": one.text} for one in reason.remedies],
        }
        for reason in refusal.reasons
    ]


# -- access ----------------------------------------------------------------------------------------

DIFF_KEYS = ("state", "processor", "xen", "xen-options", "host", "assisted-xapic", "assisted-x2apic")


@click.command()
@click.option(
    "--state",
    type=click.Choice([one.value for one in ApicState]),
    default="xapic",
    show_default=True,
    help="State of the guest's APIC.",
)
@click.option("--assisted-xapic", type=CHOICE, default="default")
@click.option("--assisted-x2apic", type=CHOICE, default="default")
@host_options
@click.option(
    "--diff",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help=f"Compare with the same but for this: {', '.join(DIFF_KEYS)}.",
)
@click.option("--all", "everything", is_flag=True, help="The reserved places too.")
@JSON
@click.pass_obj
def access(
    library: str | None,
    /,
    reports: tuple[str, ...],
    changes: tuple[str, ...],
    everything: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Show what becomes of each access to the APIC's registers: stays, leaves, or misses the APIC.

    \b
      xenapic access --processor broadwell_ult --xen 4.17 --state x2apic
      xenapic access --processor broadwell_ult --xen 4.17 --diff xen-options=apicv=0
      xenapic access --processor broadwell_ult --xen 4.17-rc --diff assisted-xapic=no
    """
    if len(reports) > 1:
        raise click.UsageError("access looks at one host")
    first = {**given, "reports": reports}
    left = _rows(first, library, everything)
    if not changes and as_json:
        show.emit("access", {"accesses": [row_json(row) for row in left]})
        return
    if not changes:
        show_accesses(left)
        return
    second = _changed(first, changes)
    right = _rows(second, library, everything)
    _show_diff(left, right, as_json)


def _changed(first: dict[str, Any], changes: tuple[str, ...]) -> dict[str, Any]:
    second = {**first}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or key not in DIFF_KEYS:
            raise click.UsageError(
                f"--diff takes KEY=VALUE with a key of {', '.join(DIFF_KEYS)}, not {change!r}"
            )
        second["reports" if key == "host" else key.replace("-", "_")] = (value,) if key == "host" else value
        if key in ("processor", "host"):
            second["measure"] = False
        if key == "processor":
            second["reports"] = ()
        if key == "host":
            second["processor"] = None
    return second


def _rows(chosen: dict[str, Any], library: str | None, everything: bool) -> list[AccessRow]:
    """Plan with the flags as they are, defects and all, because a table shows what is."""
    from xenapic.policy.reasons import Code
    from xenapic.policy.terms import Policy

    choice = HostChoice(*(chosen[name] for name in ("reports", "processor", "xen", "xen_options", "measure")))
    ((_name, host),) = hosts_of(choice, library).items()
    for name in ("assisted_xapic", "assisted_x2apic"):
        if chosen[name] not in FLAG:  # typed after --diff
            raise click.UsageError(f"{name} is yes, no or default, not {chosen[name]!r}")
    policy = Policy(
        accept=frozenset({Code.DEFECT_MEMORY.value}),
        assisted_xapic=FLAG[chosen["assisted_xapic"]],
        assisted_x2apic=FLAG[chosen["assisted_x2apic"]],
    )
    found = plan(policy, host)
    if isinstance(found, Refusal):
        show_reasons(found.reasons, "")
        raise SystemExit(1)
    try:
        state = ApicState(chosen["state"])
    except ValueError:
        raise click.UsageError(f"no state {chosen['state']!r}") from None
    return list(access_rows(found, state, everything=everything))


def show_accesses(found: list[AccessRow]) -> None:
    """Print a table of accesses."""
    show.table(
        ("offset", "MSR", "register", "", "what becomes of it"),
        [(*_place(row), _operation(row), row.outcome) for row in found],
    )


def _place(row: AccessRow) -> tuple[str, str, str]:
    return f"{row.register.offset:03x}", f"{row.register.msr:x}", row.register.name


def _operation(row: AccessRow) -> str:
    return f"{row.operation.value}, {row.value}" if row.value else row.operation.value


def _key(row: AccessRow) -> tuple[int, Operation, str]:
    return row.register.offset, row.operation, row.value


def _show_diff(left: list[AccessRow], right: list[AccessRow], as_json: bool) -> None:
    there = {_key(row): row for row in right}
    pairs = [(row, there.pop(_key(row), None)) for row in left]
    extra = list(there.values())
    differing = [(one, two) for one, two in pairs if two is None or one.outcome != two.outcome]
    if as_json:
        both = [{"left": row_json(one), "right": row_json(two) if two else None} for one, two in differing]
        both += [{"left": None, "right": row_json(row)} for row in extra]
        show.emit("access", {"compared": len(pairs) + len(extra), "differences": both})
        return
    rows: list[tuple[object, ...]] = [
        (*_place(one), _operation(one), one.outcome, two.outcome if two else "-") for one, two in differing
    ]
    rows += [(*_place(row), _operation(row), "-", row.outcome) for row in extra]
    show.table(("offset", "MSR", "register", "", "first", "second"), rows)
    click.echo(f"\n{len(rows)} of {len(pairs) + len(extra)} differ")


# -- spec ------------------------------------------------------------------------------------------


@click.group()
def spec() -> None:
    """Hold the specification against recordings of a real Xen."""


@spec.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False), metavar="FILE..."
)
@click.option("--verbose", "-v", is_flag=True, help="Show what is not covered, too.")
@JSON
def check(files: tuple[str, ...], verbose: bool, as_json: bool) -> None:
    """Check recordings: every create answer, VMCS word, CPUID leaf and access cost against the model.

    Exit status 1 when anything disagrees, or nothing could be compared.
    """
    from xenapic.verify.check import Verdict
    from xenapic.verify.recording import check_file

    reports = [check_file(Path(file)) for file in files]
    if as_json:
        show.emit("spec-check", {"files": [spec_json(one) for one in reports]})
    else:
        for one in reports:
            beside = len(one.of(Verdict.NOT_COVERED))
            click.echo(f"{one.name}: {one.agree} of {one.compared} agree ({beside} not covered)")
            click.echo(f"  processor: {one.processor}")
            for item in one.of(Verdict.DISAGREES):
                click.echo(f"  DISAGREES {show.printable(str(item))}")
            for item in one.of(Verdict.NOT_COVERED) if verbose else ():
                click.echo(f"  not covered {show.printable(str(item))}")
    if not all(one.ok for one in reports):
        raise SystemExit(1)


def spec_json(report: Any) -> dict[str, Any]:
    """Return one file of ``xenapic/spec-check``."""
    return {
        "file": report.name,
        "processor": report.processor,
        "agree": report.agree,
        "compared": report.compared,
        "checks": [
            {
                "topic": one.topic,
                "where": one.where,
                "verdict": one.verdict.value,
                "predicted": one.predicted,
                "found": one.found,
                "why": one.why or None,
            }
            for one in report.checks
            if one.verdict.value != "agrees"
        ],
    }
