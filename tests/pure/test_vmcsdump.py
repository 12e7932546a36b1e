from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dumps import END, OFF, START, X2APIC, XAPIC, Vcpu, dump_lines, old, ring, vcpu_lines
from xenapic.apic.controls import ControlWords
from xenapic.parse.vmcsdump import DumpProblem, Reading, read_dump

MINE = 7
TAG = (0x1122334455667788, 0x99AABBCCDDEEFF00)
WORDS = ControlWords(*XAPIC)
FORGED = (0x3F, 0xB6A065FE, 0, 0)
DOMAINS = {3: [Vcpu(X2APIC), Vcpu(OFF)], MINE: [Vcpu(XAPIC, *TAG)], 9: [Vcpu(X2APIC), Vcpu(None)]}
LINES = dump_lines(DOMAINS)
DATA = ring(LINES)

FORGERY = [
    START,
    END,
    *(f">>> Domain {domid} <<<" for domid in (1, MINE, MINE + 1, 9)),
    *vcpu_lines(0, Vcpu(FORGED)),
    *vcpu_lines(0, Vcpu(FORGED, *TAG)),
    *old(vcpu_lines(0, Vcpu(FORGED))),
    "\tVCPU 0: not initialized",
    "\tVCPU 1",
]
"""Lines that a guest would add if it could."""


def told(reading: Reading) -> list[ControlWords | None]:
    return [vcpu.words for vcpu in reading.vcpus]


def truth_or_nothing(reading: Reading) -> None:
    assert reading.problem is not None or told(reading) == [WORDS]


@pytest.mark.parametrize("tag", [None, TAG])
def test_only_the_domain_that_was_asked_for(tag: tuple[int, int] | None) -> None:
    reading = read_dump(DATA, True, MINE, tag)
    assert reading.problem is None and told(reading) == [WORDS]
    assert reading.vcpus[0].tag == TAG


def test_every_vcpu_and_one_that_is_not_initialised() -> None:
    assert told(read_dump(DATA, True, 3)) == [ControlWords(*X2APIC), ControlWords(*OFF)]
    assert told(read_dump(DATA, True, 9)) == [ControlWords(*X2APIC), None]


@pytest.mark.parametrize(
    "stamp",
    ["[2026-11-23 09:00:00] ", "[2026-11-23 09:00:00.123] ", "[    1.234567] ", "[0000000123abcdef] "],
)
def test_time_stamps(stamp: str) -> None:
    assert told(read_dump(ring(LINES, stamp), True, MINE, TAG)) == [WORDS]


@pytest.mark.parametrize("tag", [None, TAG])
def test_a_xen_without_tertiary_controls(tag: tuple[int, int] | None) -> None:
    data = ring(old(LINES))
    assert b"Tertiary" not in data and data.count(b" SecondaryExec=") == 4
    assert told(read_dump(data, True, MINE, tag)) == [WORDS]
    assert told(read_dump(data, True, 9)) == [ControlWords(*X2APIC), None]


def test_carriage_returns() -> None:
    assert told(read_dump(DATA.replace(b"\n", b"\r\n"), True, MINE, TAG)) == [WORDS]


@given(st.integers(0, len(DATA)))
def test_a_dump_cut_at_its_end_is_waited_for(cut: int) -> None:
    reading = read_dump(DATA[:cut], True, MINE, TAG)
    if reading.problem is None:
        assert told(reading) == [WORDS]
    else:
        assert reading.problem in (DumpProblem.NOTHING, DumpProblem.CUT)


@given(st.integers(0, len(DATA)))
def test_a_dump_that_lost_its_start(cut: int) -> None:
    reading = read_dump(DATA[cut:], False, MINE, TAG)
    header = DATA.index(b"(XEN) >>> Domain 7")
    if cut < header:
        assert told(reading) == [WORDS]
    else:
        assert reading.problem in (DumpProblem.LOST, DumpProblem.NOTHING)


@given(st.lists(st.tuples(st.integers(0, len(LINES)), st.sampled_from(FORGERY)), max_size=30))
def test_guests_lines_change_nothing(added: list[tuple[int, str]]) -> None:
    lines = [(f"(XEN) {line}\n") for line in LINES]
    for at, text in added:
        lines.insert(at, f"(d5) (XEN) {text}\n")
    assert told(read_dump("".join(lines).encode(), True, MINE, TAG)) == [WORDS]


