"""Check the part of a recording that a guest measured from inside: CPUID, accesses, interrupts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from xenapic.apic.access import access, access_msr
from xenapic.apic.controls import Controls, violations
from xenapic.apic.features import Technology
from xenapic.apic.outcome import Backing, Kind, Operation, Outcome, SvmControls, SvmExit, VmxExit
from xenapic.apic.registers import SELF_IPI, Reg, msr_of, register
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.model.acceleration import HvmLeaf, VcpuApic
from xenapic.model.apicbits import ASKED, signed
from xenapic.model.emulation import apic_base_faults, guest_faults
from xenapic.model.flags import MISC, PHYSCAP, names
from xenapic.probe.findings import PERIODS, Op
from xenapic.probe.mailbox import REPEATS
from xenapic.verify.check import COST, FAILED, LOST, NO_ANSWER, Check, Verdict, compare, not_covered
from xenapic.verify.gaps import gap_of, no_guest
from xenapic.verify.guest_records import (
    UNRECORDED,
    AccessRecord,
    ExitsRecord,
    GuestRecord,
    LevelRecord,
    MoveRecord,
    PairRecord,
)
from xenapic.verify.recording import HintsRecord, RestoredRecord, VmcsRecord
from xenapic.verify.subject import Subject
from xenapic.verify.unusual import by_cr8, by_page, expected_values, operation_of, page_words

__all__ = ["flags_shown", "guest_checks", "no_answer", "of_domain"]

STAYS_BELOW, LEAVES_ABOVE = 100, 300
"""Ticks per access. On emulated processors an access costs at most 12 without an exit, at least 700 with one;
between the two limits the cost is inconclusive."""
FAULT = {True: "#GP(0)", False: "no fault"}
X2APIC_BIT = 1 << 21
"""CPUID leaf 1 ECX."""


InDomain = VmcsRecord | GuestRecord | LevelRecord | PairRecord | RestoredRecord | HintsRecord
"""A record that is about a domain with certain flags."""


def of_domain(record: VmcsRecord | GuestRecord | LevelRecord | RestoredRecord) -> str:
    """Return the words for the domain that a record is about."""
    return f"{flags_shown(record)}, {record.apic_mode.value}"


def flags_shown(record: InDomain) -> str:
    """Return the words for the flags of the domain that a record is about."""
    known = "|".join(names(MISC(record.misc_flags & ~ASKED)))
    asked = signed(record.misc_flags)
    return f"misc_flags {' '.join(filter(None, (known, asked))) or '0'}"


@dataclass(frozen=True)
class _Guest:
    """One guest's record, and the model's view of it."""

    record: GuestRecord
    subject: Subject
    vcpu: VcpuApic
    where: str

    @property
    def state(self) -> ApicState:
        return self.vcpu.state

    @property
    def page(self) -> Backing:
        """What is behind the page at the default base where nothing virtualizes it."""
        return self.subject.page(self.record.misc_flags)


def guest_checks(record: GuestRecord, subject: Subject) -> Iterator[Check]:
    """Yield every check of one guest."""
    guest = _Guest(record, subject, subject.vcpu(record.misc_flags, record.apic_mode), of_domain(record))
    if record.failed is not None:
        yield no_answer(record, NO_ANSWER, guest.where, subject, record.failed)
        return
    if isinstance(guest.vcpu.controls, Controls):
        broken = [rule.code for rule in violations(guest.vcpu.controls)]
        yield compare("VM entry", guest.where, ", ".join(broken) or "succeeds", "succeeds")
    if record.apic_base is not None:
        state = ApicState.from_apic_base(record.apic_base)
        yield compare("guest", f"{guest.where}, APIC_BASE", guest.state.value, state.value)
    yield from _cpuid(guest)
    for made in (*record.accesses, *record.extra):
        yield from _access(made, guest)
    for number, made in enumerate(record.page):
        yield from _page(made, guest, record.page[:number])
    for made in record.msrs:
        yield from _msr(made, guest)
    yield from _unusual(guest)
    yield from _deliveries(guest)
    if record.move is not None and record.apic_base is not None:
        yield from _move(record.move, record.apic_base, guest)
    if record.exits is not None:
        yield from _exits(record.exits, guest)


def no_answer(
    record: GuestRecord | PairRecord | LevelRecord | HintsRecord,
    topic: str,
    where: str,
    subject: Subject,
    failed: str,
) -> Check:
    """Return the check of a guest that gave no answer.

    Where a domain chooses its controls, this disagrees: other domains show what the machine can do. Elsewhere
    the machine may be the reason.
    """
    gap = no_guest(subject.emulator, subject.vcpu(record.misc_flags, ApicState.XAPIC).controls)
    if gap or not subject.report.per_control:
        return not_covered(topic, where, failed, gap or FAILED)
    return compare(topic, where, "an answer", failed)


def _cpuid(guest: _Guest) -> Iterator[Check]:
    record, subject = guest.record, guest.subject
    if record.cpuid_40000004_eax is not None:
        predicted = subject.leaf(record.misc_flags)
        seen = HvmLeaf(record.cpuid_40000004_eax)
        yield compare("CPUID", f"{guest.where}, base+4 EAX", _named(predicted), _named(seen))
    if record.cpuid_1_ecx is not None:
        x2apic = "x2APIC" if record.cpuid_1_ecx & X2APIC_BIT else "no x2APIC"
        yield not_covered(
            "CPUID", f"{guest.where}, 1 ECX", x2apic, "the toolstack decides what the guest sees here"
        )


def _named(leaf: HvmLeaf) -> str:
    return "|".join(names(leaf)) or "0"


# -- accesses ----------------------------------------------------------------------------------------


def _access(made: AccessRecord, guest: _Guest) -> Iterator[Check]:
    """Check an access made the way a guest in its state makes it."""
    operation, value = operation_of(made)
    outcome = _as_usual(made, guest)
    where = f"{guest.where}, {made.op.value} {made.offset:03x} ({register(made.offset).name})"
    faults = guest_faults(outcome, guest.state, made.offset, operation, value)
    yield from _effects(made, outcome, faults, where, guest)
    if made.offset == Reg.LVR and made.op is Op.READ:
        yield _behind(made, outcome, f"{where}, value", answers=guest.state is not ApicState.DISABLED)


def _as_usual(made: AccessRecord, guest: _Guest) -> Outcome:
    operation, value = operation_of(made)
    vcpu = guest.vcpu
    return access(
        vcpu.controls, vcpu.state, vcpu.bitmap, made.offset, operation, value=value, backing=vcpu.backing
    )


def _page(made: AccessRecord, guest: _Guest, before: Sequence[AccessRecord]) -> Iterator[Check]:
    """Check an access to the page at the default base; ``before`` are the earlier ones to the page."""
    outcome = _by_page(made, guest)
    where = f"{guest.where}, page {made.op.value} {made.offset:03x}"
    yield from _effects(made, outcome, False, where, guest)
    if made.op is Op.WRITE:
        return
    written = [earlier.value for earlier in before if earlier.op is Op.WRITE]
    if outcome.kind is Kind.MEMORY and written:
        yield compare("access", f"{where}, value", f"{written[-1]:#x}", f"{made.value:#x}")
    else:
        yield _behind(made, outcome, f"{where}, value", answers=guest.state is ApicState.XAPIC)


def _by_page(made: AccessRecord, guest: _Guest) -> Outcome:
    return by_page(made, guest.vcpu, guest.page)


def _msr(made: AccessRecord, guest: _Guest) -> Iterator[Check]:
    """Check an access by MSR, whatever the state."""
    operation, value = operation_of(made)
    outcome = _by_msr(made, guest)
    if guest.state is ApicState.X2APIC:
        faults = guest_faults(outcome, guest.state, made.offset, operation, value)
    else:
        faults = outcome.kind.leaves  # Xen has no x2APIC to show
    name = "RDMSR" if made.op is Op.READ else "WRMSR"
    yield from _effects(made, outcome, faults, f"{guest.where}, {name} {msr_of(made.offset):x}", guest)


def _by_msr(made: AccessRecord, guest: _Guest) -> Outcome:
    operation, value = operation_of(made)
    vcpu, offset = guest.vcpu, made.offset
    if isinstance(vcpu.controls, SvmControls):
        return access(vcpu.controls, ApicState.X2APIC, vcpu.bitmap, offset, operation, value=value)
    return access_msr(vcpu.controls, vcpu.bitmap, msr_of(offset), operation, value=value)


QEMU_CR8 = "QEMU 7.2 lets reserved bits of CR8 be written (helper_write_crN)"


def _unusual(guest: _Guest) -> Iterator[Check]:
    """Check accesses by CR8, and those to the page in other widths, at other places, and to fetch code."""
    record = guest.record
    for made in record.cr8:
        outcome = by_cr8(made, guest.vcpu)
        faults, where = outcome.kind is Kind.FAULTS, f"{guest.where}, CR8 {made.op.value}"
        if faults and isinstance(guest.vcpu.controls, SvmControls) and not made.faulted:
            yield not_covered("access", where, "no fault", QEMU_CR8)
        else:
            yield from _effects(made, outcome, faults, where, guest)
    for made in record.unusual:
        outcome = _by_page(made, guest)
        faults = made.op is Op.FETCH and outcome.kind.leaves  # Xen emulates no code there
        yield from _effects(made, outcome, faults, f"{guest.where}, {page_words(made)}", guest)
    for words, predicted, made in expected_values(record, guest.vcpu, guest.page):
        yield compare("access", f"{guest.where}, {words}, value", f"{predicted:#x}", f"{made.value:#x}")


def _outcomes(guest: _Guest) -> Iterator[tuple[AccessRecord, Outcome]]:
    """Yield every access of the guest with the outcome that the model predicts."""
    record = guest.record
    for made in (*record.accesses, *record.extra):
        yield made, _as_usual(made, guest)
    for made in record.page:
        yield made, _by_page(made, guest)
    for made in record.msrs:
        yield made, _by_msr(made, guest)
    for made in record.cr8:
        yield made, by_cr8(made, guest.vcpu)
    for made in record.unusual:
        yield made, _by_page(made, guest)
    if record.cr8_in_tpr is not None:
        yield record.cr8_in_tpr, _as_usual(record.cr8_in_tpr, guest)


def _effects(
    made: AccessRecord, outcome: Outcome, faults: bool, where: str, guest: _Guest
) -> Iterator[Check]:
    """Check whether an access left the guest, and whether it faulted."""
    yield _left(made, outcome, where, guest)
    if made.fault is not UNRECORDED:
        yield compare("access", f"{where}, fault", FAULT[faults], FAULT[made.faulted])


def _left(made: AccessRecord, outcome: Outcome, where: str, guest: _Guest) -> Check:
    """Check by its cost whether an access left the guest; the probe's own calibration is preferred."""
    ticks, low, high = made.ticks_per_access, STAYS_BELOW, LEAVES_ABOVE
    calibration = guest.record.calibration
    if calibration is not None and made.ticks_min is not None:
        ticks, low, high = made.ticks_min, calibration.threshold, calibration.threshold
    recorded = f"{ticks} ticks"
    if outcome.kind in (Kind.UNKNOWN, Kind.DEPENDS):
        return Check(
            "access", where, Verdict.NOT_COVERED, str(outcome), recorded, "the model has no prediction"
        )
    if low < ticks < high:
        return Check("access", where, Verdict.NOT_COVERED, str(outcome), recorded, COST)
    left = ticks >= high
    gap = gap_of(guest.subject.emulator, guest.vcpu, made.op, made.offset) if left else None
    if gap is not None and not outcome.kind.leaves:
        return Check("access", where, Verdict.NOT_COVERED, str(outcome), f"left, {recorded}", gap.why)
    verdict = Verdict.AGREES if left is outcome.kind.leaves else Verdict.DISAGREES
    return Check("access", where, verdict, str(outcome), f"{'left' if left else 'stayed'}, {recorded}")


