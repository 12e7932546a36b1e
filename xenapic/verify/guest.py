"""The part of a recording that a guest measured from inside: CPUID, accesses, interrupts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from xenapic.apic.access import access, access_msr, access_page
from xenapic.apic.controls import Controls, violations
from xenapic.apic.features import Technology
from xenapic.apic.outcome import Kind, Operation, Outcome, SvmControls, SvmExit, VmxExit
from xenapic.apic.registers import SELF_IPI, Reg, msr_of, register
from xenapic.apic.state import ApicState
from xenapic.model.acceleration import HvmLeaf, VcpuApic, cpuid_leaf, domain_choice
from xenapic.model.emulation import apic_base_faults, guest_faults
from xenapic.model.flags import MISC, names
from xenapic.verify.check import Check, Verdict, beside, compare
from xenapic.verify.subject import Subject

__all__ = ["guest_checks", "of_domain"]

STAYS_BELOW, LEAVES_ABOVE = 100, 300
"""Ticks per access. Emulated processors: at most 12 when it stays, at least 700 when it leaves. Between
the two nothing is concluded."""
FAULT = {True: "#GP(0)", False: "no fault"}
X2APIC_BIT = 1 << 21
"""CPUID leaf 1 ECX."""


def of_domain(entry: Mapping[str, Any]) -> str:
    """Return the words for the domain that an entry is of."""
    flags = MISC(entry.get("misc_flags", 0))
    return f"misc_flags {'|'.join(names(flags)) or '0'}, {entry['apic_mode']}"


@dataclass(frozen=True)
class _Guest:
    """One guest's entry, and what the model has for it."""

    entry: Mapping[str, Any]
    subject: Subject
    vcpu: VcpuApic
    where: str

    @property
    def state(self) -> ApicState:
        return self.vcpu.state


def guest_checks(entry: Mapping[str, Any], subject: Subject) -> Iterator[Check]:
    """Yield every check of one guest's entry."""
    state = ApicState(entry["apic_mode"])
    guest = _Guest(entry, subject, subject.vcpu(entry.get("misc_flags", 0), state), of_domain(entry))
    if "failed" in entry:
        yield beside("guest", guest.where, str(entry["failed"]), "not testable here")
        return
    if isinstance(guest.vcpu.controls, Controls):
        broken = [rule.code for rule in violations(guest.vcpu.controls)]
        yield compare("VM entry", guest.where, ", ".join(broken) or "succeeds", "succeeds")
    if "apic_base" in entry:
        found = ApicState.from_apic_base(entry["apic_base"])
        yield compare("guest", f"{guest.where}, APIC_BASE", state.value, found.value)
    yield from _cpuid(guest)
    for one in (*entry.get("accesses", ()), *entry.get("extra", ())):
        yield from _access(one, guest)
    for number, one in enumerate(entry.get("page", ())):
        yield from _page(one, guest, entry["page"][:number])
    for one in entry.get("msrs", ()):
        yield from _msr(one, guest)
    yield from _deliveries(guest)
    if "move" in entry:
        yield from _move(entry["move"], guest)
    if "exits" in entry:
        yield from _exits(entry["exits"], guest)


def _cpuid(guest: _Guest) -> Iterator[Check]:
    leaf = guest.entry.get("cpuid_40000004_eax")
    if leaf is not None:
        subject = guest.subject
        host = subject.effective_host
        choice = domain_choice(subject.release, host, guest.entry.get("misc_flags", 0))
        predicted = cpuid_leaf(subject.release, host, choice)
        found = HvmLeaf(leaf)
        yield compare("CPUID", f"{guest.where}, base+4 EAX", _named(predicted), _named(found))
    if guest.entry.get("cpuid_1_ecx") is not None:
        seen = "x2APIC" if guest.entry["cpuid_1_ecx"] & X2APIC_BIT else "no x2APIC"
        yield beside("CPUID", f"{guest.where}, 1 ECX", seen, "the toolstack decides what the guest sees here")


def _named(leaf: HvmLeaf) -> str:
    return "|".join(names(leaf)) or "0"


# -- accesses ----------------------------------------------------------------------------------------


def _operation(entry: Mapping[str, Any]) -> tuple[Operation, int | None]:
    operation = Operation(entry["op"])
    return operation, entry["value"] if operation is Operation.WRITE else None


