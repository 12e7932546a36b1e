"""``xenapic access``. It needs no Xen when the options name a host."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from xenapic.apic.state import ApicState
from xenapic.cli import output
from xenapic.cli.accesses import operation, place, show_accesses
from xenapic.cli.base import Command, suggestion
from xenapic.cli.hostoptions import PROCESSOR, RELEASE, HostChoice, host_options
from xenapic.cli.hosts import host_of
from xenapic.cli.options import CHOICE, FILE, FLAG, JSON
from xenapic.errors import PolicyRefused
from xenapic.frozen import dataclass

if TYPE_CHECKING:
    from xenapic.policy.outlook import AccessRow

STATE = click.Choice([state.value for state in ApicState])
DIFF_KEYS: dict[str, click.ParamType[Any]] = {
    "state": STATE,
    "processor": PROCESSOR,
    "xen": RELEASE,
    "xen-options": click.STRING,
    "host": FILE,
    "log": FILE,
    "cpuinfo": FILE,
    "assisted-xapic": CHOICE,
    "assisted-x2apic": CHOICE,
}
HOSTS = {"host": "reports", "log": "logs", "cpuinfo": "cpuinfos", "processor": "processors"}
"""The keys that name another host, and where `HostChoice` has it."""
ASSUMED = ("cpuinfo", "processor")
"""Those that know no Xen of their own: it stays the one of the first situation."""


@click.command("access", cls=Command)
@click.option(
    "--state",
    type=STATE,
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
    state: str,
    assisted_xapic: str,
    assisted_x2apic: str,
    choice: HostChoice,
    changes: tuple[str, ...],
    everything: bool,
    as_json: bool,
) -> None:
    """Show what happens to each access to the APIC's registers: it stays in the guest, or exits.

    \b
      xenapic access --processor broadwell_ult --xen 4.17 --state x2apic
      xenapic access --processor broadwell_ult --xen 4.17 --diff xen-options=apicv=0
      xenapic access --processor broadwell_ult --xen 4.17-rc --diff assisted-xapic=no
    """
    first = Situation(state, assisted_xapic, assisted_x2apic, choice)
    second = _changed(first, changes)
    left = _rows(first, library, everything)
    if changes:
        _show_differences(left, _rows(second, library, everything), as_json)
    elif as_json:
        from xenapic.documents.accesses import AccessTable

        output.emit(AccessTable.of(left))
    else:
        show_accesses(left)


@dataclass(frozen=True)
class Situation:
    """What a table of accesses depends on."""

    state: str
    assisted_xapic: str
    assisted_x2apic: str
    host: HostChoice


def _changed(first: Situation, changes: tuple[str, ...]) -> Situation:
    """Return the situation with the changes of ``--diff``."""
    values = dict(map(_change, changes))
    if len(values) < len(changes):
        raise click.UsageError("each KEY of --diff can be given only once")
    host = first.host
    named = [key for key in HOSTS if key in values]
    if len(named) > 1:
        raise click.UsageError(f"--diff {named[0]} and --diff {named[1]} exclude each other")
    for key in named:
        kept = {"xen": host.xen, "xen_options": host.xen_options} if key in ASSUMED else {}
        host = HostChoice(**{HOSTS[key]: (values.pop(key),)}, **kept)  # type: ignore[arg-type]
    if "xen" in values:
        host = replace(host, xen=values.pop("xen"))
    if "xen-options" in values:
        host = replace(host, xen_options=values.pop("xen-options"))
    return replace(first, host=host, **{key.replace("-", "_"): value for key, value in values.items()})


def _change(text: str) -> tuple[str, str]:
    """Parse ``KEY=VALUE``."""
    key, equals, value = text.partition("=")
    if not equals or key not in DIFF_KEYS:
        hint = suggestion(key, DIFF_KEYS) or f"KEY is one of {', '.join(DIFF_KEYS)}"
        raise click.UsageError(f"--diff expects KEY=VALUE, not {text!r}; {hint}")
    kind = DIFF_KEYS[key]
    try:
        return key, str(kind.convert(value, None, click.get_current_context()))
    except click.BadParameter as error:
        raise click.UsageError(f"--diff {key}: {error.message}") from None


def _rows(situation: Situation, library: str | None, everything: bool) -> list[AccessRow]:
    """Return the accesses under a plan that accepts defects, because the table shows what happens."""
    from xenapic.policy.outlook import access_rows
    from xenapic.policy.plan import Refusal, plan
    from xenapic.policy.reasons import Code
    from xenapic.policy.terms import Policy

    _name, host = host_of(situation.host, library)
    policy = Policy(
        accept=frozenset({Code.DEFECT_MEMORY.value}),
        assisted_xapic=FLAG[situation.assisted_xapic],
        assisted_x2apic=FLAG[situation.assisted_x2apic],
    )
    result = plan(policy, host)
    if isinstance(result, Refusal):
        raise PolicyRefused(result.reasons)
    return list(access_rows(result, ApicState(situation.state), everything=everything))


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
