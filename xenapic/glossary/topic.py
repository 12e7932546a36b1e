"""A topic: one term, explained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import NamedTuple

from xenapic.glossary.prose import Prose

__all__ = ["Source", "Topic", "TopicKind", "from_prose", "joined"]


class TopicKind(Enum):
    """The kind of a term, in the order in which kinds are listed."""

    TERM = "term"
    CONTROL = "control"
    ENTRY_RULE = "VM-entry rule"
    CAPABILITY = "capability MSR"
    STATE = "APIC state"
    REGISTER = "register"
    OUTCOME = "outcome"
    COMPLETION = "completion"
    EXIT = "exit reason"
    SETTING = "setting of xl.cfg"
    FLAG = "flag"
    OPTION = "Xen option"
    ELSEWHERE = "name used elsewhere"
    RELEASE = "release"
    DEFECT = "defect"
    WANT = "want"
    EFFECT = "effect"
    REFUSAL = "refusal code"
    WARNING = "warning code"
    CREATE_RULE = "create rule"
    ERRNO = "errno"
    ERROR = "error code"
    PROCESSOR = "processor"


class Topic(NamedTuple):
    """One term, and everything about it."""

    name: str
    """Unique; programs and other topics refer to the topic by it."""
    kind: TopicKind
    title: str
    """Its full name; the SDM's where the SDM has one."""
    text: str
    """What it is."""
    effect: str = ""
    """What it does: which accesses stay or exit because of it, or what happens to whom."""
    sdm: str = ""
    """The place in Intel's SDM or AMD's APM, by volume and title."""
    xen: str = ""
    """The place in Xen: function or option, and file."""
    see: tuple[str, ...] = ()
    """Names of other topics."""
    aliases: tuple[str, ...] = ()
    """Other spellings."""


class Source(NamedTuple):
    """Where the topics of a kind come from."""

    names: Callable[[], Iterable[str]]
    """Return the names of all topics of the kind, in order."""
    topic: Callable[[str], Topic]
    """Return one topic by name; raise KeyError for an unknown name."""


def from_prose(kind: TopicKind, rows: Mapping[str, Prose], also: Mapping[str, tuple[str, ...]]) -> Source:
    """Return the source of topics about which only `xenapic.glossary.prose` has anything to say."""

    def topic(name: str) -> Topic:
        return Topic(name, kind, name, *rows[name], also.get(name, ()))

    return Source(rows.keys, topic)


def joined(*parts: str) -> str:
    """Return the parts that are not empty, with a space between them."""
    return " ".join(filter(None, parts))
