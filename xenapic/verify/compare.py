"""Compare recordings of two Xens with each other, value by value; the model has no part in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace

from xenapic.apic.controls import CONTROLS
from xenapic.apic.features import CONTROL_FIELDS, Technology
from xenapic.apic.outcome import SvmExit, VmxExit
from xenapic.apic.registers import Reg, msr_of, register
from xenapic.apic.state import ApicState
from xenapic.errors import errno_name
from xenapic.exits.reasons import reason_name
from xenapic.frozen import dataclass
from xenapic.model.acceleration import HvmLeaf
from xenapic.model.apicbits import ASKED, FIRST_BITS
from xenapic.model.config import CreateRequest
from xenapic.model.flags import PHYSCAP, PHYSCAP_X86, names
from xenapic.model.ipi import LOWEST_PRIORITY
from xenapic.probe.findings import PERIODS, Op
from xenapic.verify.guest import of_domain
from xenapic.verify.guest_records import AccessRecord, DeliveryRecord, ExitsRecord, GuestRecord, PairRecord
from xenapic.verify.level import level_values
from xenapic.verify.page import LEGEND, Shown, shown
from xenapic.verify.pair import ipi_words, of_pair
from xenapic.verify.recording import CreateRecord, Recording, VmcsRecord
from xenapic.verify.unusual import page_words

__all__ = ["ABSENT", "Comparison", "Cost", "Difference", "compare", "merged", "nothing_asked"]

ABSENT = "not recorded"
"""In place of a value that only one of the two has."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that is not the same in both."""

    topic: str
    where: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.where}: {self.first}, then {self.second}"