def _access(entry: Mapping[str, Any], guest: _Guest) -> Iterator[Check]:
    """An access the way a guest in that state makes it."""
    operation, value = _operation(entry)
    offset = entry["offset"]
    outcome = _as_usual(entry, guest)
    where = f"{guest.where}, {operation.value} {offset:03x} ({register(offset).name})"
    faults = guest_faults(outcome, guest.state, offset, operation, value)
    yield from _became(entry, outcome, faults, where, guest)
    if offset == Reg.LVR and operation is Operation.READ:
        yield _behind(entry, outcome, f"{where}, value", answers=guest.state is not ApicState.DISABLED)


def _as_usual(entry: Mapping[str, Any], guest: _Guest) -> Outcome:
    operation, value = _operation(entry)
    vcpu = guest.vcpu
    return access(
        vcpu.controls, vcpu.state, vcpu.bitmap, entry["offset"], operation, value=value, backing=vcpu.backing
    )


def _page(entry: Mapping[str, Any], guest: _Guest, before: list[Mapping[str, Any]]) -> Iterator[Check]:
    """An access to the page at the default base, whatever the state; ``before`` are those made before it."""
    outcome = _by_page(entry, guest)
    where = f"{guest.where}, page {entry['op']} {entry['offset']:03x}"
    yield from _became(entry, outcome, False, where, guest)
    if entry["op"] == Operation.WRITE.value:
        return
    written = [one["value"] for one in before if one["op"] == Operation.WRITE.value]
    if outcome.kind is Kind.MEMORY and written:
        yield compare("access", f"{where}, value", f"{written[-1]:#x}", f"{entry['value']:#x}")
    else:
        yield _behind(entry, outcome, f"{where}, value", answers=guest.state is ApicState.XAPIC)


def _by_page(entry: Mapping[str, Any], guest: _Guest) -> Outcome:
    operation, value = _operation(entry)
    controls, backing, offset = guest.vcpu.controls, guest.subject.page, entry["offset"]
    if isinstance(controls, SvmControls):
        vcpu = guest.vcpu
        return access(controls, ApicState.XAPIC, vcpu.bitmap, offset, operation, value=value, backing=backing)
    return access_page(controls, offset, operation, value=value, backing=backing)


def _msr(entry: Mapping[str, Any], guest: _Guest) -> Iterator[Check]:
    """An access by MSR, whatever the state."""
    operation, value = _operation(entry)
    outcome = _by_msr(entry, guest)
    if guest.state is ApicState.X2APIC:
        faults = guest_faults(outcome, guest.state, entry["offset"], operation, value)
    else:
        faults = outcome.kind.leaves  # Xen has no x2APIC to show
    name = "RDMSR" if operation is Operation.READ else "WRMSR"
    yield from _became(entry, outcome, faults, f"{guest.where}, {name} {msr_of(entry['offset']):x}", guest)


def _by_msr(entry: Mapping[str, Any], guest: _Guest) -> Outcome:
    operation, value = _operation(entry)
    vcpu, offset = guest.vcpu, entry["offset"]
    if isinstance(vcpu.controls, SvmControls):
        return access(vcpu.controls, ApicState.X2APIC, vcpu.bitmap, offset, operation, value=value)
    return access_msr(vcpu.controls, vcpu.bitmap, msr_of(offset), operation, value=value)


def _lists(guest: _Guest) -> Iterator[tuple[Mapping[str, Any], Outcome]]:
    """Every access that was made, with what the model says becomes of it."""
    entry = guest.entry
    for one in (*entry.get("accesses", ()), *entry.get("extra", ())):
        yield one, _as_usual(one, guest)
    for one in entry.get("page", ()):
        yield one, _by_page(one, guest)
    for one in entry.get("msrs", ()):
        yield one, _by_msr(one, guest)


def _became(
    entry: Mapping[str, Any], outcome: Outcome, faults: bool, where: str, guest: _Guest
) -> Iterator[Check]:
    """Check whether it left the guest, and whether it faulted."""
    yield _left(entry, outcome, where, guest)
    if "fault" in entry:
        yield compare("access", f"{where}, fault", FAULT[faults], FAULT[bool(entry["fault"])])


