"""What a recorded value comes to when it is held against the model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Check", "Report", "Verdict", "beside", "compare"]


class Verdict(Enum):
    """How a recorded value stands to the model's."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    NOT_COVERED = "not covered"
    """The model says nothing of it, or the recorded value does not tell."""


@dataclass(frozen=True, slots=True)
class Check:
    """One recorded value held against the model."""

    topic: str
    where: str
    verdict: Verdict
    predicted: str
    found: str
    why: str = ""
    """For one that is not covered: why."""

    def __str__(self) -> str:
        tail = f" ({self.why})" if self.why else ""
        return f"{self.topic}: {self.where}: model says {self.predicted}, recording has {self.found}{tail}"


@dataclass(frozen=True)
class Report:
    """All checks of one recording."""

    name: str
    processor: str
    """Where it is known from what the processor offers."""
    checks: tuple[Check, ...]

    def of(self, verdict: Verdict) -> tuple[Check, ...]:
        """Return the checks with a verdict."""
        return tuple(one for one in self.checks if one.verdict is verdict)

    @property
    def compared(self) -> int:
        """How many values the model speaks of."""
        return len(self.checks) - len(self.of(Verdict.NOT_COVERED))

    @property
    def agree(self) -> int:
        """How many of them agree."""
        return len(self.of(Verdict.AGREES))

    @property
    def ok(self) -> bool:
        """Whether nothing disagrees, and something was compared."""
        return not self.of(Verdict.DISAGREES) and self.compared > 0


def compare(topic: str, where: str, predicted: object, found: object) -> Check:
    """Return the check of a value that the model predicts."""
    verdict = Verdict.AGREES if predicted == found else Verdict.DISAGREES
    return Check(topic, where, verdict, str(predicted), str(found))


def beside(topic: str, where: str, found: str, why: str) -> Check:
    """Return the check of a value that the model does not speak of."""
    return Check(topic, where, Verdict.NOT_COVERED, "nothing", found, why)