@dataclass(frozen=True, slots=True)
class Cost:
    """What an access costs at least in both, in TSC ticks; its outcome is the same."""

    where: str
    first: float
    second: float
    spread: float
    """How far the costs of the same access lie apart in the two Xens' own recordings, added up."""

    @property
    def differs(self) -> bool:
        """Whether the costs are further apart than the spread explains."""
        return abs(self.first - self.second) > self.spread


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two recordings of the same machine, compared."""

    name: str
    """The machine, and ``apicv=0`` if Xen was booted with it."""
    compared: int
    """The number of values that at least one of the two has."""
    differences: tuple[Difference, ...]
    costs: tuple[Cost, ...]

    @property
    def dearer(self) -> tuple[Cost, ...]:
        """The costs that differ beyond the spread."""
        return tuple(cost for cost in self.costs if cost.differs)


Place = tuple[str, str]


def compare(name: str, first: Sequence[Recording], second: Sequence[Recording]) -> Comparison:
    """Compare two Xens on one machine; each may have been recorded several times.

    A value that is not the same in each recording of a Xen is compared as the set of what was seen. If only
    one of the two lets a domain choose its controls (the proposal), only what was recorded with nothing asked
    is compared. Creates that only one of them was sent, and kinds of guests that only one of them ran, tell
    nothing: other versions of xenapic recorded them.
    """
    chosen = [all(recording.per_control for recording in side) for side in (first, second)]
    if chosen[0] is not chosen[1]:
        first, second = [*map(nothing_asked, first)], [*map(nothing_asked, second)]
    first, second = _of_common_kinds(first, second), _of_common_kinds(second, first)
    ours, theirs = merged(first), merged(second)
    common = ours.keys() & theirs.keys()
    ours, theirs = (
        {place: value for place, value in side.items() if place[0] != "create" or place in common}
        for side in (ours, theirs)
    )
    places = list(dict.fromkeys([*ours, *theirs]))
    differences = tuple(
        Difference(*place, ours.get(place, ABSENT), theirs.get(place, ABSENT))
        for place in places
        if ours.get(place, ABSENT) != theirs.get(place, ABSENT)
    )
    changed = {one.where for one in differences if one.topic in ACCESSES}
    return Comparison(name, len(places), differences, tuple(_costs(first, second, changed)))


def nothing_asked(recording: Recording) -> Recording:
    """Return the part of a recording for which no control was turned on or off."""
    words = recording.physinfo
    shown = None if words.arch_capabilities is None else words.arch_capabilities & FIRST_BITS
    return replace(
        recording,
        physinfo=replace(words, arch_capabilities=shown),
        create=tuple(one for one in recording.create if not one.misc_flags & ASKED),
        vmcs=tuple(one for one in recording.vmcs if not one.misc_flags & ASKED),
        guest=tuple(one for one in recording.guest if not one.misc_flags & ASKED),
        pairs=tuple(one for one in recording.pairs if not one.misc_flags & ASKED),
        levels=tuple(one for one in recording.levels if not one.misc_flags & ASKED),
        viridian=(),
        restored=(),
    )


def _of_common_kinds(recordings: Sequence[Recording], others: Sequence[Recording]) -> list[Recording]:
    """Return recordings without the kinds of guests of which the others have none."""
    pairs, levels = any(one.pairs for one in others), any(one.levels for one in others)
    return [
        replace(one, pairs=one.pairs if pairs else (), levels=one.levels if levels else ())
        for one in recordings
    ]


def merged(recordings: Sequence[Recording]) -> dict[Place, str]:
    """Return each value by its place; several values where recordings of the same Xen differ."""
    seen: dict[Place, dict[str, None]] = {}
    for recording in recordings:
        for place, value in _values(recording):
            seen.setdefault(place, {})[value] = None
    return {place: " or ".join(sorted(values)) for place, values in seen.items()}


def _values(recording: Recording) -> Iterator[tuple[Place, str]]:
    seen: Counter[Place] = Counter()
    for topic, where, value in _each(recording):
        seen[topic, where] += 1
        again = seen[topic, where]
        yield (topic, where if again == 1 else f"{where} (time {again})"), value


def _each(recording: Recording) -> Iterator[tuple[str, str, str]]:
    for line in recording.features or ():
        yield "boot log", line, "a line"
    words = recording.physinfo
    yield "physinfo", "capabilities", _named(PHYSCAP(words.capabilities))
    if words.arch_capabilities is not None:
        yield "physinfo", "arch_capabilities", _named(PHYSCAP_X86(words.arch_capabilities))
    for created in recording.create:
        yield "create", _request(created), errno_name(created.errno) if created.errno else "created"
    for vmcs in recording.vmcs:
        yield from _vmcs(vmcs)
    for guest in recording.guest:
        yield from _guest(guest, recording.vmcs)
    for pair in recording.pairs:
        yield from _pair(pair)
    for level in recording.levels:
        yield from level_values(level)


def _pair(pair: PairRecord) -> Iterator[tuple[str, str, str]]:
    at = of_pair(pair)
    yield "guest", at, "answers" if pair.failed is None else f"no answer: {pair.failed}"
    for sent in pair.ipis:
        times = " and ".join(map(str, sent.arrivals))
        if sent.kind.bits & LOWEST_PRIORITY:
            times = f"{sum(sent.arrivals)} in all"  # which vCPU gets it goes in turns
        yield "interrupt", f"{at}, {ipi_words(sent)}", f"arrives {times} times"


def _named(flags: PHYSCAP | PHYSCAP_X86 | HvmLeaf) -> str:
    return ", ".join(names(flags)) or "0"


REQUEST = tuple(field.name for field in fields(CreateRequest))
ALWAYS = ("flags", "emulation_flags", "misc_flags")
USUAL = {field.name: field.default for field in fields(CreateRecord)}


def _request(created: CreateRecord) -> str:
    values = {name: getattr(created, name) for name in REQUEST}
    return ", ".join(f"{n} {v:#x}" for n, v in values.items() if n in ALWAYS or v != USUAL[n])


def _vmcs(words: VmcsRecord) -> Iterator[tuple[str, str, str]]:
    """Yield each control of the words by its name, and the bits without one together."""
    for key, field in CONTROL_FIELDS.items():
        word = words.word(field)
        if word is None:
            continue
        for control, (where, bit) in CONTROLS.items():
            if where == key:
                yield "VMCS", f"{of_domain(words)}, {control}", "set" if word & bit else "clear"
                word &= ~bit
        yield "VMCS", f"{of_domain(words)}, other bits of {field.recorded}", f"{word:#x}"


# -- guests ------------------------------------------------------------------------------------------

ACCESSES = ("access", "page", "MSR")
BY_TIME = {
    0: "exception: #NM, where a vector instruction is the first since the vCPU was scheduled",
    1: "external interrupt",
    7: "interrupt window",
    40: "PAUSE",
    71: "#NM",
    96: "INTR",
    100: "VINTR",
    119: "PAUSE of SVM, which exits once in a number of times",
}
"""Exits whose number depends on time; from `FIRST_OF_SVM` on they are SVM's.

