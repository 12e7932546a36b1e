"""Check what an HVM guest found about the end of interrupts: of a level-triggered one, and of another."""

from __future__ import annotations

from collections.abc import Iterator

from xenapic.apic.access import access
from xenapic.apic.controls import Controls
from xenapic.apic.outcome import Operation, VmxExit
from xenapic.apic.registers import Reg
from xenapic.model.acceleration import VcpuApic, end_leaves
from xenapic.verify.check import LOST, Check, Verdict, compare
from xenapic.verify.guest import no_answer, of_domain
from xenapic.verify.guest_records import EndRecord, ExitsRecord, LevelRecord
from xenapic.verify.subject import Subject

__all__ = ["level_checks", "level_values", "of_level"]

KINDS = {False: "edge-triggered", True: "level-triggered"}
LEFT = {False: "stays", True: "leaves"}


def of_level(record: LevelRecord) -> str:
    """Return the words for the guest that a record is about."""
    return f"{of_domain(record)}, HVM"


def ends_of(record: LevelRecord) -> Iterator[tuple[bool, EndRecord]]:
    """Yield both kinds of interrupt: whether it is level-triggered, and its ends."""
    for level, ends in ((False, record.edge), (True, record.level)):
        if ends is not None:
            yield level, ends


def level_values(record: LevelRecord) -> Iterator[tuple[str, str, str]]:
    """Yield what the guest found: a topic, the place in words, and the value."""
    at = of_level(record)
    yield "guest", at, "answers" if record.failed is None else f"no answer: {record.failed}"
    threshold = 0 if record.calibration is None else record.calibration.threshold
    for level, ends in ends_of(record):
        where = f"{at}, {KINDS[level]}"
        yield "interrupt", where, _arrivals(ends)
        yield "interrupt", f"{where}, TMR", _bits(ends.level)
        yield "interrupt", f"{where}, after its end", _after(ends)
        yield "access", f"{where}, write 0b0 (EOI)", LEFT[min(ends.ticks) >= threshold]


def _arrivals(ends: EndRecord) -> str:
    served = "" if all(ends.in_service) else ", but is not in service"
    return f"arrives {' and '.join(map(str, ends.arrivals))} times{served}"


def _bits(bits: tuple[bool, ...]) -> str:
    return " and ".join("set" if bit else "clear" for bit in bits)


def _after(ends: EndRecord) -> str:
    ended = "ended" if all(ends.ended) else "still in service"
    return f"{ended}; requested again: {' and '.join('yes' if bit else 'no' for bit in ends.again)}"


def level_checks(record: LevelRecord, subject: Subject) -> Iterator[Check]:
    """Yield every check of one guest."""
    at = of_level(record)
    if record.failed is not None:
        yield no_answer(record, "interrupt", at, subject, record.failed)
        return
    vcpu = subject.vcpu(record.misc_flags, record.apic_mode)
    predicted: list[str] = []
    for level, ends in ends_of(record):
        rounds = len(ends.arrivals)
        right = EndRecord(
            ends.vector,
            arrivals=(1,) * rounds,
            in_service=(True,) * rounds,
            level=(level,) * rounds,
            ticks=(),
            ended=(True,) * rounds,
            # Its line stays up, so that its end raises it again, until it is masked before the last one.
            again=(*(level,) * (rounds - 1), False),
        )
        predicted += [
            _arrivals(right),
            _bits(right.level),
            _after(right),
            LEFT[end_leaves(vcpu, level=level)],
        ]
    _, *values = level_values(record)
    for said, (topic, where, value) in zip(predicted, values, strict=True):
        yield compare(topic, where, said, value)
    if record.exits is not None and record.level is not None and isinstance(vcpu.controls, Controls):
        yield _exits(record.exits, vcpu, len(record.level.ticks), at)


def _exits(counted: ExitsRecord, vcpu: VcpuApic, rounds: int, at: str) -> Check:
    """Check the exits after a write of EOI that the processor has completed."""
    end = access(
        vcpu.controls, vcpu.state, vcpu.bitmap, Reg.EOI, Operation.WRITE, value=0, backing=vcpu.backing
    )
    reason = VmxExit.VIRTUALIZED_EOI
    where = f"{at}, trace, {reason.name}"
    predicted = f"{rounds if reason in end.may_exit else 0} exits"
    recorded = f"{counted.by_reason.get(reason, 0)} exits"
    if not counted.complete:
        return Check("exits", where, Verdict.NOT_COVERED, predicted, recorded, LOST)
    return compare("exits", where, predicted, recorded)