APIC, MEMORY, NOBODY = "an APIC's version", "plain memory (0)", "nothing (all ones)"
ALL_ONES = 0xFFFFFFFF


def _behind(made: AccessRecord, outcome: Outcome, where: str, *, answers: bool) -> Check:
    """Check what is behind the version register; ``answers``: Xen's APIC answers an access that exits."""
    if outcome.kind is Kind.MEMORY:
        predicted = MEMORY
    else:
        predicted = APIC if answers or outcome.kind is Kind.STAYS else NOBODY
    recorded = {0: MEMORY, ALL_ONES: NOBODY}.get(made.value, APIC)
    return compare("access", where, predicted, recorded)


# -- the second witness: Xen's trace -----------------------------------------------------------------

COUNTED = {
    Technology.VMX: (
        *(VmxExit.RDMSR, VmxExit.WRMSR, VmxExit.APIC_ACCESS),
        *(VmxExit.EPT_VIOLATION, VmxExit.APIC_WRITE),
    ),
    Technology.SVM: (SvmExit.MSR, SvmExit.NPF),
}
"""Exits that only accesses cause; the others (CPUID, interrupts) have other causes too."""
PAGE_FAULT_EXIT = 0
"""Exit reason "exception or NMI": without EPT, shadow paging finds an access to what is not mapped."""
OTHER_EXITS = 128
"""Limit for the exits that the rest of the probe causes: for interrupts, and to move its APIC. Seen: at most
76, on AMD in x2APIC mode, where every one of these accesses exits."""
EXITS_OF_ARRIVAL = 2
"""An interrupt has an end, and a periodic one may come more often than the guest waits for."""


