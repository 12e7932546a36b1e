"""What unusual accesses find in the APIC page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenapic.apic.access import access_cr8, access_page
from xenapic.apic.controls import Controls
from xenapic.apic.outcome import Kind, Operation, Outcome, SvmControls
from xenapic.apic.state import ApicState
from xenapic.model.partial import SimulatedPage, is_lost, within_register

STAYS, BEFORE, AFTER = Outcome(Kind.STAYS), Outcome(Kind.EXITS_BEFORE), Outcome(Kind.EXITS_AFTER)
MEMORY = Outcome(Kind.MEMORY)
FULL = Controls.of(
    "secondary_controls",
    "tpr_shadow",
    "virtualize_apic_accesses",
    "apic_register_virtualization",
    "virtual_interrupt_delivery",
)
VERSION = 0x50014


def page(state: ApicState = ApicState.XAPIC) -> SimulatedPage:
    return SimulatedPage(state, VERSION)


@pytest.mark.parametrize("outcome", [STAYS, BEFORE], ids=lambda outcome: outcome.kind.name)
def test_a_part_of_a_register_is_read(outcome: Outcome) -> None:
    reads = [page().read(outcome, *where) for where in ((0x30, 32), (0x30, 8), (0x32, 8), (0x31, 16))]
    assert reads == [VERSION, 0x14, 0x05, 0x500]


def test_what_is_no_part_of_a_register_reads_zero() -> None:
    for where in ((0x33, 16), (0x31, 32), (0x34, 8), (0x30, 64), (0x30, 128), (0x2E, 32)):
        assert not within_register(*where)
        assert page().read(BEFORE, *where) == 0


def test_nobody_answers_in_another_state() -> None:
    assert page(ApicState.X2APIC).read(BEFORE, 0x30, 16) == 0xFFFF


@given(st.integers(0, 0xFF0), st.sampled_from([8, 16, 32, 64, 128]), st.data())
def test_memory_keeps_what_is_written(address: int, width: int, data: st.DataObject) -> None:
    value = data.draw(st.integers(0, (1 << width) - 1))
    one = page(ApicState.DISABLED)
    one.write(MEMORY, address, width, value)
    assert one.read(MEMORY, address, width) == value
    assert one.read(MEMORY, address, 8) == value & 0xFF


def test_priority_has_a_byte() -> None:
    one = page()
    one.write(STAYS, 0x80, 16, 0x130)
    one.write(BEFORE, 0x81, 8, 5)
    assert one.read(STAYS, 0x80, 32) == 0x30
    one.write(BEFORE, 0x80, 64, 0x40)
    assert one.read(STAYS, 0x80, 32) == 0x30


def test_a_byte_that_disables_the_apic_is_lost_with_register_virtualization() -> None:
    for outcome, masked in ((BEFORE, 1 << 16), (AFTER, 0)):
        one = page()
        one.write(outcome, 0x320, 32, 0xE4)
        one.write(outcome, 0xF1, 8, 0)
        assert one.read(outcome, 0x320, 32) == 0xE4 | masked
        assert one.read(outcome, 0xF0, 32) == 0xFF
        assert is_lost(outcome, 0xF1) is not bool(masked)
    assert access_page(FULL, 0xF1, Operation.WRITE, width=8, value=0).kind is Kind.EXITS_AFTER


def test_xen_completes_no_write_to_the_page_in_x2apic_mode() -> None:
    one = SimulatedPage(ApicState.X2APIC, 0x50014)
    one.write(AFTER, 0x81, 8, 5)
    assert one.read(STAYS, 0x80, 32) == 0x500, "the processor has stored it"
    one.write(AFTER, 0x320, 32, 0xE4)
    one.write(AFTER, 0xF0, 32, 0xFF)
    assert one.read(STAYS, 0x320, 32) == 0xE4, "Xen masks nothing"
    one.write(BEFORE, 0x320, 32, 0)
    assert one.read(BEFORE, 0x320, 32) == 0xFFFFFFFF


@pytest.mark.parametrize("controls", [FULL, Controls.of("tpr_shadow"), SvmControls()], ids=str)
def test_reserved_bits_of_cr8_fault(controls: Controls | SvmControls) -> None:
    assert access_cr8(controls, Operation.WRITE, value=16).kind is Kind.FAULTS
    assert access_cr8(controls, Operation.WRITE, value=15).kind is not Kind.FAULTS


def test_an_exit_of_cr8_comes_before_the_fault_and_xen_masks_the_value() -> None:
    outcome = access_cr8(Controls.of("cr8_load_exiting"), Operation.WRITE, value=16)
    assert outcome.kind is Kind.EXITS_BEFORE
