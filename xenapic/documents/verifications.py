"""``xenapic/spec-check``, ``xenapic/verify``, ``xenapic/lab-verify``: a real Xen, compared with the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from xenapic.verify.check import Check, Report, Verdict

if TYPE_CHECKING:
    from xenapic.verify.matrix import Result

__all__ = [
    "CellEntry",
    "CheckEntry",
    "LabVerification",
    "RecordingCheck",
    "SpecCheck",
    "Verification",
    "VerificationEntry",
]


@dataclass(frozen=True, slots=True)
class CheckEntry:
    """One recorded value, compared with the model."""

    topic: str
    where: str
    verdict: Verdict
    predicted: str
    found: str
    """What the recording has."""
    why: str | None
    """Why the value is not covered."""

    @classmethod
    def of(cls, check: Check) -> CheckEntry:
        """Return the entry of a check."""
        return cls(check.topic, check.where, check.verdict, check.predicted, check.found, check.why or None)


@dataclass(frozen=True, slots=True)
class RecordingCheck:
    """One recording, compared with the model: values that agree are counted, the others listed."""

    file: str
    processor: str
    """The source of what the processor offers."""
    agree: int
    compared: int
    checks: tuple[CheckEntry, ...]
    """Values that disagree or are not covered."""

    @classmethod
    def of(cls, report: Report) -> RecordingCheck:
        """Return the entry of a report."""
        return cls(report.name, report.processor, report.agree, report.compared, _listed(report))


def _listed(report: Report) -> tuple[CheckEntry, ...]:
    return tuple(CheckEntry.of(check) for check in report.checks if check.verdict is not Verdict.AGREES)


@dataclass(frozen=True, slots=True)
class SpecCheck:
    """Recordings of a real Xen, compared with the model."""

    SCHEMA: ClassVar[str] = "xenapic/spec-check/1"

    files: tuple[RecordingCheck, ...]

    @classmethod
    def of(cls, reports: Iterable[Report]) -> SpecCheck:
        """Return the document of some reports."""
        return cls(tuple(map(RecordingCheck.of, reports)))


@dataclass(frozen=True, slots=True)
class VerificationEntry:
    """The running Xen, compared with the model: values that agree are counted, the others listed."""

    file: str
    processor: str
    """The source of what the processor offers."""
    agree: int
    compared: int
    checks: tuple[CheckEntry, ...]
    """Values that disagree or are not covered."""
    not_testable: tuple[str, ...]
    """Reasons why something could not be tested on this host."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The running Xen, compared with the model."""

    SCHEMA: ClassVar[str] = "xenapic/verify/1"

    report: VerificationEntry

    @classmethod
    def of(cls, report: Report, not_testable: Iterable[str]) -> Verification:
        """Return the document of a report."""
        return cls(
            VerificationEntry(
                report.name,
                report.processor,
                report.agree,
                report.compared,
                _listed(report),
                tuple(not_testable),
            )
        )


@dataclass(frozen=True, slots=True)
class CellEntry:
    """One boot of the lab's matrix, with its result."""

    machine: str
    xen: str
    """Release of Xen."""
    options: str | None
    """Xen's boot options."""
    seconds: float
    error: str | None
    """Why there is no report."""
    report: RecordingCheck | None

    @classmethod
    def of(cls, result: Result) -> CellEntry:
        """Return the entry of a boot."""
        return cls(
            machine=result.cell.machine,
            xen=result.cell.xen,
            options=result.cell.options or None,
            seconds=round(result.seconds, 1),
            error=result.error or None,
            report=None if result.report is None else RecordingCheck.of(result.report),
        )


@dataclass(frozen=True, slots=True)
class LabVerification:
    """Xen on each machine of the lab, compared with the model."""

    SCHEMA: ClassVar[str] = "xenapic/lab-verify/1"

    cells: tuple[CellEntry, ...]

    @classmethod
    def of(cls, results: Iterable[Result]) -> LabVerification:
        """Return the document of a matrix of boots."""
        return cls(tuple(map(CellEntry.of, results)))