The number of all others is the same in each run: none differs between the recordings of 4.16 to 4.22."""
FIRST_OF_SVM = 96


def _guest(guest: GuestRecord, vmcs: Sequence[VmcsRecord]) -> Iterator[tuple[str, str, str]]:
    at = of_domain(guest)
    if guest.failed is not None:
        yield "guest", at, f"no answer: {guest.failed}"
        return
    yield "guest", at, "answers"
    if guest.cpuid_40000004_eax is not None:
        yield "CPUID", f"{at}, base+4 EAX", _named(HvmLeaf(guest.cpuid_40000004_eax))
    if guest.cpuid_1_ecx is not None:
        yield "CPUID", f"{at}, 1 ECX", f"{guest.cpuid_1_ecx:#x}"
    if guest.apic_base is not None:
        yield "guest", f"{at}, APIC_BASE", f"{guest.apic_base:#x}"
    for topic, where, made in _accesses(guest):
        fault = f", exception {made.fault}" if made.faulted else ""
        yield topic, where, LEGEND[shown(guest, made)].partition(":")[0] + fault
    for delivery in guest.deliveries:
        yield "interrupt", f"{at}, {delivery.kind.value}", _arrivals(delivery)
    if guest.move is not None:
        move, where = guest.move, f"{at}, WRMSR APIC_BASE {guest.move.asked:#x}"
        yield "guest", where, "no fault" if move.fault is None else f"exception {move.fault}"
        yield "guest", f"{where}, then reads", f"{move.apic_base:#x}"
    if guest.exits is not None and guest.exits.complete:
        end, surplus = _end_exit(guest, vmcs), sum(map(_surplus, guest.deliveries))
        for reason, number in guest.exits.by_reason.items():
            if reason not in BY_TIME:
                counted = number - surplus if reason == end else number
                yield "exits", f"{at}, {_reason(guest.exits, reason)}", str(counted)


def _surplus(delivery: DeliveryRecord) -> int:
    """Return how often a periodic timer fired before the guest had stopped it: that depends on time."""
    return max(0, delivery.arrivals - PERIODS) if delivery.kind.repeats else 0


def _arrivals(delivery: DeliveryRecord) -> str:
    often = delivery.arrivals - _surplus(delivery)
    more = " or more" if delivery.kind.repeats and often == PERIODS else ""
    return f"arrives {often} times{more}"


def _end_exit(guest: GuestRecord, vmcs: Sequence[VmcsRecord]) -> int | None:
    """Return the reason of the exit that each end of an interrupt causes; None where it causes none."""
    ends = [made for made in guest.accesses if made.offset == Reg.EOI and made.op is Op.WRITE]
    if guest.exits is None or not ends or shown(guest, ends[0]) is not Shown.LEAVES:
        return None
    svm = _of_svm(guest.exits)
    if guest.apic_mode is ApicState.X2APIC:
        return SvmExit.MSR if svm else VmxExit.WRMSR
    if svm:
        return SvmExit.NPF
    if guest.apic_mode is not ApicState.XAPIC:
        return VmxExit.EPT_VIOLATION
    words = [one.secondary or 0 for one in vmcs if of_domain(one) == of_domain(guest)]
    registers = CONTROLS["apic_register_virtualization"][1]
    return VmxExit.APIC_WRITE if any(word & registers for word in words) else VmxExit.APIC_ACCESS


def _reason(exits: ExitsRecord, number: int) -> str:
    """Return the name of an exit."""
    technology = Technology.SVM if _of_svm(exits) else Technology.VMX
    return f"{reason_name(technology, number)} ({number})"


def _of_svm(exits: ExitsRecord) -> bool:
    return max(exits.by_reason) >= FIRST_OF_SVM  # CPUID, which always exits, is 114


def _accesses(guest: GuestRecord) -> Iterator[tuple[str, str, AccessRecord]]:
    at = of_domain(guest)
    for made in (*guest.accesses, *guest.extra):
        yield "access", f"{at}, {_words(made)}", made
    for made in guest.page:
        yield "page", f"{at}, {_words(made)} at FEE00000", made
    for made in guest.msrs:
        yield "MSR", f"{at}, {'RDMSR' if made.op is Op.READ else 'WRMSR'} {msr_of(made.offset):x}", made
    for made in guest.cr8:
        yield "access", f"{at}, CR8 {made.op.value}", made
    for made in guest.unusual:
        yield "page", f"{at}, {page_words(made)}", made


def _words(made: AccessRecord) -> str:
    written = f" := {made.value:#x}" if made.op is Op.WRITE else ""
    return f"{made.op.value} {made.offset:03x} ({register(made.offset).name}){written}"


# -- costs -------------------------------------------------------------------------------------------


def _costs(first: Sequence[Recording], second: Sequence[Recording], changed: set[str]) -> Iterator[Cost]:
    """Yield the cost of each access whose outcome did not change."""
    ours, theirs = _ticks(first), _ticks(second)
    for where in ours:
        if where in theirs and where not in changed:
            (a, near), (b, far) = _middle(ours[where]), _middle(theirs[where])
            yield Cost(where, a, b, near + far)


def _middle(tries: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the middle of the costs and the spread: between recordings, and within one."""
    costs = [cost for cost, _spread in tries]
    low, high = min(costs), max(costs)
    return (low + high) / 2, max((high - low) / 2, *(spread for _cost, spread in tries))


def _ticks(recordings: Sequence[Recording]) -> Mapping[str, list[tuple[float, float]]]:
    """Return the cheapest try of each access in each recording, and how far the mean lies above it."""
    found: dict[str, list[tuple[float, float]]] = {}
    for recording in recordings:
        for guest in recording.guest:
            overhead = guest.calibration.overhead if guest.calibration else 0
            seen: Counter[str] = Counter()
            for _topic, where, made in _accesses(guest):
                seen[where] += 1
                place = where if seen[where] == 1 else f"{where} (time {seen[where]})"
                least = made.ticks_per_access if made.ticks_min is None else made.ticks_min - overhead
                spread = abs(made.ticks_per_access - least)
                found.setdefault(place, []).append((least, max(spread, 1.0)))
    return found
