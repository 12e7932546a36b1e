"""How each kind of cell looks: a letter, words, and a class of the style sheet. Pure data."""

from __future__ import annotations

from typing import NamedTuple

from xenapic.apic.outcome import Kind

__all__ = ["LOOKS", "Look"]


class Look(NamedTuple):
    """The look of one kind of cell."""

    letter: str
    css: str
    words: str
    many: str
    """The words after a number."""


LOOKS = {
    Kind.STAYS: Look("S", "s", "stays in the guest", "stay"),
    Kind.DEPENDS: Look(
        "D", "d", "depends on the value: stays, or leaves after the write", "depend on the value"
    ),
    Kind.EXITS_AFTER: Look("A", "a", "leaves after the write (VM exit, trap-like)", "leave after the write"),
    Kind.EXITS_BEFORE: Look("L", "l", "leaves the guest (VM exit, fault-like)", "leave"),
    Kind.FAULTS: Look("F", "f", "faults in the guest, without an exit", "fault"),
    Kind.MEMORY: Look("M", "m", "plain memory: no APIC answers", "reach plain memory"),
    Kind.PHYSICAL: Look("P", "p", "reaches the processor's own APIC", "reach the processor's own APIC"),
    Kind.UNKNOWN: Look("?", "u", "unknown: it depends on unknown facts about the host", "are unknown"),
}
"""Letters and colours are those of `xenapic.verify.page` where both have the kind."""
