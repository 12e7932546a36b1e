"""Values of documents for property tests, drawn from the type hints of their classes."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import datetime, timezone
from enum import Enum, IntFlag
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from hypothesis import strategies as st

from xenapic.apic.features import FEATURES
from xenapic.apic.processors import PROCESSORS
from xenapic.apic.registers import Reg
from xenapic.documents import DOCUMENTS, document_type
from xenapic.exits.judgement import ExitKind
from xenapic.exits.report import ExitReport
from xenapic.model.facts import Fact
from xenapic.model.guest_types import GuestType
from xenapic.model.host import Host
from xenapic.model.info import Version
from xenapic.model.measured import Measurement
from xenapic.model.named import named_host
from xenapic.model.releases import XEN_RELEASES
from xenapic.parse.jsonforms import Unsigned
from xenapic.policy.plan import Plan, Refusal, plan
from xenapic.policy.pool import plan_pool
from xenapic.policy.terms import ACCEPTABLE, EFFECTS, Aspect, Policy, Want
from xenapic.probe.findings import Access, Findings

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=12),
    int: st.integers(),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    type(None): st.none(),
    UUID: st.uuids(),
    datetime: st.datetimes(timezones=st.just(timezone.utc)),
    object: JSON,
}


@cache
def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type hint, of every shape that the hint allows."""
    if kind in SCALARS:
        return SCALARS[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of(*map(values, arguments))
    if origin is Annotated:
        (metadata,) = arguments[1:]
        bits = metadata.bits if isinstance(metadata, Unsigned) else 4 * metadata.digits
        return st.integers(0, (1 << bits) - 1)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)
    if issubclass(kind, IntFlag):
        return st.integers(0, 2**33).map(kind)
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    assert isinstance(kind, type) and is_dataclass(kind), kind
    return st.builds(kind, **{name: values(hint) for name, hint in _fields(kind).items()})


def _fields(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {one.name: hints[one.name] for one in fields(kind) if one.init}


def document_values(name: str) -> st.SearchStrategy[Any]:
    """Documents of a name, with any values that their types allow."""
    return values(document_type(name))


def real_values(name: str) -> st.SearchStrategy[Any]:
    """What the library writes as a document of that name."""
    return LIBRARY_VALUES[name] if name in LIBRARY_VALUES else document_values(name)


# -- the library's own values ------------------------------------------------------------------------

VERSIONS = st.builds(
    Version,
    st.just(4),
    st.integers(15, 22),
    *(values(hint) for hint in [*_fields(Version).values()][2:-1]),
    st.sampled_from(["", "4.22"]),
)
FEATURE_FACTS = st.fixed_dictionaries({row.key: values(Fact) for row in FEATURES})
MEASUREMENTS = st.builds(
    Measurement,
    **{
        **{name: values(hint) for name, hint in _fields(Measurement).items()},
        "taken_at": st.integers(0, 2**37),
    },
)
HOSTS = st.builds(
    Host,
    **{
        **{name: values(hint) for name, hint in _fields(Host).items()},
        "version": VERSIONS,
        "features": FEATURE_FACTS,
        "measured": st.none() | MEASUREMENTS,
    },
)
NAMED_HOSTS = st.builds(
    named_host,
    st.sampled_from(list(PROCESSORS.values())),
    st.sampled_from(XEN_RELEASES),
    st.sampled_from(["", "apicv=0"]),
)
POLICIES = st.builds(
    Policy,
    aspects=st.dictionaries(st.sampled_from(Aspect), st.sampled_from(Want)),
    effects=st.lists(st.sampled_from([row.name for row in EFFECTS]), max_size=2).map(tuple),
    assisted_xapic=st.none() | st.booleans(),
    assisted_x2apic=st.none() | st.booleans(),
    guest_x2apic=st.booleans(),
    accept=st.frozensets(st.sampled_from(ACCEPTABLE)),
    also=st.lists(st.tuples(st.sampled_from(Aspect), st.sampled_from(Want)), max_size=3).map(tuple),
)
PLANS = st.builds(plan, POLICIES, NAMED_HOSTS, st.sampled_from(GuestType))
POOLS = st.builds(
    plan_pool,
    POLICIES,
    st.dictionaries(st.text(max_size=8), NAMED_HOSTS, max_size=3),
    st.sampled_from(GuestType),
)


@st.composite
def exit_reports(draw: st.DrawFn) -> ExitReport:
    """Reports in which every exit is of the report's technology."""
    report: ExitReport = replace(draw(values(ExitReport)), seconds=draw(st.floats(0.001, 1e6)))

    def same(kind: ExitKind) -> ExitKind:
        return replace(kind, technology=report.technology)

    return replace(report, counts=tuple(replace(one, kind=same(one.kind)) for one in report.counts))


@st.composite
def findings(draw: st.DrawFn) -> Findings:
    """Findings as the probe makes them: every access was tried, the version register among them."""

    def tried(access: Access) -> Access:
        return replace(access, ticks=draw(st.lists(st.integers(0, 2**40), min_size=1, max_size=8).map(tuple)))

    drawn: Findings = draw(values(Findings))
    version = replace(tried(draw(values(Access))), offset=Reg.LVR)
    return replace(
        drawn,
        accesses=(version, *map(tried, drawn.accesses)),
        extra=tuple(map(tried, drawn.extra)),
        page=tuple(tried(draw(values(Access))) for _ in range(4)),
        msrs=tuple(map(tried, drawn.msrs)),
        cr8=tuple(map(tried, drawn.cr8)),
        cr8_in_tpr=None if drawn.cr8_in_tpr is None else tried(drawn.cr8_in_tpr),
        unusual=tuple(map(tried, drawn.unusual)),
        deliveries=tuple(
            replace(delivery, vector=draw(st.integers(0, 255)), fault=draw(st.none() | st.integers(0, 31)))
            for delivery in drawn.deliveries
        ),
        move=replace(drawn.move, version=tried(drawn.move.version)),
    )


LIBRARY_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "host": HOSTS | NAMED_HOSTS,
    "host-plan": PLANS.filter(lambda found: isinstance(found, Plan)),
    "refusal": PLANS.filter(lambda found: isinstance(found, Refusal)),
    "plan": POOLS,
    "exits": exit_reports(),
    "probe": findings(),
}
"""Values of the library that a document gives back whole, by the document's name."""

NAMES = list(DOCUMENTS)
