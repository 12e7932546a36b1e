"""Hosts as the explorer knows them: the few answers on which its tables depend, written as one short text.

The text has a letter for each control of `KEYS`: y(es), n(o) or u(nknown). Hosts with equal texts have equal
tables. So a report is looked up by its text, and a link holds the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from xenapic.apic.controls import every_choice
from xenapic.model.acceleration import host_controls
from xenapic.model.consequences import OFFERED
from xenapic.model.facts import Answer
from xenapic.model.host import Host
from xenapic.model.proposal import APIC, CONTROL, available
from xenapic.model.releases import XEN_RELEASES

__all__ = ["DECISIVE", "KEYS", "LETTERS", "answers_of", "bits_code", "code_of", "offered_sets"]

DECISIVE = (
    "tpr_shadow",
    "virtualize_apic_accesses",
    "virtualize_x2apic_mode",
    "apic_register_virtualization",
    "virtual_interrupt_delivery",
    "msr_bitmaps",
)
"""The controls on which the outcome of an access depends."""
KEYS = (*DECISIVE, "posted_interrupts")
"""These, and one that the proposal has a bit for."""
LETTERS = {Answer.YES: "y", Answer.NO: "n", Answer.UNKNOWN: "u"}
ANSWERS = {letter: answer for answer, letter in LETTERS.items()}


def code_of(host: Host) -> str:
    """Return the text of a host: a letter for each of `KEYS`."""
    return "".join(LETTERS[host.features[key].answer] for key in KEYS)


def answers_of(code: str) -> Mapping[str, Answer]:
    """Return the answers that a text stands for; a text of the first keys alone leaves out the others."""
    return {key: ANSWERS[letter] for key, letter in zip(KEYS, code, strict=False)}


def bits_code(offered: APIC) -> str:
    """Return the letters of `KEYS` for what a host has available under the proposal, without MSR bitmaps."""
    on = {CONTROL[bit] for bit in APIC if bit in offered}
    return "".join("y" if key in on else "n" for key in KEYS if key != "msr_bitmaps")


@cache
def offered_sets() -> tuple[APIC, ...]:
    """Return everything that Xen can have available under the proposal, in order of the bits."""
    every = every_choice(OFFERED)
    return tuple(sorted({available(host_controls(XEN_RELEASES[-1], allowed)) for allowed in every}))
