"""The results of runs of XTF's tests, and what differs between runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from xenapic.frozen import dataclass
from xenapic.xtf.verdict import PASSING, XtfVerdict

__all__ = ["XtfDifference", "XtfReport", "XtfResult", "XtfRun", "difference_of"]


@dataclass(frozen=True, slots=True)
class XtfResult:
    """The result of a test."""

    name: str
    verdict: XtfVerdict
    note: str
    """Why, for anything but a success; it is the guest's own words if the guest says why."""
    warnings: bool
    """Whether the test succeeded with warnings."""
    seconds: float
    """From its creation to its end."""
    output: tuple[str, ...]
    """What the guest printed, by line; characters that cannot be printed are escaped."""

    @property
    def passed(self) -> bool:
        """Whether it says nothing against Xen: a success, a skip, or a domain that is refused."""
        return self.verdict in PASSING


@dataclass(frozen=True, slots=True)
class XtfRun:
    """The tests, once on one Xen under one policy."""

    title: str
    """What tells it from the other runs."""
    xen: str
    """The version of Xen, or its name in the lab."""
    machine: str | None
    """The lab's machine; null for this host."""
    policy: str | None
    """The policy's file; null for none."""
    untested: str | None
    """Why the tests did not run, or did not run to their end."""
    results: tuple[XtfResult, ...]

    @property
    def passed(self) -> bool:
        """Whether all tests ran, and each passed."""
        return self.untested is None and all(result.passed for result in self.results)

    def by_name(self) -> dict[str, XtfResult]:
        """Return the results by the name of the test."""
        return {result.name: result for result in self.results}


@dataclass(frozen=True, slots=True)
class XtfDifference:
    """A test that is not the same in all runs."""

    name: str
    verdicts: Mapping[str, str]
    """By run; an empty text for a test that did not run there."""
    only: Mapping[str, tuple[str, ...]]
    """By run, the lines that the guest printed in no other run."""

    @property
    def in_verdict(self) -> bool:
        """Whether the verdicts differ, and not the output alone."""
        return len(set(self.verdicts.values())) > 1


@dataclass(frozen=True, slots=True)
class XtfReport:
    """Runs of XTF's tests; of several, what differs."""

    SCHEMA: ClassVar[str] = "xenapic/xtf/1"

    runs: tuple[XtfRun, ...]
    differences: tuple[XtfDifference, ...]

    @classmethod
    def of(cls, runs: Sequence[XtfRun]) -> XtfReport:
        """Return the report of runs whose titles differ."""
        return cls(tuple(runs), tuple(_differences(runs)))

    @property
    def complete(self) -> bool:
        """Whether every run came to its end."""
        return all(run.untested is None for run in self.runs)

    @property
    def ok(self) -> bool:
        """Whether all is well: in one run, that each test passed; in several, that nothing differs."""
        if len(self.runs) == 1:
            return self.runs[0].passed
        return self.complete and not self.differences


def _differences(runs: Sequence[XtfRun]) -> Iterator[XtfDifference]:
    by_run = {run.title: run.by_name() for run in runs}
    names = dict.fromkeys(name for results in by_run.values() for name in results)
    for name in names if len(runs) > 1 else ():
        different = difference_of(name, {title: results.get(name) for title, results in by_run.items()})
        if different is not None:
            yield different


def difference_of(name: str, results: Mapping[str, XtfResult | None]) -> XtfDifference | None:
    """Return how the results of a test differ between runs; None if they do not."""
    verdicts = {title: "" if result is None else result.verdict.value for title, result in results.items()}
    printed = {title: result.output for title, result in results.items() if result is not None}
    same = all(lines == next(iter(printed.values())) for lines in printed.values())
    if same and len(set(verdicts.values())) == 1:
        return None
    only = {
        title: tuple(line for line in lines if _only_here(line, title, printed))
        for title, lines in printed.items()
    }
    return XtfDifference(name, verdicts, {title: lines for title, lines in only.items() if lines})


def _only_here(line: str, title: str, printed: Mapping[str, tuple[str, ...]]) -> bool:
    return not any(line in lines for other, lines in printed.items() if other != title)
