"""``xenapic/explain``: terms of the specification, and pasted text, explained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from typing import ClassVar

from xenapic.frozen import dataclass
from xenapic.glossary.pasted.meaning import Meaning
from xenapic.glossary.topic import Topic, TopicKind

__all__ = ["Explanation", "MeaningEntry", "TopicEntry"]


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
class MeaningEntry:
    """What a piece of a text means."""

    quote: str
    """The piece."""
    title: str
    text: str
    sure: bool
    """False if the piece can mean something else too."""
    source: str | None
    """Where the meaning is written down."""
    see: tuple[str, ...]
    """Names of topics."""

    @classmethod
    def of(cls, meaning: Meaning) -> MeaningEntry:
        """Return the entry of a meaning."""
        return cls(*meaning[:4], meaning.source or None, meaning.see)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The topics that a text names, or all topics; and what the pieces of a pasted text mean."""

    SCHEMA: ClassVar[str] = "xenapic/explain/1"

    topics: tuple[TopicEntry, ...]
    meanings: tuple[MeaningEntry, ...] = ()
    """The most telling first."""
    unread: int = 0
    """Lines of the text from which nothing was concluded."""
    fates: dict[str, str] = field(default_factory=dict)
    """For each defect among the topics, whether the version that was asked about has it."""

    @classmethod
    def of(
        cls,
        topics: Iterable[Topic],
        meanings: Iterable[Meaning] = (),
        unread: int = 0,
        fates: dict[str, str] | None = None,
    ) -> Explanation:
        """Return the document of some topics and meanings."""
        return cls(
            tuple(map(TopicEntry.of, topics)), tuple(map(MeaningEntry.of, meanings)), unread, fates or {}
        )