def _exits(counted: ExitsRecord, guest: _Guest) -> Iterator[Check]:
    """Check the exits that Xen's trace counted: at least every access that must exit, and few others."""
    expected: Counter[int] = Counter()
    for made, outcome in _outcomes(guest):
        if gap_of(guest.subject.emulator, guest.vcpu, made.op, made.offset) is not None:
            continue  # it exits for another reason
        if outcome.reason is not None and outcome.kind.leaves:
            expected[int(outcome.reason)] += REPEATS if made.times is None else made.times
    others = OTHER_EXITS + EXITS_OF_ARRIVAL * sum(made.arrivals for made in guest.record.deliveries)
    technology = guest.subject.technology
    for reason in COUNTED[technology] if technology else ():
        at_least, number = expected[int(reason)], counted.by_reason.get(int(reason), 0)
        where = f"{guest.where}, trace, {reason.name}"
        if reason is VmxExit.EPT_VIOLATION and not guest.subject.report.physinfo.capabilities & PHYSCAP.hap:
            number = counted.by_reason.get(PAGE_FAULT_EXIT, 0)
            where = f"{guest.where}, trace, page faults of shadow paging"
        predicted = f"{at_least} to {at_least + others} exits"
        if not counted.complete:
            yield Check("exits", where, Verdict.NOT_COVERED, predicted, f"{number} exits", LOST)
            continue
        right = at_least <= number <= at_least + others
        verdict = Verdict.AGREES if right else Verdict.DISAGREES
        yield Check("exits", where, verdict, predicted, f"{number} exits")


