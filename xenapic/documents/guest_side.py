"""``xenapic/guest``: what a guest sees of its host, or of two hosts between which it moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from xenapic.frozen import dataclass
from xenapic.model.facts import Fact
from xenapic.policy.guestside import ApicIds, Change, Hint, Moved
from xenapic.policy.terms import Aspect

__all__ = ["GuestView", "MovedHint"]


@dataclass(frozen=True, slots=True)
class MovedHint:
    """Something that the guest was told when it booted, and what holds on the other host."""

    name: str
    change: Change
    before: Fact
    after: Fact

    @classmethod
    def of(cls, moved: Moved) -> MovedHint:
        """Return the entry of a hint."""
        return cls(moved.before.name, moved.change, moved.before.fact, moved.after.fact)


@dataclass(frozen=True, slots=True)
class GuestView:
    """What an HVM-type guest sees."""

    SCHEMA: ClassVar[str] = "xenapic/guest/1"
    host: str
    release: str
    apic_ids: ApicIds
    told: tuple[Hint, ...]
    nested: Mapping[Aspect, Fact]
    moves_to: str | None = None
    moved: tuple[MovedHint, ...] = ()
