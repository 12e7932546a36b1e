"""The two sides of a comparison: Xens of the lab, which are booted, or recordings that exist."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

from xenapic.errors import DocumentInvalid, FileUnreadable
from xenapic.frozen import dataclass
from xenapic.parse.files import read_file
from xenapic.parse.jsontext import load
from xenapic.verify.compare import Comparison, compare
from xenapic.verify.guest import of_domain
from xenapic.verify.guest_records import GuestRecord
from xenapic.verify.matrix import APICV_OFF, cells, run_cells
from xenapic.verify.page import add, html_table, legend, page_of, register_map
from xenapic.verify.recording import Recording, read_recording
from xenapic.verify.select import selection_of

if TYPE_CHECKING:
    from xenapic.verify.matrix import Result

__all__ = ["Outcome", "Side", "booted", "compare_html", "compare_sides", "from_files", "recorded_at"]


@dataclass(frozen=True, slots=True)
class Side:
    """What one Xen did, by machine and options; several recordings of one if it was booted repeatedly."""

    name: str
    recordings: Mapping[str, tuple[Recording, ...]]
    failed: Mapping[str, str]
    """Why there is no recording, by machine and options."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The comparison of two sides."""

    first: Side
    second: Side
    comparisons: tuple[Comparison, ...]
    untested: Mapping[str, str]
    """What could not be compared, and why."""

    @property
    def differs(self) -> bool:
        """Whether anything differs."""
        return any(one.differences for one in self.comparisons)

    @property
    def complete(self) -> bool:
        """Whether everything was compared, and it was something."""
        return not self.untested and any(one.compared for one in self.comparisons)


def recorded_at(text: str) -> Path | None:
    """Return the path if a text names a recording, or a directory that has some; None otherwise."""
    path = Path(text)
    if path.is_file() and path.suffix == ".json":
        return path
    return path if path.is_dir() and any(path.glob("*.json")) else None


def from_files(path: Path) -> Side:
    """Read recordings; raise `FileUnreadable`, or `DocumentInvalid` for a file that is none."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    found: dict[str, list[Recording]] = {}
    for file in files:
        try:
            recording = read_recording(load(read_file(file)))
        except DocumentInvalid as error:
            raise error.in_file(str(file)) from None
        found.setdefault(_key(recording), []).append(recording)
    if not found:
        raise FileUnreadable(str(path), "it holds no recording")
    return Side(str(path), {name: tuple(several) for name, several in found.items()}, {})


def _key(recording: Recording) -> str:
    off = APICV_OFF in recording.xen_options
    return " ".join([recording.processor or "unknown processor", *([APICV_OFF] if off else [])])


def booted(
    names: Sequence[str],
    machines: Sequence[str],
    options: Sequence[str],
    repeat: int,
    jobs: int,
    done: Callable[[Result], None],
    select: str = "",
) -> dict[str, Side]:
    """Boot Xens of the lab and record what they do; return a side for each name."""
    wanted = [cell for cell in cells(machines, names, options) for _ in range(repeat)]
    results = run_cells(wanted, jobs, done, select)
    sides = {}
    for name in names:
        recordings: dict[str, list[Recording]] = {}
        failed = {}
        for result in results:
            if result.cell.xen != name:
                continue
            key = " ".join(filter(None, [result.cell.machine, result.cell.options]))
            if result.recording is None:
                failed[key] = result.error
            else:
                recordings.setdefault(key, []).append(result.recording)
        sides[name] = Side(name, {key: tuple(several) for key, several in recordings.items()}, failed)
    return sides


def compare_sides(first: Side, second: Side, select: str = "") -> Outcome:
    """Compare what both sides have of the same machine and options."""
    pairs, untested = _pairs(first, second)
    untested = {
        **untested,
        **{f"{name} of {s.name}": why for s in (first, second) for name, why in s.failed.items()},
    }
    comparisons = tuple(
        compare(name, first.recordings[ours], second.recordings[theirs]) for name, ours, theirs in pairs
    )
    comparisons = tuple(map(selection_of(select).comparison, comparisons))
    if not comparisons and not untested:
        untested = {"everything": "the two sides have no machine in common"}
    return Outcome(first, second, comparisons, untested)


def _pairs(first: Side, second: Side) -> tuple[list[tuple[str, str, str]], dict[str, str]]:
    """Return the keys that belong together, and what has no counterpart.

    Where each side has one recording of a processor, they belong together whatever Xen's options were.
    """
    pairs = [(name, name, name) for name in first.recordings if name in second.recordings]
    left = [name for name in first.recordings if name not in second.recordings]
    right = [name for name in second.recordings if name not in first.recordings]
    for ours in list(left):
        (machine, *_options) = ours.split()
        others = [theirs for theirs in right if theirs.split()[0] == machine]
        if len(others) == 1 and sum(name.split()[0] == machine for name in left) == 1:
            pairs.append((machine, ours, others[0]))
            left.remove(ours)
            right.remove(others[0])
    alone = {name: f"only {first.name} was recorded on it" for name in left if name not in second.failed}
    alone |= {name: f"only {second.name} was recorded on it" for name in right if name not in first.failed}
    return pairs, alone


# -- the page ----------------------------------------------------------------------------------------


def compare_html(outcome: Outcome) -> str:
    """Return a page: what differs on each machine, the costs, and the register maps side by side."""
    first, second = outcome.first, outcome.second

    def fill(body: Element) -> None:
        for name, why in outcome.untested.items():
            add(body, "p", f"not compared: {name}: {why}", "bad")
        legend(body, "the other Xen does something else")
        for one in outcome.comparisons:
            _section(body, one, first, second)

    return page_of(f"{first.name} and {second.name}, compared", fill)


def _section(body: Element, one: Comparison, first: Side, second: Side) -> None:
    add(body, "h2", f"{one.name}: {len(one.differences)} of {one.compared} values differ")
    if one.differences:
        rows = [(False, (d.topic, d.where, d.first, d.second)) for d in one.differences]
        body.append(html_table(("topic", "where", first.name, second.name), rows))
    if one.dearer:
        add(body, "p", f"Costs beyond the spread, in ticks: {len(one.dearer)} of {len(one.costs)} accesses")
        costs = [(False, (c.where, round(c.first), round(c.second), round(c.spread))) for c in one.dearer]
        body.append(html_table(("access", first.name, second.name, "spread"), costs))
    changed = {difference.where for difference in one.differences}
    theirs = {of_domain(guest): guest for guest in _guests(second, one.name)}
    for guest in _guests(first, one.name):
        other = theirs.get(of_domain(guest))
        if guest.failed is not None or other is None or other.failed is not None:
            continue
        sides = add(body, "div", "", "sides")
        for title, shown in ((first.name, guest), (second.name, other)):
            place = SubElement(sides, "div")
            add(place, "h3", title)
            register_map(place, shown, changed)


def _guests(side: Side, name: str) -> tuple[GuestRecord, ...]:
    """Return the guests of a side on a machine, as they were recorded first."""
    several = side.recordings.get(name) or next(
        recordings for key, recordings in side.recordings.items() if key.split()[0] == name
    )
    return several[0].guest
