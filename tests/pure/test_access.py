"""The hardware model, compared with the SDM's tables written again, independently."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenapic.apic.access import access, access_cr8, access_msr, access_page
from xenapic.apic.controls import CONTROLS, ENTRY_RULES, Controls, effective, violations
from xenapic.apic.outcome import (
    Backing,
    Completion,
    Kind,
    MsrBitmap,
    Operation,
    Outcome,
    SvmControls,
    SvmExit,
    VmxExit,
)
from xenapic.apic.registers import REGISTERS, SLOTS, msr_of, offset_of, register
from xenapic.apic.state import ApicState

R, W, FETCH = Operation.READ, Operation.WRITE, Operation.FETCH
XAPIC = ("virtualize_apic_accesses", "msr_bitmaps", "secondary_controls")
FULL = ("tpr_shadow", "apic_register_virtualization", "virtual_interrupt_delivery")
X2APIC = ("virtualize_x2apic_mode", "msr_bitmaps", "secondary_controls")
OPEN = MsrBitmap(read=0, write=0)

ISR_TO_IRR = list(range(0x100, 0x280, 0x10))
LVT = [0x320, 0x330, 0x340, 0x350, 0x360, 0x370]
TABLE = {
    ("no TPR shadow", R): [],
    ("no TPR shadow", W): [],
    ("TPR shadow", R): [0x80],
    ("TPR shadow", W): [0x80],
    ("with delivery", R): [0x80, 0xB0, 0x300],
    ("with delivery", W): [0x80, 0xB0, 0x300],
    ("with registers", R): [
        0x20, 0x30, 0x80, 0xB0, 0xD0, 0xE0, 0xF0, *ISR_TO_IRR, 0x280, 0x300, 0x310, *LVT, 0x380, 0x3E0,
    ],
    ("with registers", W): [0x20, 0x80, 0xB0, 0xD0, 0xE0, 0xF0, 0x280, 0x300, 0x310, *LVT, 0x380, 0x3E0],
}  # fmt: skip
SETTINGS = {
    "no TPR shadow": (),
    "TPR shadow": ("tpr_shadow",),
    "with delivery": ("tpr_shadow", "virtual_interrupt_delivery"),
    "with registers": ("tpr_shadow", "apic_register_virtualization"),
}

controls_st = st.sets(st.sampled_from(sorted(CONTROLS))).map(lambda keys: Controls.of(*keys))
bitmaps = st.builds(MsrBitmap, st.integers(0, (1 << 256) - 1), st.integers(0, (1 << 256) - 1))
values = st.none() | st.integers(0, (1 << 64) - 1)


@pytest.mark.parametrize(("setting", "operation"), TABLE, ids=str)
def test_which_accesses_to_the_page_are_virtualized(setting: str, operation: Operation) -> None:
    controls = Controls.of(*XAPIC, *SETTINGS[setting])
    found = [
        offset
        for offset in SLOTS
        if access_page(controls, offset, operation).reason is not VmxExit.APIC_ACCESS
    ]
    assert found == TABLE[setting, operation]


def page(offset: int, operation: Operation, *more: str, width: int = 32) -> Outcome:
    return access_page(Controls.of(*XAPIC, *more), offset, operation, width=width)


def test_how_a_virtualized_write_is_completed() -> None:
    assert page(0x80, W, "tpr_shadow").may_exit == (VmxExit.TPR_BELOW_THRESHOLD,)
    assert page(0x80, W, *FULL) == Outcome(Kind.STAYS, Completion.TPR)
    assert page(0xB0, W, *FULL) == Outcome(Kind.STAYS, Completion.EOI, may_exit=(VmxExit.VIRTUALIZED_EOI,))
    assert page(0x310, W, *FULL).completion is Completion.ICR_HIGH
    after = Outcome(Kind.EXITS_AFTER, reason=VmxExit.APIC_WRITE)
    assert page(0xB0, W, "tpr_shadow", "apic_register_virtualization") == after
    for offset in (0x20, 0xD0, 0xE0, 0xF0, 0x280, *LVT, 0x380, 0x3E0):
        assert page(offset, W, *FULL) == after


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0x400F1, Kind.STAYS),
        (0x40010, Kind.STAYS),
        (0x4000F, Kind.EXITS_AFTER),  # vector below 16
        (0x840F1, Kind.EXITS_AFTER),  # all including self
        (0x000F1, Kind.EXITS_AFTER),  # no shorthand
        (0x440F1, Kind.STAYS),  # bit 14, level assert, is not looked at
        (0x480F1, Kind.EXITS_AFTER),  # level-triggered
        (0x404F1, Kind.EXITS_AFTER),  # NMI
        (0x410F1, Kind.EXITS_AFTER),  # delivery pending
        (None, Kind.DEPENDS),
    ],
)
def test_which_icr_the_processor_completes(value: int | None, kind: Kind) -> None:
    assert access_page(Controls.of(*XAPIC, *FULL), 0x300, W, value=value).kind is kind


def test_odd_accesses_to_the_page_always_exit() -> None:
    exits = Outcome(Kind.EXITS_BEFORE, reason=VmxExit.APIC_ACCESS)
    assert page(0x80, FETCH, *FULL) == exits
    assert page(0x80, R, *FULL, width=64) == exits
    assert page(0x84, R, *FULL) == exits
    assert page(0x83, R, *FULL, width=16) == exits
    assert page(0x8C, W, *FULL, width=8) == exits
    assert page(0x82, R, *FULL, width=16).kind is Kind.STAYS
    assert page(0x80, R, "tpr_shadow", width=8).kind is Kind.STAYS
    assert page(0x81, R, "tpr_shadow", width=8) == exits


def test_a_page_that_is_not_virtualized_is_what_ept_says() -> None:
    controls = Controls.of(*FULL)
    assert access_page(controls, 0x30, R, backing=Backing.MEMORY).kind is Kind.MEMORY
    assert access_page(controls, 0x30, R, backing=Backing.ABSENT).reason is VmxExit.EPT_VIOLATION


def msr(number: int, operation: Operation, *more: str, value: int | None = None) -> Outcome:
    return access_msr(Controls.of(*X2APIC, *more), OPEN, number, operation, value=value)


def test_msrs_that_are_not_intercepted() -> None:
    for number in range(0x800, 0x900):
        assert msr(number, R, *FULL).kind is Kind.STAYS  # those that do not exist too
        only_tpr = msr(number, R, "tpr_shadow").kind
        assert only_tpr is (Kind.STAYS if number == 0x808 else Kind.PHYSICAL)
    virtual = [n for n in range(0x800, 0x900) if msr(n, W, *FULL).kind is not Kind.PHYSICAL]
    assert virtual == [0x808, 0x80B, 0x83F]
    assert [n for n in range(0x800, 0x900) if msr(n, W, "tpr_shadow").kind is not Kind.PHYSICAL] == [0x808]


def test_values_written_to_msrs() -> None:
    assert msr(0x808, W, *FULL, value=0x20).completion is Completion.TPR
    assert msr(0x808, W, *FULL, value=0x100).kind is Kind.FAULTS
    assert msr(0x80B, W, *FULL, value=0).completion is Completion.EOI
    assert msr(0x80B, W, *FULL, value=1).kind is Kind.FAULTS
    assert msr(0x83F, W, *FULL, value=0xF2).completion is Completion.SELF_IPI
    assert msr(0x83F, W, *FULL, value=0x0F).reason is VmxExit.APIC_WRITE
    assert msr(0x83F, W, *FULL, value=0x100).kind is Kind.FAULTS
    assert msr(0x83F, W, *FULL).kind is Kind.DEPENDS


def test_the_bitmap_is_asked_first() -> None:
    controls = Controls.of(*X2APIC, *FULL)
    assert access_msr(controls, MsrBitmap(), 0x808, R).reason is VmxExit.RDMSR
    assert access_msr(controls, MsrBitmap(), 0x808, W).reason is VmxExit.WRMSR
    no_bitmaps = Controls.of("virtualize_x2apic_mode", *FULL)
    assert access_msr(no_bitmaps, OPEN, 0x808, R).reason is VmxExit.RDMSR


def test_cr8() -> None:
    assert access_cr8(Controls.of("cr8_load_exiting"), W).reason is VmxExit.CR_ACCESS
    assert access_cr8(Controls.of("cr8_load_exiting", "tpr_shadow"), R).completion is Completion.READ
    assert access_cr8(Controls.of("tpr_shadow"), W).may_exit == (VmxExit.TPR_BELOW_THRESHOLD,)
    assert access_cr8(Controls(), R).kind is Kind.PHYSICAL
    assert access_cr8(SvmControls(), R).kind is Kind.STAYS


def test_amd_without_avic_leaves_for_everything() -> None:
    for offset in SLOTS:
        for operation in (R, W):
            there = access(SvmControls(), ApicState.XAPIC, MsrBitmap(), offset, operation)
            assert there.reason is SvmExit.NPF
            assert (
                access(SvmControls(), ApicState.X2APIC, MsrBitmap(), offset, operation).reason is SvmExit.MSR
            )
    assert access(SvmControls(avic=True), ApicState.XAPIC, MsrBitmap(), 0x80, R).kind is Kind.UNKNOWN


@given(
    controls_st, st.sampled_from(ApicState), bitmaps, st.sampled_from(SLOTS), st.sampled_from([R, W]), values
)
def test_every_access_has_an_outcome_that_makes_sense(
    controls: Controls,
    state: ApicState,
    bitmap: MsrBitmap,
    offset: int,
    operation: Operation,
    value: int | None,
) -> None:
    found = access(controls, state, bitmap, offset, operation, value=value)
    assert found.kind is not Kind.UNKNOWN
    assert found.kind.leaves <= (found.reason is not None)
    assert (found.kind is Kind.STAYS) <= (found.completion is not None)
    if found.kind in (Kind.STAYS, Kind.EXITS_AFTER):
        by_page = state in (ApicState.XAPIC, ApicState.DISABLED)
        assert controls.has("tpr_shadow") or not by_page
    assert str(found)


@given(controls_st, controls_st)
def test_entry_rules(one: Controls, two: Controls) -> None:
    counting = effective(one)
    for rule in violations(one):
        assert counting.has(rule.when) and counting.has(rule.key) is not rule.value
    assert violations(Controls.of("virtualize_x2apic_mode")) == ()  # secondary controls not activated
    assert Controls.of(*one.keys) == one
    words = (one.pin_based | two.pin_based << 8, one.primary, one.secondary)
    assert Controls.from_words(*words).secondary == one.secondary


def test_each_entry_rule_can_be_broken_and_kept() -> None:
    for rule in ENTRY_RULES:
        on = ["secondary_controls", "tertiary_controls", rule.when]
        assert (rule in violations(Controls.of(*on))) is rule.value
        assert (rule in violations(Controls.of(*on, rule.key))) is not rule.value


def test_registers_and_msrs() -> None:
    assert [msr_of(offset) for offset in SLOTS] == list(range(0x800, 0x900))
    assert all(offset_of(msr_of(offset)) == offset for offset in SLOTS)
    assert not register(0x040).exists and register(0x080).msr == 0x808
    assert len(REGISTERS) == 10 + 3 * 8 + 14
    with pytest.raises(ValueError, match="not an x2APIC MSR"):
        offset_of(0x900)
    with pytest.raises(ValueError, match="fetched"):
        access_msr(Controls(), OPEN, 0x808, FETCH)


def test_states() -> None:
    for state in ApicState:
        assert ApicState.from_apic_base(state.apic_base) is state
