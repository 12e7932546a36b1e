"""``xenapic/explain``: terms of the specification, explained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from xenapic.glossary.topic import Topic, TopicKind

__all__ = ["Explanation", "TopicEntry"]


@dataclass(frozen=True, slots=True)
class TopicEntry:
    """A term, explained."""

    name: str
    """Unique."""
    kind: TopicKind
    title: str
    text: str
    effect: str | None
    """Its effect; one line for each case."""
    sdm: str | None
    """Section of Intel's SDM or AMD's APM."""
    xen: str | None
    """Place in Xen's source."""
    see: tuple[str, ...]
    """Names of other topics."""
    aliases: tuple[str, ...] = ()
    """Other spellings that find it."""

    @classmethod
    def of(cls, topic: Topic) -> TopicEntry:
        """Return the entry of a topic."""
        return cls(
            topic.name,
            topic.kind,
            topic.title,
            topic.text,
            topic.effect or None,
            topic.sdm or None,
            topic.xen or None,
            topic.see,
            topic.aliases,
        )

    def value(self) -> Topic:
        """Return the topic."""
        return Topic(
            self.name,
            self.kind,
            self.title,
            self.text,
            self.effect or "",
            self.sdm or "",
            self.xen or "",
            self.see,
            self.aliases,
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """The topics that match a text, or all topics."""

    SCHEMA: ClassVar[str] = "xenapic/explain/1"

    topics: tuple[TopicEntry, ...]

    @classmethod
    def of(cls, topics: Iterable[Topic]) -> Explanation:
        """Return the document of some topics."""
        return cls(tuple(map(TopicEntry.of, topics)))