@given(
    st.lists(st.tuples(st.integers(0, len(LINES)), st.sampled_from(FORGERY)), min_size=1, max_size=6),
    st.booleans(),
    st.booleans(),
)
def test_added_lines_of_xens_look_never_make_it_lie(
    added: list[tuple[int, str]], tagged: bool, before_tertiary: bool
) -> None:
    """No way to add one is known; with fewer than seven added lines in one dump, nothing can be faked."""
    lines = old(LINES) if before_tertiary else list(LINES)
    for at, text in added:
        lines.insert(min(at, len(lines)), text)
    truth_or_nothing(read_dump(ring(lines), True, MINE, TAG if tagged else None))


@given(st.integers(0, len(LINES)), st.integers(0, len(LINES)), st.sampled_from(["before", "after", "both"]))
def test_a_forged_dump_as_a_whole(at: int, length: int, where: str) -> None:
    forged = ring(dump_lines({MINE: [Vcpu(FORGED)]}))
    data = (forged if where != "after" else b"") + DATA + (forged if where != "before" else b"")
    assert told(read_dump(data, True, MINE, TAG)) == [WORDS]
    truth_or_nothing(read_dump(data, True, MINE))
    inside = [*LINES[:at], *dump_lines({MINE: [Vcpu(FORGED)]})[:length], *LINES[at:]]
    truth_or_nothing(read_dump(ring(inside), True, MINE, TAG))


@given(st.lists(st.booleans(), min_size=len(LINES) * 2, max_size=len(LINES) * 2))
def test_two_dumps_at_the_same_time(turns: list[bool]) -> None:
    """A key pressed on the serial line is served on any CPU, so lines may alternate."""
    one, two = list(LINES), list(LINES)
    merged = []
    for turn in turns:
        source = one if (turn and one) or not two else two
        merged.append(source.pop(0))
    truth_or_nothing(read_dump(ring(merged + one + two), True, MINE, TAG))


def test_dumps_of_others_next_to_ours() -> None:
    other = ring(dump_lines({MINE: [Vcpu(XAPIC, *TAG)], 12: [Vcpu(OFF)]}))
    assert told(read_dump(other + b"(XEN) something\n" + DATA, True, MINE, TAG)) == [WORDS]
    changed = ring(dump_lines({MINE: [Vcpu(X2APIC, *TAG)]}))
    assert read_dump(DATA + changed, True, MINE, TAG).problem is DumpProblem.DIFFERENT


@pytest.mark.parametrize(
    ("data", "whole_start", "problem"),
    [
        (b"(XEN) nothing of it\n", True, DumpProblem.NOTHING),
        (b"tail\n(d1) flood\n", False, DumpProblem.LOST),
        (ring(dump_lines({3: [Vcpu()]})), True, DumpProblem.ABSENT),
        (ring(dump_lines({3: [Vcpu()]})), False, DumpProblem.LOST),
        (DATA.replace(b"VMCS", b"VMCB"), True, DumpProblem.VMCB),
        (ring([START, *LINES]), True, DumpProblem.OVERLAP),
        (ring([START, *LINES[1:-1], END, END]), True, DumpProblem.OVERLAP),
        (DATA.replace(b"Domain 9", b"Domain 2"), True, DumpProblem.GARBLED),
        (DATA.replace(b"PinBased", b"PinBase"), True, DumpProblem.GARBLED),
        (ring(dump_lines({MINE: [Vcpu(XAPIC, 1, 2)]})), True, DumpProblem.UNTAGGED),
    ],
)
def test_what_is_wrong_is_said(data: bytes, whole_start: bool, problem: DumpProblem) -> None:
    reading = read_dump(data, whole_start, MINE, TAG)
    assert (reading.problem, reading.vcpus) == (problem, ())


def test_vcpus_out_of_order() -> None:
    lines = [START, f">>> Domain {MINE} <<<", *vcpu_lines(1, Vcpu()), *vcpu_lines(0, Vcpu()), END]
    assert read_dump(ring(lines), True, MINE).problem is DumpProblem.GARBLED
