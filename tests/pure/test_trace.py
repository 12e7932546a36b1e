"""Trace records in Xen's format, and how they are counted."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenapic.abi.tracebuffers import pieces
from xenapic.apic.features import Technology
from xenapic.apic.outcome import Operation
from xenapic.exits.events import BOOT_MASK, EVENTS, NEEDED_MASK, PROBE_MASK, REASONS_MASK, is_ours
from xenapic.exits.judgement import Cause, Clues, ExitKind, Removable, judge_exit
from xenapic.exits.reasons import reason_name, reason_number
from xenapic.exits.records import Tally, TraceParser

DOMID, OTHER, IDLE = 5, 6, 0x7FFF
READ, WRITE = Operation.READ, Operation.WRITE
APIC = 0xFEE00000


def record(event: int, *data: int, time: bool = False) -> bytes:
    header = event | len(data) << 28 | time << 31
    return struct.pack(f"<{1 + 2 * time + len(data)}I", header, *([7, 0] if time else []), *data)


def runstate(domid: int, vcpu: int, old: int, new: int) -> bytes:
    event = EVENTS["TRC_SCHED_RUNSTATE_CHANGE"] | old << 8 | new << 4
    return record(event, domid << 16 | vcpu, time=True)


def starts(domid: int, vcpu: int = 0) -> bytes:
    return runstate(domid, vcpu, 1, 0)


def stops(domid: int, vcpu: int = 0) -> bytes:
    return runstate(domid, vcpu, 0, 1)


def goes_on(domid: int, vcpu: int = 0) -> bytes:
    return record(EVENTS["TRC_SCHED_CONTINUE_RUNNING"], domid << 16 | vcpu, time=True)


def leaves(reason: int, *between: bytes) -> bytes:
    """A VM exit, the records that Xen writes while it handles it, and the entry."""
    exit_record = record(EVENTS["TRC_HVM_VMEXIT"] | 0x100, reason, 0x1234, 0, time=True)
    return exit_record + b"".join(between) + record(EVENTS["TRC_HVM_VMENTRY"], time=True)


def lost(count: int, domid: int, vcpu: int = 0) -> bytes:
    return record(EVENTS["TRC_LOST_RECORDS"], count, vcpu << 16 | domid, 9, 0, time=True)


def wrapped(words: int) -> bytes:
    return record(EVENTS["TRC_TRACE_WRAP_BUFFER"], *[0xDEADBEEF] * words)


def tally(*data: bytes, technology: Technology = Technology.VMX) -> Tally:
    parser = TraceParser(DOMID, technology)
    for one in data:
        parser.feed(0, one)
    parser.finish()
    return parser.tally()


def reasons(found: Tally) -> dict[tuple[int, int], int]:
    counts: dict[tuple[int, int], int] = {}
    for (vcpu, kind), count in found.exits.items():
        counts[vcpu, kind.reason] = counts.get((vcpu, kind.reason), 0) + count
    return counts


def kind_of(*between: bytes, reason: int, technology: Technology = Technology.VMX) -> ExitKind:
    found = tally(starts(DOMID), leaves(reason, *between), technology=technology)
    ((_vcpu, kind),) = found.exits
    return kind


# -- whose exits --------------------------------------------------------------------------------------


def test_exits_belong_to_who_runs() -> None:
    found = tally(
        starts(DOMID, 3),
        leaves(10) * 4,
        stops(DOMID, 3) + starts(OTHER),
        leaves(12) * 2,
        stops(OTHER) + starts(DOMID, 1),
        leaves(10),
    )
    assert reasons(found) == {(3, 10): 4, (1, 10): 1}
    assert (found.others, found.unattributed, found.lost, found.malformed) == (2, 0, 0, 0)


@pytest.mark.parametrize(
    ("told", "mine"),
    [(stops(DOMID, 2), True), (goes_on(DOMID, 2), True), (stops(OTHER), False), (goes_on(IDLE), False)],
)
def test_exits_before_the_first_word_of_the_scheduler_belong_to_whom_it_names(
    told: bytes, mine: bool
) -> None:
    found = tally(leaves(10) * 3, told)
    assert reasons(found) == ({(2, 10): 3} if mine else {})
    assert found.others == (0 if mine else 3) and found.unattributed == 0


def test_a_cpu_without_any_word_of_the_scheduler_is_placed() -> None:
    parser = TraceParser(DOMID, Technology.VMX)
    for cpu in (0, 1):
        parser.feed(cpu, leaves(10) * 3)
    assert parser.unplaced() and parser.tally().unattributed == 6
    parser.place({1: 4})
    assert not parser.unplaced()
    parser.feed(0, leaves(10))
    parser.feed(1, leaves(10) + stops(DOMID, 4) + starts(OTHER) + leaves(12))
    parser.feed(0, stops(OTHER) + starts(DOMID, 0) + leaves(12))
    assert reasons(parser.tally()) == {(4, 10): 4, (0, 12): 1}
    assert parser.tally().others == 5


def test_a_vcpu_that_is_woken_or_put_to_sleep_elsewhere_moves_nobody() -> None:
    found = tally(starts(DOMID), runstate(OTHER, 0, 2, 1), runstate(OTHER, 1, 1, 3), leaves(10))
    assert reasons(found) == {(0, 10): 1}


def test_core_scheduling_is_noticed_and_nothing_is_claimed() -> None:
    one_cpu_tells_of_two = stops(DOMID, 0) + starts(OTHER, 0) + stops(DOMID, 1) + starts(OTHER, 1)
    found = tally(starts(DOMID, 0), leaves(10), one_cpu_tells_of_two, leaves(12) * 5)
    assert found.unattributed == 5 and reasons(found) == {(0, 10): 1}


def test_an_exit_ends_with_entry_with_the_next_exit_or_with_a_change_of_vcpu() -> None:
    exit_alone = record(EVENTS["TRC_HVM_VMEXIT"], 12, 0x1234, time=True)
    found = tally(starts(DOMID), exit_alone, stops(DOMID) + starts(OTHER), stops(OTHER) + starts(DOMID))
    assert reasons(found) == {(0, 12): 1}
    assert reasons(tally(starts(DOMID), exit_alone * 3)) == {(0, 12): 3}


def test_an_exit_that_is_being_handled_counts_when_it_is_over() -> None:
    parser = TraceParser(DOMID, Technology.VMX)
    parser.feed(0, starts(DOMID) + record(EVENTS["TRC_HVM_VMEXIT"], 44, 0, time=True))
    assert not parser.tally().exits
    parser.feed(0, record(EVENTS["TRC_HVM_IOMEM_READ"], APIC + 0x390, 0))
    parser.finish()
    ((_vcpu, kind),) = parser.tally().exits
    assert kind.register == "TMCCT"


# -- lost, wrapped, and garbage ------------------------------------------------------------------------


def test_lost_records_are_counted_and_say_who_goes_on() -> None:
    found = tally(starts(OTHER), leaves(10), lost(77, DOMID, 2), leaves(12))
    assert (found.lost, reasons(found)) == (77, {(2, 12): 1})


def test_a_loss_in_the_middle_of_a_change_is_no_contradiction() -> None:
    """Xen records the change just before it is done: the one who still runs is named."""
    found = tally(lost(3, OTHER) + starts(DOMID), leaves(10))
    assert (reasons(found), found.unattributed) == ({(0, 10): 1}, 0)


def test_an_exit_that_lost_its_records_claims_no_register() -> None:
    cut = record(EVENTS["TRC_HVM_VMEXIT"], 44, 0, time=True)
    found = tally(starts(DOMID), cut, lost(9, DOMID), record(EVENTS["TRC_HVM_IOMEM_READ"], APIC + 0x390, 0))
    ((_vcpu, kind),) = found.exits
    assert (kind.register, kind.operation, kind.removable) == (None, None, Removable.UNKNOWN)


def test_the_filler_at_a_rings_end_is_skipped() -> None:
    found = tally(starts(DOMID), leaves(10) + wrapped(5), wrapped(0) + leaves(10))
    assert (reasons(found), found.malformed) == ({(0, 10): 2}, 0)


@given(st.binary(max_size=400))
def test_garbage_is_survived(data: bytes) -> None:
    parser = TraceParser(DOMID, Technology.VMX)
    parser.feed(0, starts(DOMID) + data)
    parser.finish()
    before = parser.tally()
    parser.malformed(0)
    parser.feed(0, stops(OTHER) + starts(DOMID) + leaves(10))
    assert parser.tally().malformed == before.malformed + 1


@given(st.data())
def test_a_record_that_is_cut_ends_the_reading(data: st.DataObject) -> None:
    whole = starts(DOMID) + leaves(44, record(EVENTS["TRC_HVM_IOMEM_READ"], APIC + 0x20, 0)) * 3
    cut = data.draw(st.integers(0, len(whole)))
    found = tally(whole[:cut])
    assert sum(found.exits.values()) <= 3 and found.malformed <= 1


EVENT_NUMBERS = st.sampled_from(sorted(EVENTS.values()))
RECORDS = st.builds(
    lambda event, flags, data, time: record(event | flags, *data, time=time),
    EVENT_NUMBERS,
    st.sampled_from([0, 0x100, 0x400, 0x110, 0x200]),
    st.lists(
        st.sampled_from([0, 1, 44, 48, 31, DOMID << 16, OTHER << 16 | 1, APIC + 0xB0, 0x80B]), max_size=7
    ),
    st.booleans(),
)


@given(st.lists(RECORDS, max_size=60), st.data())
def test_how_the_stream_is_cut_into_reads_changes_nothing(records: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(records)))
    whole, parts = TraceParser(DOMID, Technology.VMX), TraceParser(DOMID, Technology.VMX)
    whole.feed(0, b"".join(records[:at]))
    whole.feed(0, b"".join(records[at:]))
    for one in records[:at]:
        parts.feed(0, one)
    for one in records[at:]:
        parts.feed(0, one)
    if not whole.tally().malformed:  # a record that is too short takes the rest of its read along
        assert whole.tally() == parts.tally()


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([DOMID, OTHER]), st.integers(0, 9)), max_size=40)
)
def test_every_exit_is_counted_once(turns: list[tuple[int, int, int]]) -> None:
    """Four CPUs, vCPUs that come and go; two thirds of the records are read late."""
    parser, expected = TraceParser(DOMID, Technology.VMX), 0
    for cpu, domid, count in turns:
        parser.feed(cpu, starts(domid, cpu) + leaves(10) * count + stops(domid, cpu))
        expected += count * (domid == DOMID)
    found = parser.tally()
    assert sum(found.exits.values()) == expected
    assert found.others == sum(count for _cpu, domid, count in turns if domid == OTHER)
    assert found.unattributed == 0


@given(st.integers(2, 64).map(lambda n: n * 4), st.data())
def test_pieces_of_a_ring(size: int, data: st.DataObject) -> None:
    position = st.integers(0, size // 2 - 1).map(lambda n: n * 4)
    cons, length = data.draw(position), data.draw(st.integers(0, size // 4).map(lambda n: n * 4))
    found = pieces(cons, (cons + length) % (2 * size), size)
    assert sum(part for _start, part in found) == length and len(found) <= 2
    assert all(start + part <= size for start, part in found)
    assert not found or found[0][0] == cons % size


@pytest.mark.parametrize(("cons", "prod"), [(0, 204), (200, 0), (4, 108), (2, 4), (0xFFFFFFFC, 0)])
def test_positions_that_make_no_sense(cons: int, prod: int) -> None:
    with pytest.raises(ValueError, match="are invalid"):
        pieces(cons, prod, 100)


# -- which register --------------------------------------------------------------------------------------


def memory(operation: Operation, offset: int, value: int = 0) -> bytes:
    name = "TRC_HVM_IOMEM_READ" if operation is READ else "TRC_HVM_IOMEM_WRITE"
    return record(EVENTS[name], APIC + offset, value)


def msr(operation: Operation, number: int, value: int = 0) -> bytes:
    name = "TRC_HVM_MSR_READ" if operation is READ else "TRC_HVM_MSR_WRITE"
    return record(EVENTS[name], number, value & 0xFFFFFFFF, value >> 32)


def fault(address: int, qualification: int = 0) -> bytes:
    return record(EVENTS["TRC_HVM_NPF"], address & 0xFFFFFFFF, address >> 32, 0, 0, qualification, 0)


YES, NO, UNSURE = Removable.YES, Removable.NO, Removable.UNKNOWN
ACCESS = Cause.ACCESS


@pytest.mark.parametrize(
    ("reason", "between", "expected"),
    [
        (44, [memory(READ, 0x390)], (ACCESS, "TMCCT", READ, NO)),
        (44, [memory(READ, 0x020)], (ACCESS, "ID", READ, YES)),
        (44, [memory(WRITE, 0x080)], (ACCESS, "TASKPRI", WRITE, YES)),
        (44, [memory(WRITE, 0x380, 5)], (ACCESS, "TMICT", WRITE, NO)),
        (44, [memory(WRITE, 0x300, 0x40031)], (ACCESS, "ICR", WRITE, YES)),
        (44, [memory(WRITE, 0x300, 0xC0031)], (ACCESS, "ICR", WRITE, NO)),
        (44, [memory(WRITE, 0x0B4, 0)], (ACCESS, "EOI", WRITE, UNSURE)),
        (44, [memory(READ, 0x040)], (ACCESS, "040H", READ, NO)),
        (44, [memory(READ, 0x030), memory(WRITE, 0x080)], (ACCESS, "LVR", READ, YES)),
        (44, [record(EVENTS["TRC_HVM_VLAPIC"])], (ACCESS, "EOI", WRITE, YES)),
        (44, [], (ACCESS, None, None, UNSURE)),
        (44, [memory(READ, -0x1000)], (ACCESS, None, None, UNSURE)),
        (43, [], (ACCESS, "TASKPRI", WRITE, YES)),
        (45, [], (ACCESS, "EOI", WRITE, NO)),
        (56, [], (ACCESS, None, WRITE, UNSURE)),
        (31, [msr(READ, 0x803)], (ACCESS, "LVR", READ, YES)),
        (31, [msr(READ, 0x839)], (ACCESS, "TMCCT", READ, NO)),
        (32, [msr(WRITE, 0x80B)], (ACCESS, "EOI", WRITE, YES)),
        (32, [msr(WRITE, 0x830, 1 << 32 | 0x31)], (ACCESS, "ICR", WRITE, NO)),
        (32, [msr(WRITE, 0x83F, 0x31)], (ACCESS, "SELF_IPI", WRITE, YES)),
        (32, [msr(WRITE, 0x6E0, 99)], (ACCESS, "TSC_DEADLINE", WRITE, NO)),
        (32, [msr(WRITE, 0x40000070)], (ACCESS, "HV_X64_MSR_EOI", WRITE, UNSURE)),
        (31, [msr(READ, 0xFE)], (Cause.OTHER, None, None, NO)),
        (31, [], (Cause.UNKNOWN, None, READ, UNSURE)),
        (28, [record(EVENTS["TRC_HVM_CR_WRITE"] | 0x100, 8, 3, 0)], (ACCESS, "TASKPRI", WRITE, YES)),
        (28, [record(EVENTS["TRC_HVM_CR_READ"] | 0x100, 8, 3, 0)], (ACCESS, "TASKPRI", READ, YES)),
        (28, [record(EVENTS["TRC_HVM_CR_WRITE"] | 0x100, 3, 0, 0)], (Cause.OTHER, None, None, NO)),
        (28, [record(EVENTS["TRC_HVM_CLTS"])], (Cause.OTHER, None, None, NO)),
        (28, [], (Cause.UNKNOWN, None, None, UNSURE)),
        (48, [fault(APIC + 0x30, 1)], (ACCESS, "LVR", READ, YES)),
        (48, [fault(APIC + 0xB0, 2), memory(WRITE, 0xB0)], (ACCESS, "EOI", WRITE, YES)),
        (48, [fault(0x100000, 2)], (Cause.OTHER, None, None, NO)),
        (48, [], (Cause.UNKNOWN, None, None, UNSURE)),
        (0, [memory(READ, 0x30)], (ACCESS, "LVR", READ, YES)),
        (0, [], (Cause.OTHER, None, None, NO)),
        (7, [], (Cause.DELIVERY, None, None, UNSURE)),
        (1, [], (Cause.OTHER, None, None, NO)),
        (0x80000021, [], (Cause.OTHER, None, None, NO)),
    ],
)
def test_vmx(
    reason: int, between: list[bytes], expected: tuple[Cause, str | None, Operation | None, Removable]
) -> None:
    kind = kind_of(*between, reason=reason)
    assert (kind.cause, kind.register, kind.operation, kind.removable) == expected
    assert kind.reason == reason & 0xFFFF


@pytest.mark.parametrize(
    ("reason", "between", "expected"),
    [
        (0x400, [memory(READ, 0x390), fault(APIC + 0x390)], (ACCESS, "TMCCT", READ, UNSURE)),
        (0x400, [fault(APIC + 0x390)], (ACCESS, "TMCCT", None, UNSURE)),
        (0x400, [fault(0x1000)], (Cause.OTHER, None, None, NO)),
        (0x7C, [msr(WRITE, 0x80B)], (ACCESS, "EOI", WRITE, UNSURE)),
        (0x7C, [], (Cause.UNKNOWN, None, None, UNSURE)),
        (0x18, [], (ACCESS, "TASKPRI", WRITE, YES)),
        (0x64, [], (Cause.DELIVERY, None, None, UNSURE)),
        (0x72, [], (Cause.OTHER, None, None, NO)),
    ],
)
def test_svm(
    reason: int, between: list[bytes], expected: tuple[Cause, str | None, Operation | None, Removable]
) -> None:
    kind = kind_of(*between, reason=reason, technology=Technology.SVM)
    assert (kind.cause, kind.register, kind.operation, kind.removable) == expected


def test_amds_own_event_needs_no_telling() -> None:
    """Since 4.19 each of the two has its own event."""
    parser = TraceParser(DOMID, Technology.SVM)
    parser.feed(0, starts(DOMID) + record(EVENTS["TRC_HVM_SVM_EXIT"] | 0x500, 0x72, 0, 0, time=True))
    parser.finish()
    ((_vcpu, kind),) = parser.tally().exits
    assert (kind.technology, kind.reason) == (Technology.SVM, 0x72)


def test_an_address_above_4_gib() -> None:
    far = record(EVENTS["TRC_HVM_IOMEM_READ"] | 0x100, 0xFEE00030, 0x1, 0, 0)
    assert kind_of(far, reason=44).register is None


@given(
    st.sampled_from(list(Technology)),
    st.integers(0, 0xFFFFFFFF),
    st.none() | st.integers(0, 1 << 40),
    st.none() | st.integers(0, 1 << 40),
    st.none() | st.sampled_from(list(Operation)),
    st.none() | st.integers(0, 0xFFFFFFFF),
    st.none() | st.integers(0, (1 << 64) - 1),
)
def test_any_clues_are_judged(
    technology: Technology,
    reason: int,
    address: int | None,
    page_fault: int | None,
    operation: Operation | None,
    number: int | None,
    value: int | None,
) -> None:
    clues = Clues(technology, reason, address, page_fault, operation, number, number, value)
    kind = judge_exit(clues)
    assert kind.register is None or kind.cause is ACCESS
    assert kind.cause is not Cause.OTHER or kind.removable is NO


def test_names_and_numbers() -> None:
    assert reason_name(Technology.VMX, 44) == "APIC access" and reason_number(Technology.VMX, 44) == "44"
    assert reason_name(Technology.SVM, 0x400) == "NPF" and reason_number(Technology.SVM, 0x7C) == "0x7c"
    assert [
        reason_name(Technology.SVM, code) for code in (0x18, 0x4E, 0x60, 0x64, 0x78, 0x7C, 0x8D, 0x9F)
    ] == [
        "CR8_WRITE",
        "EXCP14",
        "INTR",
        "VINTR",
        "HLT",
        "MSR",
        "XSETBV",
        "CR15_WRITE_TRAP",
    ]
    assert reason_name(Technology.VMX, 999) == "unknown"


def test_masks() -> None:
    assert (
        is_ours(NEEDED_MASK)
        and is_ours(REASONS_MASK)
        and is_ours(PROBE_MASK)
        and not is_ours(BOOT_MASK)
        and not is_ours(0)
    )
    for event in EVENTS.values():
        wanted = bool(NEEDED_MASK >> 16 & event >> 16 and NEEDED_MASK >> 12 & event >> 12 & 0xF)
        assert wanted or event >> 16 == 1  # what Xen says of the buffers themselves is always recorded