def _left(entry: Mapping[str, Any], outcome: Outcome, where: str, guest: _Guest) -> Check:
    """Check by its cost whether an access left the guest; a probe's own calibration counts most."""
    calibration = guest.entry.get("calibration")
    if calibration and "ticks_min" in entry:
        ticks = entry["ticks_min"]
        low = high = calibration["threshold"]
    else:
        ticks = entry["ticks_per_access"]
        low, high = STAYS_BELOW, LEAVES_ABOVE
    found = f"{ticks} ticks"
    if outcome.kind in (Kind.UNKNOWN, Kind.DEPENDS):
        return Check("access", where, Verdict.NOT_COVERED, str(outcome), found, "the model does not decide")
    if low < ticks < high:
        return Check("access", where, Verdict.NOT_COVERED, str(outcome), found, "the cost does not tell")
    left = ticks >= high
    verdict = Verdict.AGREES if left is outcome.kind.leaves else Verdict.DISAGREES
    return Check("access", where, verdict, str(outcome), f"{'left' if left else 'stayed'}, {found}")


APIC, MEMORY, NOBODY = "an APIC's version", "plain memory (0)", "nobody (all ones)"
ALL_ONES = 0xFFFFFFFF


def _behind(entry: Mapping[str, Any], outcome: Outcome, where: str, *, answers: bool) -> Check:
    """Check what is behind the version register; ``answers`` says that Xen's APIC would, if asked."""
    if outcome.kind is Kind.MEMORY:
        predicted = MEMORY
    else:
        predicted = APIC if answers or outcome.kind is Kind.STAYS else NOBODY
    found = {0: MEMORY, ALL_ONES: NOBODY}.get(entry["value"], APIC)
    return compare("access", where, predicted, found)


# -- the second witness: Xen's trace -----------------------------------------------------------------

COUNTED = {
    Technology.VMX: (
        *(VmxExit.RDMSR, VmxExit.WRMSR, VmxExit.APIC_ACCESS),
        *(VmxExit.EPT_VIOLATION, VmxExit.APIC_WRITE),
    ),
    Technology.SVM: (SvmExit.MSR, SvmExit.NPF),
}
"""Exits that are the accesses' own; others (CPUID, interrupts) have other causes too."""
BESIDE = 128
"""So many exits more the rest of the probe can make: what it does for interrupts, and to move its APIC.
Seen: at most 76, on AMD in x2APIC mode, where nothing of that stays in the guest."""


def _exits(found: Mapping[str, Any], guest: _Guest) -> Iterator[Check]:
    """What Xen's trace counted, by reason: at least every access that must leave, and little more."""
    expected: Counter[int] = Counter()
    for one, outcome in _lists(guest):
        if outcome.reason is not None and outcome.kind.leaves:
            expected[int(outcome.reason)] += one["times"]
    technology = guest.subject.technology
    for reason in COUNTED[technology] if technology else ():
        at_least, number = expected[int(reason)], found["by_reason"].get(str(int(reason)), 0)
        where = f"{guest.where}, trace, {reason.name}"
        predicted = f"{at_least} to {at_least + BESIDE} exits"
        if not found["complete"]:
            yield Check("exits", where, Verdict.NOT_COVERED, predicted, f"{number}", "records were lost")
            continue
        right = at_least <= number <= at_least + BESIDE
        verdict = Verdict.AGREES if right else Verdict.DISAGREES
        yield Check("exits", where, verdict, predicted, f"{number} exits")


# -- interrupts, and moving the APIC -----------------------------------------------------------------


def _deliveries(guest: _Guest) -> Iterator[Check]:
    """Interrupts that the guest sent itself, or its timer: each comes once where there is an APIC."""
    vcpu = guest.vcpu
    sent = access(
        vcpu.controls, vcpu.state, vcpu.bitmap, Reg.ICR, Operation.WRITE, value=SELF_IPI, backing=vcpu.backing
    )
    predicted = 0 if sent.kind is Kind.MEMORY else 1
    for one in guest.entry.get("deliveries", ()):
        where = f"{guest.where}, {one['kind']}"
        yield compare("interrupt", where, f"arrives {predicted} times", f"arrives {one['arrivals']} times")


def _move(entry: Mapping[str, Any], guest: _Guest) -> Iterator[Check]:
    """A guest's attempt to move its APIC by WRMSR of IA32_APIC_BASE."""
    where = f"{guest.where}, WRMSR APIC_BASE {entry['asked']:#x}"
    before = guest.entry["apic_base"]
    faults = apic_base_faults(before, entry["asked"])
    yield compare(
        "guest", where, "#GP(0)" if faults else "no fault", "#GP(0)" if entry["fault"] else "no fault"
    )
    after = before if faults else entry["asked"]
    yield compare("guest", f"{where}, then reads", f"{after:#x}", f"{entry['apic_base']:#x}")
