"""Every term of the specification explained in one place, for people and for `xenapic explain`.

A topic is taken from the table that decides (controls, registers, rules, releases, defects); only what
no table says is written here (`xenapic.glossary.prose`). Pure: no Xen, no hardware.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from xenapic.apic.registers import MSR_X2APIC_FIRST, MSR_X2APIC_LAST, SLOTS, offset_of, register
from xenapic.glossary.build import every_topic, register_topic
from xenapic.glossary.topic import Topic, TopicKind

__all__ = ["Topic", "TopicKind", "find", "near", "topics"]


@lru_cache(maxsize=1)
def topics() -> Mapping[str, Topic]:
    """Return every topic by name, in the order of their kinds."""
    return MappingProxyType({topic.name: topic for topic in every_topic()})


@lru_cache(maxsize=1)
def _index() -> Mapping[str, tuple[str, ...]]:
    """Return the names of the topics that a spelling means."""
    found: dict[str, dict[str, None]] = {}
    for topic in topics().values():
        for spelling in (topic.name, topic.title, *topic.aliases):
            found.setdefault(_same(spelling), {})[topic.name] = None
    return {spelling: tuple(names) for spelling, names in found.items()}


def _same(text: str) -> str:
    """Return what is left when case, spaces, hyphens and underscores do not count."""
    return text.casefold().replace(" ", "").replace("-", "").replace("_", "")


def find(text: str) -> list[Topic]:
    """Return the topics that a text means, none when it means none.

    It may be a name, the SDM's name, an MSR (``0x80B``, ``80bh``), an offset (``0x0b0``), an exit reason's
    number, a code, an exception's name.
    """
    names = _index().get(_same(text), ())
    if names:
        return [topics()[name] for name in names]
    reserved = _reserved(text)
    return [reserved] if reserved else []


def _reserved(text: str) -> Topic | None:
    """Return a topic for a place of a register that has none."""
    digits = _same(text).removeprefix("msr").removeprefix("offset").removeprefix("0x").removesuffix("h")
    try:
        number = int(digits, 16)
    except ValueError:
        return None
    if MSR_X2APIC_FIRST <= number <= MSR_X2APIC_LAST:
        return register_topic(register(offset_of(number)))
    return register_topic(register(number)) if number in SLOTS else None


def near(text: str, most: int = 5) -> list[str]:
    """Return the names of topics that are spelt similarly or contain the text, nearest first."""
    wanted, found = _same(text), _index()
    spellings = difflib.get_close_matches(wanted, found, n=most, cutoff=0.6)
    spellings += [spelling for spelling in found if wanted and wanted in spelling]
    names = dict.fromkeys(name for spelling in spellings for name in found[spelling])
    return list(names)[:most]
