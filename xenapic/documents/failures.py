"""``xenapic/error``: why a command did not answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from xenapic.documents.domains import ProblemEntry
from xenapic.documents.plans import ReasonEntry
from xenapic.errors import ConfigRefused, PolicyRefused

__all__ = ["ErrorReport"]


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """Why a command did not answer; a command prints it with ``--json`` instead of its own document."""

    SCHEMA: ClassVar[str] = "xenapic/error/1"

    code: str
    """Stable, for programs: the code of an error of the library, "usage", "output" or "system"."""
    message: str
    """For people; the text may change."""
    exit_status: int
    """The command's exit status."""
    problems: tuple[ProblemEntry, ...] = ()
    """With code "config-refused": every reason why the domain cannot be created."""
    reasons: tuple[ReasonEntry, ...] = ()
    """With code "policy-refused": every reason why there is no plan."""

    @classmethod
    def of(cls, error: Exception, code: str, message: str, exit_status: int) -> ErrorReport:
        """Return the document of an error."""
        problems: Iterable[ProblemEntry] = ()
        reasons: Iterable[ReasonEntry] = ()
        if isinstance(error, ConfigRefused):
            problems = map(ProblemEntry.of, error.problems)
        if isinstance(error, PolicyRefused):
            reasons = map(ReasonEntry.of, error.reasons)
        return cls(code, message, exit_status, tuple(problems), tuple(reasons))
