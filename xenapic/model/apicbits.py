"""The bits of the proposed interface, and where they are in the words that every release of Xen has.

One bit stands for one control of the processor. A Xen with the interface takes two words from a create
(*on* and *off*) and reports two (*available* and *default*). No structure changes for that: each word is a
byte in a word that exists since 4.17, at bits that an unchanged Xen refuses (``misc_flags``) or leaves 0
(``arch_capabilities``). So every libxenctrl passes them on.

| word | bits 8 to 13 | bits 16 to 21 |
| --- | --- | --- |
| ``createdomain.arch.misc_flags`` | on | off |
| ``physinfo.arch_capabilities`` | available | default |
| ``getdomaininfo.arch_config.misc_flags`` | in force | |

This module is the only place that knows the encoding.
"""

from __future__ import annotations

from enum import IntFlag

from xenapic.frozen import dataclass
from xenapic.model.flags import MISC
from xenapic.parse.flagnames import names

__all__ = [
    "APIC",
    "ASKED",
    "FIRST_BITS",
    "KNOWN",
    "NOTHING",
    "Offer",
    "asked_word",
    "in_force_of",
    "misc_shown",
    "off_of",
    "offer_of",
    "offer_word",
    "on_of",
    "signed",
    "words_shown",
]


class APIC(IntFlag):
    """``XEN_X86_APIC_*``: one bit per aspect, with the same numbers in every word."""

    TPR_SHADOW = 1 << 0
    ACCESS_PAGE = 1 << 1
    REGISTERS = 1 << 2
    DELIVERY = 1 << 3
    POSTED = 1 << 4
    X2APIC_MODE = 1 << 5


NOTHING = APIC(0)
KNOWN = APIC(sum(APIC))

LOW, HIGH = 8, 16
"""Where bit 0 of the two bytes is in a word."""
ASKED = int(KNOWN) << LOW | int(KNOWN) << HIGH
"""The bits of ``misc_flags`` that ask for something, and those of ``arch_capabilities`` that report it."""
FIRST_BITS = 3
"""The bits of ``arch_capabilities`` that 4.17-rc had: `xenapic.model.flags.PHYSCAP_X86`."""


def asked_word(on: APIC, off: APIC = NOTHING) -> int:
    """Return the bits of ``createdomain.arch.misc_flags`` that turn controls on and off."""
    return int(on) << LOW | int(off) << HIGH


def on_of(misc_flags: int) -> APIC:
    """Return the controls that a create turns on."""
    return _byte(misc_flags, LOW)


def off_of(misc_flags: int) -> APIC:
    """Return the controls that a create turns off."""
    return _byte(misc_flags, HIGH)


def in_force_of(misc_flags: int) -> APIC:
    """Return the controls that are in force for a domain, from its ``getdomaininfo``."""
    return _byte(misc_flags, LOW)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a Xen with the interface offers to each domain."""

    available: APIC
    """What a domain can turn on."""
    default: APIC
    """What a domain gets for which nothing is asked."""


def offer_word(offer: Offer) -> int:
    """Return the bits of ``physinfo.arch_capabilities`` that report an offer."""
    return int(offer.available) << LOW | int(offer.default) << HIGH


def offer_of(arch_capabilities: int | None) -> Offer | None:
    """Return what ``physinfo.arch_capabilities`` offers to each domain; None without the interface.

    A Xen with the interface on a processor that offers nothing reports 0, as every other Xen does; there is
    no choice.
    """
    word = arch_capabilities or 0
    offer = Offer(_byte(word, LOW), _byte(word, HIGH))
    return None if not offer.available or offer.default & ~offer.available else offer


def _byte(word: int, shift: int) -> APIC:
    return APIC(int(word) >> shift & int(KNOWN))


def words_shown(misc_flags: int) -> str:
    """Return what a create asks for in words, e.g. ``on REGISTERS, off DELIVERY|POSTED``; or nothing."""
    pairs = (("on", on_of(misc_flags)), ("off", off_of(misc_flags)))
    return ", ".join(f"{word} {'|'.join(names(bits))}" for word, bits in pairs if bits)


def signed(misc_flags: int) -> str:
    """Return the same in one word for each bit, e.g. ``+REGISTERS -DELIVERY -POSTED``; empty for nothing."""
    pairs = (("+", on_of(misc_flags)), ("-", off_of(misc_flags)))
    return " ".join(f"{sign}{name}" for sign, bits in pairs for name in names(bits))


def misc_shown(misc_flags: int) -> str:
    """Return a ``misc_flags`` of a Xen with the interface in words; ``0`` for nothing."""
    known = "|".join(names(MISC(misc_flags & ~ASKED)))
    return ", ".join(filter(None, (known, words_shown(misc_flags)))) or "0"
