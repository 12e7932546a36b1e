"""The end of a level-triggered interrupt: the guest's commands, and what the model expects of its answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from xenapic.apic.outcome import VmxExit
from xenapic.apic.registers import Reg
from xenapic.apic.state import ApicState
from xenapic.model.acceleration import end_leaves
from xenapic.parse.codec import decode, encode
from xenapic.probe.level import EDGE_VECTOR, LEVEL_VECTOR, ROUNDS, LevelScript
from xenapic.probe.mailbox import Command, CommandKind, Reply
from xenapic.verify.check import Verdict
from xenapic.verify.checks import check_recording
from xenapic.verify.compare import compare
from xenapic.verify.guest_records import EndRecord, ExitsRecord, LevelRecord
from xenapic.verify.level import level_checks
from xenapic.verify.recording import Recording, read_recording
from xenapic.verify.subject import Subject

RECORDED = Path(__file__).parent.parent / "data" / "recorded"
STATES = ApicState.XAPIC, ApicState.X2APIC
STAYS, LEAVES = 26, 2000
APICV, WITHOUT = "broadwell_ult-4.17", "corei3_cnl-4.17"
"""Recordings of a processor with virtual-interrupt delivery, and of one without."""


def recording(name: str) -> Recording:
    return read_recording(json.loads((RECORDED / f"{name}.json").read_text()))


def subject(name: str = APICV) -> Subject:
    return Subject.of(recording(name))[0]


class Machine:
    """A guest's APIC and Xen's I/O APIC, as they should be."""

    def __init__(self, *, delivery: bool) -> None:
        self.delivery = delivery
        self.requested: set[int] = set()
        self.served: set[int] = set()
        self.levels: set[int] = set()
        self.masked = True
        self.up = False
        self.index = 0

    def carry_out(self, command: Command) -> Reply:
        value, ticks, arrived = 0, STAYS, 0
        where = command.address & 0xFFF
        if command.kind is CommandKind.CPUID:
            ticks = LEAVES
        elif command.kind is CommandKind.STORE and command.address == 0xFEC00000:
            self.index = command.value
        elif command.kind is CommandKind.STORE and command.address == 0xFEC00010 and not self.index & 1:
            self.masked = bool(command.value & 1 << 16)
            self.request()
        elif command.address == 0xFED00010:
            assert self.masked
            self.up = True
        elif command.kind in (CommandKind.RDMSR, CommandKind.WRMSR) and command.address >= 0x800:
            where = (command.address - 0x800) << 4
        if command.kind in (CommandKind.LOAD, CommandKind.RDMSR):
            sets: dict[int, set[int]] = {
                Reg.ISR3: self.served,
                Reg.TMR3: self.levels,
                Reg.IRR3: self.requested,
            }
            value = sum(1 << vector % 32 for vector in sets.get(where, ()))
        elif where == Reg.ICR:
            self.requested.add(command.value & 0xFF)
        elif where == Reg.EOI and command.kind in (CommandKind.STORE, CommandKind.WRMSR) and self.served:
            ended = self.served.pop()
            ticks = LEAVES if ended in self.levels or not self.delivery else STAYS
            if ended in self.levels:
                self.request()
        if command.wait_for in self.requested:
            self.requested.remove(command.wait_for)
            self.served.add(command.wait_for)
            arrived = 1
        return Reply(value, 0, 0, 0, None, 0, (arrived, 0, 0, 0), 9, (ticks,) * command.repeat)

    def request(self) -> None:
        if self.up and not self.masked:
            self.levels.add(LEVEL_VECTOR)
            self.requested.add(LEVEL_VECTOR)


def record(state: ApicState = ApicState.X2APIC, *, delivery: bool = True) -> LevelRecord:
    script, machine = LevelScript(state), Machine(delivery=delivery)
    findings = script.findings([*map(machine.carry_out, script.commands)])
    counted = {10: 8, VmxExit.VIRTUALIZED_EOI: ROUNDS} if delivery else {10: 8}
    return LevelRecord.of(findings, 0, ExitsRecord(True, counted))


def wrong(made: LevelRecord, name: str = APICV) -> list[str]:
    return [check.where for check in level_checks(made, subject(name)) if check.verdict is Verdict.DISAGREES]


@pytest.mark.parametrize("state", STATES)
def test_what_a_right_xen_does_agrees(state: ApicState) -> None:
    for name, delivery in ((APICV, True), (WITHOUT, False)):
        made = record(state, delivery=delivery)
        assert made.level is not None and made.edge is not None
        assert made.level.again == (True, True, False) and made.edge.again == (False,) * ROUNDS
        assert wrong(made, name) == []
        assert len([*level_checks(made, subject(name))]) == 9
        assert decode(LevelRecord, encode(made)) == made


def test_what_debians_xen_did_on_broadwell() -> None:
    """Recorded with 4.17.7 in Bochs 3.0: the end of an edge-triggered interrupt costs as much as plain memory."""
    data = json.loads((RECORDED.parent / "level_broadwell_ult.json").read_text())
    assert (data["xen"], data["processor"]) == ("4.17.7", "broadwell_ult")
    made = [decode(LevelRecord, one) for one in data["levels"]]
    assert [one.apic_mode for one in made] == list(STATES)
    for one in made:
        assert wrong(one) == [] and one.edge is not None and one.level is not None
        assert max(one.edge.ticks) < 10 and min(one.level.ticks) > 1900
        assert one.exits is not None and one.exits.by_reason[VmxExit.VIRTUALIZED_EOI] == ROUNDS


def test_the_end_of_a_level_triggered_interrupt_leaves_everywhere() -> None:
    for name, edge in ((APICV, False), (WITHOUT, True), ("epyc-4.20", True)):
        for state in STATES:
            vcpu = subject(name).vcpu(0, state)
            assert (end_leaves(vcpu, level=False), end_leaves(vcpu, level=True)) == (edge, True)


def ends(**fields: Sequence[object]) -> Callable[[EndRecord], EndRecord]:
    return lambda made: replace(made, **{name: tuple(value) for name, value in fields.items()})  # type: ignore[arg-type]


WRONG: dict[str, Callable[[EndRecord], EndRecord]] = {
    "its end stays in the guest": ends(ticks=(STAYS,) * ROUNDS),
    "the TMR says edge": ends(level=(False,) * ROUNDS),
    "the I/O APIC is not told": ends(again=(False,) * ROUNDS),
    "it is raised although masked": ends(again=(True,) * ROUNDS),
    "it does not arrive": ends(arrivals=(1, 0, 0)),
    "it is not in service": ends(in_service=(True, True, False)),
    "it does not end": ends(ended=(False,) * ROUNDS),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_wrong_xen_does_is_found_and_compared(name: str) -> None:
    made = record()
    assert made.level is not None
    changed = replace(made, level=WRONG[name](made.level))
    (where,) = wrong(changed)
    whole = recording(APICV)
    sides = [replace(whole, levels=(one,)) for one in (made, changed)]
    (difference,) = compare("x", sides[:1], sides[1:]).differences
    assert difference.where == where


def test_an_end_that_leaves_although_it_is_edge_triggered_is_found() -> None:
    made = record()
    assert made.edge is not None
    assert len(wrong(replace(made, edge=replace(made.edge, ticks=(LEAVES,) * ROUNDS)))) == 1
    assert len(wrong(replace(made, edge=replace(made.edge, level=(True,) * ROUNDS)))) == 1


def test_exits_are_the_second_witness() -> None:
    made = record()
    assert len(wrong(replace(made, exits=ExitsRecord(True, {10: 8})))) == 1
    lost = replace(made, exits=ExitsRecord(False, {10: 8}))
    assert wrong(lost) == []


def test_a_guest_that_failed_is_not_covered_and_a_kind_of_guest_that_one_side_lacks_is_no_difference() -> (
    None
):
    failed = LevelRecord(apic_mode=ApicState.XAPIC, failed="no answer")
    (check,) = level_checks(failed, subject())
    assert check.verdict is Verdict.NOT_COVERED
    whole = recording(APICV)
    more = replace(whole, levels=(record(),))
    assert compare("x", [whole], [more]).differences == ()
    report = check_recording(more, "x")
    assert report.ok and report.compared == check_recording(whole, "x").compared + 9


def test_commands_use_two_vectors_and_one_pin() -> None:
    stores = {(one.address, one.value) for one in LevelScript(ApicState.XAPIC).commands if one.value}
    low = {value for address, value in stores if address == 0xFEC00010}
    assert low == {0x8000 | LEVEL_VECTOR, 0x18000 | LEVEL_VECTOR}
    assert LEVEL_VECTOR // 32 == EDGE_VECTOR // 32
