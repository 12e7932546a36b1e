"""A policy as a mapping of plain values, as in TOML and JSON: read with every error, and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from xenapic.errors import PolicyInvalid
from xenapic.model.guest_types import GuestType
from xenapic.policy.suggest import no_such
from xenapic.policy.terms import ACCEPTABLE, EFFECTS, Aspect, Policy, Want

__all__ = ["MOST_ERRORS", "ReadPolicy", "Trouble", "from_mapping", "read_mapping", "to_mapping"]

ASPECTS = {aspect.value: aspect for aspect in Aspect}
CHOICES = ("assisted_xapic", "assisted_x2apic")
MOST_ERRORS = 100
"""How many errors of one policy are reported."""
OTHER_KEYS = ("effects", *CHOICES, "guest_x2apic", "accept", "guest_type")


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """A policy that was read, and what its reader has to say."""

    policy: Policy
    guest_type: GuestType | None = None
    """None where the source names none."""
    notes: tuple[str, ...] = ()
    """What the reader decided: the syntax, a default of xl, a setting that xl ignores."""


class Trouble(NamedTuple):
    """One error in a mapping."""

    key: str
    item: str
    """The item of a list that is wrong; empty when it is the key or its value."""
    text: str


def from_mapping(table: Mapping[str, Any]) -> ReadPolicy:
    """Read a policy from a mapping with the keys of TOML's ``[apic]``.

    Raises `PolicyInvalid` with every error.
    """
    result = read_mapping(table)
    if isinstance(result, ReadPolicy):
        return result
    raise PolicyInvalid.of([trouble.text for trouble in result])


def read_mapping(table: Mapping[str, Any]) -> ReadPolicy | tuple[Trouble, ...]:
    """Read a policy from a mapping; return every error instead if there is any."""
    troubles = tuple(islice(_troubles(table), MOST_ERRORS))
    if troubles:
        return troubles
    first, more = _wants(table)
    policy = Policy(
        aspects=first,
        also=more,
        effects=tuple(table.get("effects", ())),
        assisted_xapic=_choice(table.get("assisted_xapic")),
        assisted_x2apic=_choice(table.get("assisted_x2apic")),
        guest_x2apic=table.get("guest_x2apic", True),
        accept=frozenset(table.get("accept", ())),
    )
    kind = table.get("guest_type")
    return ReadPolicy(policy, None if kind is None else GuestType(kind))


def to_mapping(policy: Policy) -> dict[str, Any]:
    """Return the mapping that `from_mapping` reads back into the same policy."""
    table: dict[str, Any] = {aspect.value: want.value for aspect, want in policy.aspects.items()}
    for aspect, want in policy.also:
        before = table[aspect.value]
        table[aspect.value] = [*(before if isinstance(before, list) else [before]), want.value]
    table["effects"] = list(policy.effects)
    table["guest_x2apic"] = policy.guest_x2apic
    table["accept"] = sorted(policy.accept)
    for name in CHOICES:
        if getattr(policy, name) is not None:
            table[name] = getattr(policy, name)
    return table


# -- values ------------------------------------------------------------------------------------------


def _wants(table: Mapping[str, Any]) -> tuple[dict[Aspect, Want], tuple[tuple[Aspect, Want], ...]]:
    """Return the first want of each aspect, and the others."""
    first: dict[Aspect, Want] = {}
    more: list[tuple[Aspect, Want]] = []
    for key, value in table.items():
        if key in ASPECTS:
            wants = [Want(text) for text in (value if isinstance(value, list) else [value])]
            first[ASPECTS[key]] = wants[0]
            more += [(ASPECTS[key], want) for want in wants[1:]]
    return first, tuple(more)


def _choice(value: Any) -> bool | None:
    return None if value == "default" else value


# -- errors ------------------------------------------------------------------------------------------


def _troubles(table: Mapping[str, Any]) -> Iterator[Trouble]:
    for key, value in table.items():
        if key in ASPECTS:
            yield from _aspect_troubles(key, value)
        elif key in OTHERS:
            yield from OTHERS[key](key, value)
        else:
            yield Trouble(key, "", no_such("key", key, [*ASPECTS, *OTHER_KEYS]))


def _aspect_troubles(key: str, value: object) -> Iterator[Trouble]:
    items = value if isinstance(value, list) and value else [value]
    for item in items:
        if not _is_one_of(Want, item):
            listed = str(item) if isinstance(value, list) else ""
            yield Trouble(key, listed, _must_be(key, Want, item))


E = TypeVar("E", bound=Enum)


def _is_one_of(kind: type[E], value: object) -> bool:
    return isinstance(value, str) and any(value == member.value for member in kind)


def _must_be(key: str, kind: type[E], value: object) -> str:
    known = [str(member.value) for member in kind]
    if isinstance(value, str):
        return no_such(f"value for {key}:", value, known)
    return f"{key} is one of {', '.join(known)}, not {_shown(value)}"


def _names(known: Callable[[], list[str]], what: str) -> Callable[[str, object], Iterator[Trouble]]:
    def troubles(key: str, value: object) -> Iterator[Trouble]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            yield Trouble(key, "", f"{key} is a list of names, not {_shown(value)}")
            return
        names = known()
        for item in value:
            if item not in names:
                yield Trouble(key, item, no_such(what, item, names))

    return troubles


def _choice_troubles(key: str, value: object) -> Iterator[Trouble]:
    if not isinstance(value, bool) and value != "default":
        yield Trouble(key, "", f'{key} is true, false or "default", not {_shown(value)}')


def _boolean_troubles(key: str, value: object) -> Iterator[Trouble]:
    if not isinstance(value, bool):
        yield Trouble(key, "", f"{key} is true or false, not {_shown(value)}")


def _type_troubles(key: str, value: object) -> Iterator[Trouble]:
    if not _is_one_of(GuestType, value):
        yield Trouble(key, "", _must_be(key, GuestType, value))


LONGEST = 60


def _shown(value: object) -> str:
    """Return a value as a message shows it: no more than the beginning of a long one."""
    try:
        text = repr(value)
    except RecursionError:
        return "a value that is nested too deeply"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


OTHERS: Mapping[str, Callable[[str, object], Iterator[Trouble]]] = {
    "effects": _names(lambda: [row.name for row in EFFECTS], "effect"),
    "accept": _names(lambda: list(ACCEPTABLE), "defect to accept"),
    "assisted_xapic": _choice_troubles,
    "assisted_x2apic": _choice_troubles,
    "guest_x2apic": _boolean_troubles,
    "guest_type": _type_troubles,
}
