"""The result of comparing one recorded value with the model."""

from __future__ import annotations

from enum import Enum

from xenapic.frozen import dataclass
from xenapic.verify.gaps import GAPS, NO_GUEST

__all__ = [
    "COST",
    "FAILED",
    "LOST",
    "NOT_TESTABLE",
    "NO_ANSWER",
    "Check",
    "Report",
    "Verdict",
    "compare",
    "not_covered",
]

NO_ANSWER = "answer"
"""The topic of a guest that gave no answer; it is part of every aspect that guests show."""
FAILED = "it could not be recorded"
COST = "the cost is neither that of an exit nor that of none"
LOST = "trace records were lost"
NOT_TESTABLE = (FAILED, COST, LOST, NO_GUEST, *(gap.why for gap in GAPS))
"""`Check.why` of values for which the model has a prediction, but the recording is inconclusive."""


class Verdict(Enum):
    """Whether a recorded value is what the model predicts."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    NOT_COVERED = "not covered"
    """The model predicts nothing for it, or the recording is inconclusive."""


@dataclass(frozen=True, slots=True)
class Check:
    """One recorded value, compared with the model."""

    topic: str
    where: str
    verdict: Verdict
    predicted: str
    found: str
    """What the recording has."""
    why: str = ""
    """Why the value is not covered."""

    def __str__(self) -> str:
        tail = f" ({self.why})" if self.why else ""
        return f"{self.topic}: {self.where}: model says {self.predicted}, recording has {self.found}{tail}"


@dataclass(frozen=True)
class Report:
    """All checks of one recording."""

    name: str
    processor: str
    """The source of what the processor offers."""
    checks: tuple[Check, ...]

    def of(self, verdict: Verdict) -> tuple[Check, ...]:
        """Return the checks with a verdict."""
        return tuple(check for check in self.checks if check.verdict is verdict)

    @property
    def compared(self) -> int:
        """Number of values for which the model has a prediction."""
        return len(self.checks) - len(self.of(Verdict.NOT_COVERED))

    @property
    def agree(self) -> int:
        """Number of values that agree with the model."""
        return len(self.of(Verdict.AGREES))

    @property
    def ok(self) -> bool:
        """Whether nothing disagrees, and at least one value was compared."""
        return not self.of(Verdict.DISAGREES) and self.compared > 0


def compare(topic: str, where: str, predicted: object, found: object) -> Check:
    """Return the check of a value that the model predicts."""
    verdict = Verdict.AGREES if predicted == found else Verdict.DISAGREES
    return Check(topic, where, verdict, str(predicted), str(found))


def not_covered(topic: str, where: str, found: str, why: str) -> Check:
    """Return the check of a value for which the model predicts nothing."""
    return Check(topic, where, Verdict.NOT_COVERED, "nothing", found, why)
