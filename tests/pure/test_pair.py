"""The program for two vCPUs, which interrupt each other: its commands, and what the model expects of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenapic.apic.state import ApicState
from xenapic.model.apicbits import APIC, NOTHING, asked_word
from xenapic.model.flags import PHYSCAP
from xenapic.model.ipi import ALL_BUT_SELF, LOGICAL, LOWEST_PRIORITY, Receiver, receivers, x2apic_ldr
from xenapic.parse.codec import decode, encode
from xenapic.probe.mailbox import Command, CommandKind, Reply
from xenapic.probe.pair import MIXES, IpiKind, PairScript, expected_receivers
from xenapic.verify.check import Verdict
from xenapic.verify.gaps import NO_GUEST
from xenapic.verify.guest import guest_checks
from xenapic.verify.guest_records import GuestRecord, PairRecord
from xenapic.verify.pair import pair_checks
from xenapic.verify.recording import CapabilityWords, Recording
from xenapic.verify.subject import Subject

X, X2 = ApicState.XAPIC, ApicState.X2APIC
SELF, ALL = 1 << 18, 2 << 18
PAIR = (Receiver(X, 0, 1), Receiver(X, 2, 4))


def test_destinations_in_xapic_mode() -> None:
    assert receivers(0, 2, 0, PAIR) == {1}
    assert receivers(0, 0xFF, 0, PAIR) == {0, 1}
    assert receivers(LOGICAL, 5, 0, PAIR) == {0, 1}
    assert receivers(LOGICAL, 2, 0, PAIR) == set()
    assert [receivers(bits, 2, 0, PAIR) for bits in (SELF, ALL, ALL_BUT_SELF)] == [{0}, {0, 1}, {1}]


def test_each_target_is_matched_in_its_own_mode() -> None:
    mixed = (PAIR[0], replace(PAIR[1], state=X2))
    assert receivers(0, 0xFF, 0, mixed) == {0}
    assert receivers(0, 0xFFFFFFFF, 1, mixed) == {1}
    assert receivers(LOGICAL, 1 << 16 | 4, 0, mixed) == set(), "another cluster; not the flat ID"
    assert receivers(LOGICAL, 1 << 16 | 1, 0, mixed) == {0}, "in xAPIC mode the low byte counts"


def test_lowest_priority() -> None:
    busy = (replace(PAIR[0], priority=0x30), PAIR[1])
    assert receivers(LOGICAL | LOWEST_PRIORITY, 5, 0, busy) == {1}
    assert receivers(LOGICAL | LOWEST_PRIORITY, 5, 0, PAIR) == {0, 1}
    assert receivers(LOGICAL | LOWEST_PRIORITY, 2, 0, PAIR) == set()


def test_logical_ids_in_x2apic_mode() -> None:
    assert [x2apic_ldr(number) for number in (0, 2, 15, 16, 33)] == [1, 4, 0x8000, 0x10001, 0x20002]


@given(st.integers(0, 254).map(lambda number: number * 2), st.sampled_from([X, X2]))
def test_an_apic_accepts_its_own_ids(identity: int, state: ApicState) -> None:
    one = Receiver(state, identity if state is X2 else identity & 0xFE, 0x40)
    assert one.accepts(one.identity, logical=False)
    assert one.accepts(x2apic_ldr(identity) if state is X2 else 0x40, logical=True)


def answered(script: PairScript) -> list[Reply]:
    """Answers of a guest in which everything arrives as the model says."""
    known = {place: (states, sender, kind) for place, states, sender, kind in script._sent}
    values = {CommandKind.RDMSR: 0xFEE00800}

    def arrivals(place: int) -> tuple[int, ...]:
        if place not in known:
            return (0, 0, 0, 0)
        states, sender, kind = known[place]
        reached = sorted(expected_receivers(kind, sender, states))
        if kind in (IpiKind.LOWEST, IpiKind.LOWEST_BUSY):
            reached = reached[-1:]
        return tuple(int(number in reached) for number in range(4))

    def value(command: Command) -> int:
        if command.kind is CommandKind.LOAD:
            return {0x20: 2 << 24, 0xF0: 0xFF}[command.address & 0xFFF]
        return values.get(command.kind, 0)

    return [
        Reply(value(command), 0, 0, 0, None, 0, arrivals(place), 9, (9,))
        for place, command in enumerate(script.commands)
    ]


def subject(processor: str = "broadwell_ult", *, per_control: bool = False) -> Subject:
    words = CapabilityWords(int(PHYSCAP.hvm), 0)
    recording = Recording(
        xen="4.17.5",
        processor=processor,
        xen_options=(),
        emulator="bochs 3.0",
        physinfo=words,
        per_control=per_control or None,
    )
    return Subject.of(recording)[0]


def record() -> PairRecord:
    script = PairScript()
    return PairRecord.of(script.findings(answered(script), (1, 2, 0, 0)), 0)


def test_every_kind_is_sent_in_every_mix_of_modes() -> None:
    sent = [(states, kind) for _place, states, sender, kind in PairScript()._sent if sender == 0]
    assert sorted(map(str, sent)) == sorted(str((states, kind)) for states in MIXES for kind in IpiKind)
    assert len({kind.vector for kind in IpiKind}) == len(IpiKind)


def test_both_timers_go_off_in_every_mix_of_modes() -> None:
    script = PairScript()
    timers = [(place, states, vcpu) for place, states, vcpu, kind in script._sent if kind is IpiKind.TIMER]
    assert len(timers) == 2 * len(MIXES)
    for place, states, vcpu in timers:
        assert expected_receivers(IpiKind.TIMER, vcpu, states) == {vcpu}
        one = script.commands[place]
        assert one.cpu == vcpu and one.address in (0x838, 0xFEE00380) and one.value > 0


def test_commands_go_through_the_way_that_the_mode_has() -> None:
    state = {0: X, 1: X}
    for one in PairScript().commands:
        if one.kind is CommandKind.WRMSR and one.address == 0x1B:
            state[one.cpu] = ApicState.from_apic_base(one.value)
        elif one.kind in (CommandKind.LOAD, CommandKind.STORE):
            assert state[one.cpu] is X
        elif one.kind in (CommandKind.RDMSR, CommandKind.WRMSR) and one.address >= 0x800:
            assert state[one.cpu] is X2


def test_a_guest_that_does_as_the_model_says_agrees() -> None:
    checks = list(pair_checks(record(), subject()))
    assert len(checks) > 50 and {check.verdict for check in checks} == {Verdict.AGREES}
    assert decode(PairRecord, encode(record())) == record()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"starts": (1, 1)}, "starts by INIT and SIPI"),
        ({"second_apic_base": 0xFEE00900}, "APIC_BASE of the second"),
        ({"second_id": 0}, "ID of the second"),
        ({"spiv_after_init": 0x1FF}, "SPIV after INIT"),
    ],
)
def test_every_difference_is_found(change: dict[str, Any], text: str) -> None:
    (wrong,) = [
        check
        for check in pair_checks(replace(record(), **change), subject())
        if check.verdict is Verdict.DISAGREES
    ]
    assert text in wrong.where


def test_an_interrupt_too_many_or_too_few_is_found() -> None:
    good = record()
    for number, sent in enumerate(good.ipis):
        for arrivals in ((2, 1), (0, 2), (3, 0)):
            ipis = list(good.ipis)
            ipis[number] = replace(sent, arrivals=arrivals)
            wrong = [
                one
                for one in pair_checks(replace(good, ipis=tuple(ipis)), subject())
                if one.verdict is Verdict.DISAGREES
            ]
            assert len(wrong) == 1 and sent.kind.value in wrong[0].where
    failed = PairRecord(failed="no answer")
    assert [check.verdict for check in pair_checks(failed, subject())] == [Verdict.NOT_COVERED]


def test_a_guest_without_an_answer_disagrees_where_domains_choose_their_controls() -> None:
    failed = PairRecord(misc_flags=asked_word(NOTHING, APIC.DELIVERY), failed="it stopped")
    (check,) = pair_checks(failed, subject(per_control=True))
    assert (check.verdict, check.found) == (Verdict.DISAGREES, "it stopped")
    assert "two vCPUs, misc_flags -DELIVERY" in check.where
    guest = GuestRecord(misc_flags=failed.misc_flags, apic_mode=X, failed="it stopped")
    (check,) = guest_checks(guest, subject(per_control=True))
    assert check.verdict is Verdict.DISAGREES
    assert [check.verdict for check in guest_checks(guest, subject())] == [Verdict.NOT_COVERED]


def test_bochs_starts_no_guest_with_posted_interrupts() -> None:
    posting = subject("sapphire_rapids", per_control=True)
    (check,) = pair_checks(PairRecord(failed="it stopped"), posting)
    assert (check.verdict, check.why) == (Verdict.NOT_COVERED, NO_GUEST)
    without = PairRecord(misc_flags=asked_word(NOTHING, APIC.POSTED), failed="it stopped")
    (check,) = pair_checks(without, posting)
    assert check.verdict is Verdict.DISAGREES
    real = replace(posting, emulator="")
    assert [check.verdict for check in pair_checks(PairRecord(failed="it stopped"), real)] == [
        Verdict.DISAGREES
    ]
