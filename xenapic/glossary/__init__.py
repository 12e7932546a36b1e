"""Every term that xenapic uses, explained: for `xenapic explain` and for the documentation.

A topic comes from the table that decides (controls, registers, rules, releases, defects…), and only what no
table has is written in `xenapic.glossary.prose`. Pure: no Xen, no hardware.

`find` looks a spelling up in ``index.json`` and builds only the topics that it means. `make index` writes the
index from the topics.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib import import_module
from pkgutil import get_data
from typing import NamedTuple

from xenapic.glossary.topic import Source, Topic, TopicKind

__all__ = ["Topic", "TopicKind", "find", "index_of", "names", "near", "source", "topic", "topics"]

HOMES = {
    TopicKind.TERM: "terms",
    TopicKind.CONTROL: "controls",
    TopicKind.ENTRY_RULE: "controls",
    TopicKind.CAPABILITY: "controls",
    TopicKind.STATE: "states",
    TopicKind.REGISTER: "registers",
    TopicKind.OUTCOME: "registers",
    TopicKind.COMPLETION: "registers",
    TopicKind.EXIT: "registers",
    TopicKind.SETTING: "terms",
    TopicKind.FLAG: "releases",
    TopicKind.OPTION: "hostoptions",
    TopicKind.ELSEWHERE: "elsewhere",
    TopicKind.RELEASE: "releases",
    TopicKind.DEFECT: "releases",
    TopicKind.WANT: "policies",
    TopicKind.EFFECT: "policies",
    TopicKind.REFUSAL: "policies",
    TopicKind.WARNING: "policies",
    TopicKind.CREATE_RULE: "creates",
    TopicKind.ERRNO: "creates",
    TopicKind.ERROR: "exceptions",
    TopicKind.PROCESSOR: "processors",
}
"""The module of this package that builds the topics of a kind."""


def source(kind: TopicKind) -> Source:
    """Return where the topics of a kind come from."""
    found: Source = import_module(f"{__name__}.{HOMES[kind]}").SOURCES[kind]
    return found


# -- all topics ------------------------------------------------------------------------------------------


def names(kind: TopicKind | None = None) -> tuple[str, ...]:
    """Return the names of all topics, or of those of a kind, in the order of their kinds."""
    kinds = _index().kinds
    return kinds[kind] if kind else tuple(name for names in kinds.values() for name in names)


@cache
def topic(name: str) -> Topic:
    """Return a topic by its name; raise KeyError when there is none."""
    return source(_index().kind_of[name]).topic(name)


class _Topics(Mapping[str, Topic]):
    """Every topic by name, each built on first use."""

    def __getitem__(self, name: str) -> Topic:
        return topic(name)

    def __iter__(self) -> Iterator[str]:
        return iter(names())

    def __len__(self) -> int:
        return len(names())


def topics() -> Mapping[str, Topic]:
    """Return every topic by name, in the order of their kinds."""
    return _Topics()


# -- the index -------------------------------------------------------------------------------------------


class _Index(NamedTuple):
    kinds: Mapping[TopicKind, tuple[str, ...]]
    """Names of the topics of each kind."""
    kind_of: Mapping[str, TopicKind]
    spellings: Mapping[str, tuple[str, ...]]
    """Names of the topics that a spelling means."""


@lru_cache(maxsize=1)
def _index() -> _Index:
    data = json.loads(get_data(__name__, "index.json") or "{}")  # importlib.resources costs 10 ms
    kinds = {TopicKind(kind): tuple(names) for kind, names in data["kinds"].items()}
    kind_of = {name: kind for kind, names in kinds.items() for name in names}
    spellings: dict[str, list[str]] = {}
    for name in kind_of:
        spellings.setdefault(_plain(name), []).append(name)
    for spelling, meant in data["spellings"].items():
        spellings.setdefault(spelling, []).extend(meant)
    return _Index(kinds, kind_of, {spelling: tuple(meant) for spelling, meant in spellings.items()})


def index_of(every: Mapping[TopicKind, Mapping[str, Topic]]) -> dict[str, object]:
    """Return the content of ``index.json``: names by kind, and the other spellings of each topic."""
    spellings: dict[str, list[str]] = {}
    for topics in every.values():
        for entry in topics.values():
            for spelling in map(_plain, (entry.title, *entry.aliases)):
                meant = spellings.setdefault(spelling, [])
                if spelling != _plain(entry.name) and entry.name not in meant:
                    meant.append(entry.name)
    return {
        "kinds": {kind.value: list(topics) for kind, topics in every.items()},
        "spellings": {spelling: meant for spelling, meant in sorted(spellings.items()) if meant},
    }


def _plain(text: str) -> str:
    """Return a text without the differences that do not count: case, spaces, hyphens and underscores."""
    return text.casefold().replace(" ", "").replace("-", "").replace("_", "")


# -- looking up --------------------------------------------------------------------------------------------


def find(text: str) -> list[Topic]:
    """Return the topics that a text means; an empty list when it means none.

    The text can be a name, the SDM's name, an MSR (``0x80B``, ``80bh``), an offset (``0x0b0``), the number
    of an exit reason, a code, the name of an exception, a processor's CPUID signature (``806ea``), or what
    a processor is sold as.
    """
    spelling = _plain(text)
    meant = _index().spellings.get(spelling, ())
    if meant:
        return [topic(name) for name in meant]
    if spelling.removeprefix("msr").removeprefix("offset")[:1].isdigit() or _hexadecimal(spelling):
        from xenapic.glossary.registers import by_number

        if register := by_number(spelling):
            return [register]
    if not any(map(str.isdigit, text)):  # every processor that has no name here has a number
        return []
    from xenapic.glossary.processors import by_trade

    return by_trade(text)


def _hexadecimal(spelling: str) -> bool:
    return bool(spelling) and set(spelling.removesuffix("h")) <= set("0123456789abcdef")


NEAR = 0.78
"""How similar a spelling must be, as `difflib` measures it; below, a suggestion misleads."""
SHORTEST = 4
"""Characters that a part of a name must have to suggest it."""


def near(text: str, most: int = 5) -> list[str]:
    """Return the names of topics whose spelling is similar or contains the text, the nearest first."""
    import difflib

    wanted, known = _plain(text), _index().spellings
    similar = difflib.get_close_matches(wanted, known, n=most, cutoff=NEAR)
    similar += [spelling for spelling in known if len(wanted) >= SHORTEST and wanted in spelling]
    return list(dict.fromkeys(name for spelling in similar for name in known[spelling]))[:most]