# -- interrupts, and moving the APIC -----------------------------------------------------------------


def _deliveries(guest: _Guest) -> Iterator[Check]:
    """Check interrupts that the guest sent itself, or its timer: each arrives once where there is an APIC."""
    vcpu = guest.vcpu
    sent = access(
        vcpu.controls, vcpu.state, vcpu.bitmap, Reg.ICR, Operation.WRITE, value=SELF_IPI, backing=vcpu.backing
    )
    predicted = 0 if sent.kind is Kind.MEMORY else 1
    for delivery in guest.record.deliveries:
        where = f"{guest.where}, {delivery.kind.value}"
        words = {True: f"arrives {predicted * PERIODS} times or more", False: f"arrives {predicted} times"}
        said = words[delivery.kind.repeats and predicted > 0]
        right = delivery.kind.repeats and predicted and delivery.arrivals >= PERIODS
        yield compare("interrupt", where, said, said if right else f"arrives {delivery.arrivals} times")


def _move(move: MoveRecord, before: int, guest: _Guest) -> Iterator[Check]:
    """Check a guest's attempt to move its APIC by WRMSR of IA32_APIC_BASE, which held ``before``."""
    where = f"{guest.where}, WRMSR APIC_BASE {move.asked:#x}"
    faults = apic_base_faults(before, move.asked)
    yield compare("guest", where, FAULT[faults], FAULT[move.fault is not None])
    after = before if faults else move.asked
    yield compare("guest", f"{where}, then reads", f"{after:#x}", f"{move.apic_base:#x}")
