"""``xenapic/abi-diff``: what differs between two releases of Xen, in the ABI and in what Xen does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from xenapic.abi.history import Item, abi_changes
from xenapic.frozen import dataclass
from xenapic.model.conditions import Rule
from xenapic.model.create import rules_of
from xenapic.model.defects import DEFECTS
from xenapic.model.releases import XEN_RELEASES, XenRelease
from xenapic.model.rules import RULES
from xenapic.toolstack.refusals import REFUSALS, refusals_of

__all__ = ["AbiDiff", "AbiEntry", "BehaviourEntry"]

Change = Literal["added", "removed", "changed"]
Subject = Literal["create-rule", "libxl-refusal", "defect"]


@dataclass(frozen=True, slots=True)
class AbiEntry:
    """A structure, field, constant or call that differs."""

    item: Item
    name: str
    change: Change
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class BehaviourEntry:
    """A rule of createdomain, a refusal of libxl or a defect that one of the two releases has."""

    subject: Subject
    name: str
    """The code of a rule or a defect; the message of a refusal."""
    change: Change
    text: str


@dataclass(frozen=True, slots=True)
class AbiDiff:
    """What differs between two releases; of defects, those of the releases' .0."""

    SCHEMA: ClassVar[str] = "xenapic/abi-diff/1"
    first: str
    second: str
    abi: tuple[AbiEntry, ...]
    behaviour: tuple[BehaviourEntry, ...]

    @classmethod
    def of(cls, first: XenRelease, second: XenRelease) -> AbiDiff:
        """Compare two releases."""
        order = [row.name for row in XEN_RELEASES]
        abi = tuple(
            AbiEntry(row.item, row.name, _change(row.before, row.after), row.before, row.after)
            for row in abi_changes(first.name, second.name, order)
        )
        behaviour = (*_rules(first, second), *_refusals(first, second), *_defects(first, second))
        return cls(first.name, second.name, abi, behaviour)


def _change(before: object, after: object) -> Change:
    if before and after:
        return "changed"
    return "added" if after else "removed"


def _rules(first: XenRelease, second: XenRelease) -> Iterator[BehaviourEntry]:
    before, after = rules_of(first), rules_of(second)
    for code in dict.fromkeys(row.code for row in RULES):
        old, new = ([row for row in rows if row.code == code] for rows in (before, after))
        if old == new:
            continue
        yield BehaviourEntry("create-rule", code, _change(old, new), _told(new or old))


def _told(rows: Sequence[Rule]) -> str:
    return "; ".join(dict.fromkeys(f"{row.rule} ({row.source})" for row in rows))


def _refusals(first: XenRelease, second: XenRelease) -> Iterator[BehaviourEntry]:
    before, after = refusals_of(first), refusals_of(second)
    for row in REFUSALS:
        if (row in before) is not (row in after):
            change: Change = "added" if row in after else "removed"
            yield BehaviourEntry("libxl-refusal", row.message, change, f"{row.because} ({row.source})")


def _defects(first: XenRelease, second: XenRelease) -> Iterator[BehaviourEntry]:
    for row in DEFECTS:
        had, has = first.name in row.releases, second.name in row.releases
        if had is not has:
            yield BehaviourEntry("defect", row.code, "added" if has else "removed", row.title)
