"""An answer that is yes, no or unknown, and where it is from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Answer", "Fact", "no", "unknown", "yes"]


class Answer(Enum):
    """Yes, no, or not known: a capability is never guessed."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Fact:
    """An answer and where it is from."""

    answer: Answer
    source: str
    """Where the answer is from; for an unknown one, why it is not known."""
    how: str = ""
    """How to find out, when unknown."""

    @property
    def known(self) -> bool:
        """Whether the answer is yes or no."""
        return self.answer is not Answer.UNKNOWN

    def __bool__(self) -> bool:
        return self.answer is Answer.YES


def yes(source: str) -> Fact:
    """Return the fact that it is so."""
    return Fact(Answer.YES, source)


def no(source: str) -> Fact:
    """Return the fact that it is not so."""
    return Fact(Answer.NO, source)


def unknown(source: str, how: str) -> Fact:
    """Return that it is not known whether it is so."""
    return Fact(Answer.UNKNOWN, source, how)
