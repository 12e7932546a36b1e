"""``xenapic access``. It needs no Xen when the host is a saved report or a named processor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from xenapic.apic.state import ApicState
from xenapic.cli import output
from xenapic.cli.accesses import operation, place, show_accesses
from xenapic.cli.options import CHOICE, FLAG, JSON, HostChoice, host_options, hosts_of
from xenapic.cli.status import Status

if TYPE_CHECKING:
    from xenapic.policy.outlook import AccessRow

DIFF_KEYS = ("state", "processor", "xen", "xen-options", "host", "assisted-xapic", "assisted-x2apic")


@click.command("access")
@click.option(
    "--state",
    type=click.Choice([state.value for state in ApicState]),
    default="xapic",
    show_default=True,
    help="State of the guest's APIC.",
)
@click.option("--assisted-xapic", type=CHOICE, default="default", help="As in xl.cfg of Xen 4.17-rc.")
@click.option("--assisted-x2apic", type=CHOICE, default="default", help="As in xl.cfg of Xen 4.17-rc.")
@host_options
@click.option(
    "--diff",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help=f"Compare with the same situation except for this: {', '.join(DIFF_KEYS)}.",
)
@click.option("--all", "everything", is_flag=True, help="Show reserved places too.")
@JSON
@click.pass_obj
def command(
    library: str | None,
    /,
    reports: tuple[str, ...],
    changes: tuple[str, ...],
    everything: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Show what happens to each access to the APIC's registers: it stays in the guest, or exits.

    \b
      xenapic access --processor broadwell_ult --xen 4.17 --state x2apic
      xenapic access --processor broadwell_ult --xen 4.17 --diff xen-options=apicv=0
      xenapic access --processor broadwell_ult --xen 4.17-rc --diff assisted-xapic=no
    """
    if len(reports) > 1:
        raise click.UsageError("--host can be given only once")
    first = {**given, "reports": reports}
    left = _rows(first, library, everything)
    if changes:
        right = _rows(_changed(first, changes), library, everything)
        _show_differences(left, right, as_json)
    elif as_json:
        from xenapic.documents.accesses import AccessTable

        output.emit(AccessTable.of(left))
    else:
        show_accesses(left)


def _changed(first: dict[str, Any], changes: tuple[str, ...]) -> dict[str, Any]:
    second = {**first}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or key not in DIFF_KEYS:
            raise click.UsageError(
                f"--diff expects KEY=VALUE where KEY is one of {', '.join(DIFF_KEYS)}, not {change!r}"
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
    """Return the accesses under a plan that accepts defects, because the table shows what happens."""
    from xenapic.policy.outlook import access_rows
    from xenapic.policy.plan import Refusal, plan
    from xenapic.policy.reasons import Code
    from xenapic.policy.terms import Policy

    choice = HostChoice(*(chosen[name] for name in ("reports", "processor", "xen", "xen_options", "measure")))
    ((_name, host),) = hosts_of(choice, library).items()
    for name in ("assisted_xapic", "assisted_x2apic"):
        if chosen[name] not in FLAG:  # from --diff
            raise click.UsageError(f"{name} is yes, no or default, not {chosen[name]!r}")
    policy = Policy(
        accept=frozenset({Code.DEFECT_MEMORY.value}),
        assisted_xapic=FLAG[chosen["assisted_xapic"]],
        assisted_x2apic=FLAG[chosen["assisted_x2apic"]],
    )
    result = plan(policy, host)
    if isinstance(result, Refusal):
        output.show_reasons(result.reasons, "")
        raise SystemExit(Status.REFUSED)
    try:
        state = ApicState(chosen["state"])
    except ValueError:
        raise click.UsageError(f"unknown state {chosen['state']!r}") from None
    return list(access_rows(result, state, everything=everything))


def _key(row: AccessRow) -> tuple[object, ...]:
    return row.register.offset, row.operation, row.value


def _show_differences(left: list[AccessRow], right: list[AccessRow], as_json: bool) -> None:
    in_right = {_key(row): row for row in right}
    pairs: list[tuple[AccessRow | None, AccessRow | None]] = [
        (row, in_right.pop(_key(row), None)) for row in left
    ]
    pairs += [(None, row) for row in in_right.values()]
    differing = [
        (first, second)
        for first, second in pairs
        if not first or not second or first.outcome != second.outcome
    ]
    if as_json:
        from xenapic.documents.accesses import AccessDifference, AccessDifferences, AccessEntry

        def entry(row: AccessRow | None) -> AccessEntry | None:
            return AccessEntry.of(row) if row else None

        differences = tuple(AccessDifference(entry(first), entry(second)) for first, second in differing)
        output.emit(AccessDifferences(len(pairs), differences))
        return
    rows: list[tuple[object, ...]] = []
    for first, second in differing:
        row = first or second
        assert row is not None
        outcomes = (first.outcome if first else "-", second.outcome if second else "-")
        rows.append((*place(row), operation(row), *outcomes))
    output.table(("offset", "MSR", "register", "", "first", "second"), rows)
    click.echo(f"\n{len(differing)} of {len(pairs)} differ")
