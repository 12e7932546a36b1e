"""An answer (yes, no or unknown) with its source."""

from __future__ import annotations

from enum import Enum

from xenapic.frozen import dataclass

__all__ = ["Answer", "Fact", "no", "unknown", "yes"]


class Answer(Enum):
    """Yes, no or unknown. A capability is never guessed."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Fact:
    """An answer and its source."""

    answer: Answer
    source: str
    """The source of the answer; for an unknown answer, the reason why it is unknown."""
    how: str = ""
    """How to find out, if unknown."""

    @property
    def known(self) -> bool:
        """Whether the answer is yes or no."""
        return self.answer is not Answer.UNKNOWN

    def __bool__(self) -> bool:
        return self.answer is Answer.YES


def yes(source: str) -> Fact:
    """Return a fact with the answer yes."""
    return Fact(Answer.YES, source)


def no(source: str) -> Fact:
    """Return a fact with the answer no."""
    return Fact(Answer.NO, source)


def unknown(source: str, how: str) -> Fact:
    """Return a fact with the answer unknown; ``source`` says why, ``how`` says how to find out."""
    return Fact(Answer.UNKNOWN, source, how)
