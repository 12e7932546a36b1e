"""The verification of one bit per control: a right Xen agrees in everything, and each wrong one is found."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from tests.library.onebit import LEFT_OUT, WRONG, Behaviour, OneBit
from xenapic.abi.library import Library, load
from xenapic.apic.state import ApicState
from xenapic.documents import from_json, to_json
from xenapic.live.xen import Xen
from xenapic.model.apicbits import APIC, NOTHING, asked_word
from xenapic.model.proposal import distinct
from xenapic.probe.script import Script
from xenapic.verify.check import Report, Verdict
from xenapic.verify.checks import check_recording
from xenapic.verify.compare import compare, nothing_asked
from xenapic.verify.guest_records import PairRecord
from xenapic.verify.record import Settings, record
from xenapic.verify.recording import Recording

pytestmark = pytest.mark.library


@pytest.fixture(scope="module")
def real() -> Library:
    return load()


@pytest.fixture(autouse=True)
def simple_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    sections = vars(Script)["sections"].func
    less = property(lambda self: {**sections(self), **dict.fromkeys(LEFT_OUT, ())})
    monkeypatch.setattr(Script, "sections", less)


def recorded(real: Library, behaviour: Behaviour, settings: Settings) -> Recording:
    fake = OneBit(real, behaviour)
    try:
        with Xen(replace(real, xenctrl=fake, foreign=fake)) as xen:
            return record(
                xen,
                replace(settings, processor="broadwell_ult", emulator="bochs 2.7", pairs=False, levels=False),
            )
    finally:
        fake.close()


def report(real: Library, behaviour: Behaviour, settings: Settings) -> Report:
    return check_recording(recorded(real, behaviour, settings), "a fake")


def test_a_right_xen_agrees_in_everything(real: Library) -> None:
    made = recorded(real, Behaviour(), Settings(refusals=True))
    found = check_recording(made, "a fake")
    assert [str(check) for check in found.of(Verdict.DISAGREES)] == []
    assert made.per_control and not made.not_testable
    results = distinct(OneBit(real, Behaviour()).offer)
    assert len(results) == 18
    assert len(made.create) >= 729
    assert len(made.vmcs) == len(made.guest) == len(results) * len(ApicState)
    assert from_json(to_json(made), Recording) == made
    topics = {check.topic for check in found.of(Verdict.AGREES)}
    assert len(made.viridian) == len(results) and len(made.restored) == 2 * len(results)
    assert topics >= {
        "restored",
        "create",
        "VMCS",
        "VM entry",
        "guest",
        "CPUID",
        "access",
        "interrupt",
        "physinfo",
    }


def test_an_unchanged_xen_and_this_one_with_nothing_asked(real: Library) -> None:
    settings = replace(CREATES, vmcs=True)
    here = recorded(real, Behaviour(), settings)
    plain = replace(
        nothing_asked(here), per_control=None, create=tuple(c for c in here.create if c.misc_flags < 9)
    )
    assert not compare("a machine", (plain,), (here,)).differences
    assert compare("a machine", (plain,), (here,)).compared > 40
    asked = replace(here, pairs=(PairRecord(), PairRecord(misc_flags=asked_word(NOTHING, APIC.DELIVERY))))
    assert nothing_asked(asked).pairs == (PairRecord(),)
    wrong = recorded(real, WRONG["both modes at once"], settings)
    assert compare("a machine", (wrong,), (plain,)).differences


def test_a_part_of_the_requests(real: Library) -> None:
    made = recorded(real, Behaviour(), Settings(refusals=True).part("-DELIVERY,xapic"))
    word = asked_word(NOTHING, APIC.DELIVERY)
    for records in (made.create, made.vmcs, made.guest, made.viridian, made.restored):
        assert records and {one.misc_flags for one in records} == {word}
    assert len(made.vmcs) == len(made.guest) == 1


def test_a_request_that_xen_refuses_is_a_create_only(real: Library) -> None:
    """As `+POSTED` is on a processor without posted interrupts: there is no domain to look at."""
    word = asked_word(APIC.POSTED)
    made = recorded(real, Behaviour(), Settings(refusals=True).part("+POSTED,-DELIVERY,xapic"))
    asked = {word, asked_word(NOTHING, APIC.DELIVERY)}
    assert {one.misc_flags for one in made.create} == asked
    assert {one.errno for one in made.create if one.misc_flags == word} == {errno.ENODEV}
    assert {
        one.misc_flags for records in (made.vmcs, made.guest, made.viridian) for one in records
    } == asked - {word}


CREATES = Settings(refusals=True, probe=False, hints=False, vmcs=False)
VMCS = Settings(creates=False, probe=False, hints=False)
HINTS = Settings(creates=False, vmcs=False, probe=False)
GUESTS = Settings(creates=False, vmcs=False, hints=False, states=(ApicState.XAPIC, ApicState.X2APIC))
"""The part of the verification that finds a mistake."""


def part_of(behaviour: Behaviour) -> Settings:
    right = Behaviour()
    if behaviour.hints is not right.hints:
        return HINTS
    if behaviour.vmcs is not right.vmcs or behaviour.restores is not right.restores:
        return VMCS
    if behaviour.refuses is not right.refuses or behaviour.reads_back is not right.reads_back:
        return CREATES
    return GUESTS


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_xen_is_found(real: Library, name: str) -> None:
    found = report(real, WRONG[name], part_of(WRONG[name]))
    assert not found.ok and found.of(Verdict.DISAGREES), name
