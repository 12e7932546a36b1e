"""Whether a version of Xen has a known defect: yes, no, or it depends, each with the reason in words.

The answer goes by upstream's numbers. A distribution's package may have a fix that its number does not show.
"""

from __future__ import annotations

from xenapic.frozen import dataclass
from xenapic.model.defects import DEFECTS, NEVER, Defect
from xenapic.model.facts import Answer
from xenapic.parse.xenversion import FINAL, Point, XenVersion

__all__ = ["CHECKED_TO", "Fate", "fate", "fates"]

CHECKED_TO = (4, 22)
"""The last branch whose history the table covers."""
OLDEST = (4, 0)
NOT_COVERED = f"the table of defects covers Xen {OLDEST[0]}.{OLDEST[1]} to {CHECKED_TO[0]}.{CHECKED_TO[1]}"


@dataclass(frozen=True, slots=True)
class Fate:
    """What the table says about a defect in a version of Xen."""

    defect: Defect
    answer: Answer
    """Unknown where it depends on something that the version does not say."""
    text: str
    """The answer in words, with the version that has the fix."""

    def __str__(self) -> str:
        return self.text


def fate(defect: Defect, version: XenVersion) -> Fate:
    """Return whether a version has a defect, by upstream's numbers."""
    if not OLDEST <= version.number <= CHECKED_TO:
        return Fate(defect, Answer.UNKNOWN, f"unknown: {NOT_COVERED}")
    points = _points(version)
    has = {defect.has(point) for point in points}
    if len(has) > 1:
        return Fate(defect, Answer.UNKNOWN, _depends(defect, version, points))
    if has == {True}:
        return Fate(defect, Answer.YES, _present(defect, version, points[-1]))
    if version.last < _first(defect) and defect.since.startswith("before"):
        return Fate(defect, Answer.UNKNOWN, f"unknown: when it came is not known (since {defect.since})")
    return Fate(defect, Answer.NO, _absent(defect, version))


def fates(version: XenVersion) -> tuple[Fate, ...]:
    """Return what the table says about every defect in a version, in its order."""
    return tuple(fate(defect, version) for defect in DEFECTS)


def _points(version: XenVersion) -> list[Point]:
    """Return the points of history at which an answer for the version can change."""
    major, minor = version.number
    if version.first == version.last and version.first[3] == 0:  # a snapshot: between two branches
        return [(major, minor - 1, 0, FINAL), version.first, (major, minor, 0, FINAL)]
    inside = [
        edge
        for defect in DEFECTS
        for pair in defect.intervals
        for edge in pair
        if version.first < edge <= version.last and edge != NEVER
    ]
    return sorted({version.first, version.last, *inside})


def _first(defect: Defect) -> Point:
    return defect.intervals[0][0] if defect.intervals else NEVER


def _present(defect: Defect, version: XenVersion, point: Point) -> str:
    end = defect.fixed_after(point)
    if end.startswith(_branch(version)):
        return f"yes; fixed in {end}{_backported(version)}"
    if not defect.spans[-1][1]:
        return "yes; no release has a fix"
    return f"yes; this branch was never fixed, the first fixed later one is {end}{_backported(version)}"


def _branch(version: XenVersion) -> str:
    return "{}.{}.".format(*version.number)


def _backported(version: XenVersion) -> str:
    if version.distribution is None:
        return ""
    maker = version.distribution
    return f"; by upstream's numbers: {maker.name} may have backported it, see {maker.see}"


def _absent(defect: Defect, version: XenVersion) -> str:
    if not defect.spans:
        return "no; no release has it"
    pairs = list(zip(defect.spans, defect.intervals, strict=True))
    ended = [span[1] for span, (_, end) in pairs if end <= version.first]
    if not ended:
        return f"no; it came later (since {defect.since})"
    later = [span[0] for span, (first, _) in pairs if first > version.last]
    if later and later[0].startswith(_branch(version)):
        return f"no; this branch has it since {later[0]}"
    if ended[-1].startswith(_branch(version)):
        return f"no; fixed in {ended[-1]}"
    return "no; fixed before this branch's .0"


def _depends(defect: Defect, version: XenVersion, points: list[Point]) -> str:
    ends = dict.fromkeys(
        span[1]
        for span, (first, end) in zip(defect.spans, defect.intervals, strict=True)
        if any(first <= point < end for point in points) and span[1]
    )
    if version.first[3] == 0:
        ends = dict.fromkeys([f"{_branch(version)}0"] if ends else ())
    starts = [
        span[0]
        for span, (first, _) in zip(defect.spans, defect.intervals, strict=True)
        if points[0] < first <= points[-1]
    ]
    parts = [f"since {', '.join(starts)}"] if starts else []
    parts += [f"fixed in {', '.join(ends)}"] if ends else []
    return f"it depends on the exact version ({'; '.join(parts)}){_backported(version)}"
