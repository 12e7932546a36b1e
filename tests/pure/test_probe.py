"""The probe guest's parts that need no Xen: its list of commands, its binary, and how its answers are read."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xenapic.apic.state import ApicState
from xenapic.documents import from_json, to_json
from xenapic.loader.executable import Executable, read_executable
from xenapic.loader.layout import ModuleSize, lay_out
from xenapic.loader.memorymap import PAGE_BYTES
from xenapic.probe import run
from xenapic.probe import script as plan
from xenapic.probe.findings import Access, Calibration, DeliveryKind, Findings, Op, ProbeOutcome
from xenapic.probe.mailbox import (
    HEAD_BYTES,
    MOST_VCPUS,
    Command,
    CommandKind,
    EoiKind,
    Head,
    Reply,
    State,
    read_replies,
    write_commands,
)
from xenapic.probe.script import Script
from xenapic.verify.guest_records import GuestRecord
from xenapic.verify.recording import CapabilityWords, Recording

OBSERVED = Path(__file__).parent.parent / "data" / "observed"
GUEST = Path(run.__file__).parent / "guest"


BUILD = (
    "ld -n -z noexecstack --no-warn-rwx-segments -Ttext 0x100000 --section-start=.ap=0x8000 "
    "--section-start=.note.Xen=0x8040 -e start"
)


def guest() -> Executable:
    return read_executable((GUEST / "probe.elf").read_bytes(), "probe.elf")


@pytest.mark.skipif(not (shutil.which("as") and shutil.which("ld")), reason="needs an assembler (binutils)")
def test_the_guest_is_what_its_source_says(tmp_path: Path) -> None:
    made, built = tmp_path / "probe.o", tmp_path / "probe.elf"
    subprocess.run(["as", "--64", GUEST / "probe.S", "-o", made], check=True)
    subprocess.run([*BUILD.split(), made, "-o", built], check=True)
    assert read_executable(built.read_bytes(), "built") == guest()
    source = " ".join((GUEST / "probe.S").read_text().replace("\\", "").replace("*", "").split())
    assert BUILD in source


def test_the_guest_has_the_room_it_takes() -> None:
    layout = lay_out(guest(), [ModuleSize("commands", 100_000)], memory_mib=run.MEMORY_MIB, acpi=False)
    trampoline, code = layout.contents[1:3]
    assert (trampoline.address, layout.entry) == (0x8000, code.address)
    assert code.end <= plan.SCRATCH and layout.modules[0].address >= plan.SCRATCH + PAGE_BYTES


def test_both_sides_lay_the_list_out_alike() -> None:
    rows = [line.split()[1:3] for line in (GUEST / "probe.S").read_text().splitlines() if ".equ" in line]
    equates = {name.rstrip(","): int(value, 0) for name, value in rows}
    command = len(write_commands([Command(CommandKind.LOAD)], 0)) - HEAD_BYTES
    assert (equates["HEAD_BYTES"], equates["COMMAND_BYTES"]) == (HEAD_BYTES, command)
    assert equates["MOST_CPUS"] == MOST_VCPUS
    (table,) = re.findall(r"^kinds:((?:\s+\.quad .*\n)+)", (GUEST / "probe.S").read_text(), re.MULTILINE)
    assert len(re.findall(r"\w+", table.replace(".quad", ""))) == len(CommandKind)


def recordings() -> Iterator[dict[str, Any]]:
    for path in sorted(OBSERVED.glob("*.json")):
        yield from json.loads(path.read_text())["guest"]


def test_the_recordings_accesses_are_made_in_their_order() -> None:
    found = 0
    for recording in recordings():
        section = Script(ApicState(recording["apic_mode"])).sections["accesses"]
        mine = [(plan._offset(one), plan._op(one).value) for one in section]
        assert mine == [(one["offset"], one["op"]) for one in recording["accesses"]]
        written = [one["value"] for one in recording["accesses"] if one["op"] == "write"]
        assert [one.value for one in section if plan._op(one) is Op.WRITE] == written
        found += 1
    assert found > 10


@pytest.mark.parametrize("state", ApicState)
def test_every_register_is_read_and_written(state: ApicState) -> None:
    sections = Script(state).sections
    made = {(plan._op(one), plan._offset(one)) for one in (*sections["accesses"], *sections["extra"])}
    assert made >= {(op, offset) for op in (Op.READ, Op.WRITE) for offset in range(0, 0x400, 0x10)}


@pytest.mark.parametrize("state", ApicState)
def test_accesses_go_where_the_apic_is(state: ApicState) -> None:
    for one in Script(state).sections["accesses"]:
        if state is ApicState.X2APIC:
            assert one.kind in (CommandKind.RDMSR, CommandKind.WRMSR) and 0x800 <= one.address <= 0x83F
        else:
            assert one.kind in (CommandKind.LOAD, CommandKind.STORE)
            assert one.address & ~0xFFF == state.apic_base & ~0xFFF


def test_interrupts_are_asked_for_where_there_is_an_apic() -> None:
    def kinds(state: ApicState) -> list[str]:
        return [one.kind.value for one in Script(state).findings(answers(Script(state))).deliveries]

    assert kinds(ApicState.DISABLED) == []
    by_page = ["icr-self", "icr-all", "timer", "timer-periodic", "tsc-deadline"]
    assert kinds(ApicState.XAPIC) == kinds(ApicState.RELOCATED) == by_page
    assert kinds(ApicState.X2APIC) == ["self-ipi-msr", *by_page]
    ends = {state: Script(state).commands[0] for state in ApicState}
    assert {command.kind for command in ends.values()} == {CommandKind.EOI_BY}
    assert {state.value: (command.value, command.address) for state, command in ends.items()} == {
        "disabled": (EoiKind.NONE, 0),
        "xapic": (EoiKind.STORE, 0xFEE000B0),
        "x2apic": (EoiKind.WRMSR, 0x80B),
        "xapic-relocated": (EoiKind.STORE, 0xFED000B0),
    }


def answer(command: Command, cost: int = 10, **fields: Any) -> Reply:
    given = {
        "rax": 0,
        "rbx": 0,
        "rcx": 0,
        "rdx": 0,
        "fault": None,
        "error_code": 0,
        "arrivals": (0, 0, 0, 0),
        "waited": 0,
    }
    return Reply(**{**given, **fields}, ticks=tuple(range(cost, cost + command.repeat)))


def answers(of: Script, **costs: int) -> list[Reply]:
    """Answers of a guest in which all accesses stay and only CPUID exits."""
    given = {"NOTHING": 8, "CPUID": 1000, **costs}
    return [answer(one, given.get(one.kind.name, 10)) for one in of.commands]


def test_findings() -> None:
    of = Script(ApicState.XAPIC)
    given = answers(of, STORE=700)
    sections, at = of.sections, 0
    for name, section in sections.items():
        for number, command in enumerate(section):
            if name == "identity" and command.value == 0x40000100:
                given[at] = answer(command, 1000, rbx=0x566E6558, rcx=0x65584D4D, rdx=0x4D4D566E)
            elif name == "identity" and command.value == 0x40000104:
                given[at] = answer(command, 1000, rax=0x5F)
            elif name.startswith("calibration") and command.kind is CommandKind.STORE:
                given[at] = answer(command, 12)
            elif name == "calibration" and command.kind is CommandKind.CPUID:
                given[at] = answer(command, 1500, rcx=7)
            elif name == "accesses" and command.address == 0xFEE00030:
                given[at] = answer(command, 9, rax=0x50014)
            elif name == "page" and number == 2:
                given[at] = answer(command, rax=plan.PATTERN)
            elif name == "msrs":
                given[at] = answer(command, 900, rax=7, fault=13)
            elif command.wait_for == 0xE4:
                given[at] = answer(command, arrivals=(1, 0, 0, 0), waited=5000)
            at += 1
    found = of.findings(given)
    assert (found.hypervisor_leaf, found.cpuid_apic, found.cpuid_1_ecx) == (0x40000100, 0x5F, 7)
    assert found.calibration == Calibration(overhead=8, memory=12, exit=1000)
    assert found.calibration.clear and found.calibration.threshold == 506
    assert found.version == 0x50014 and found.page_is_memory
    outcomes = {(one.op, found.outcome(one)) for one in found.accesses}
    assert outcomes == {(Op.READ, ProbeOutcome.STAYS), (Op.WRITE, ProbeOutcome.LEAVES)}
    assert {(found.outcome(one), one.fault, found.left(one)) for one in found.msrs} == {
        (ProbeOutcome.FAULTS, 13, True)
    }
    assert all(one.value == 0 for one in found.msrs), "what a faulting read leaves behind is no value"
    timer = next(one for one in found.deliveries if one.kind is DeliveryKind.TIMER)
    assert (timer.kind, timer.arrivals, timer.ticks, timer.vector) == (DeliveryKind.TIMER, 1, 5000, 0xE4)
    assert found.deliveries[0].arrivals == 0
    written = json.loads(json.dumps(to_json(found)))
    assert written["page_is_memory"] is True and from_json(written, Findings) == found


@pytest.mark.parametrize("state", ApicState)
def test_code_is_fetched_where_an_emulator_survives_it(state: ApicState) -> None:
    def fetches(fetch: bool) -> int:
        return sum(one.kind is CommandKind.FETCH for one in Script(state, fetch=fetch).commands)

    assert (fetches(False), fetches(True)) == (int(state is ApicState.DISABLED), 1)


def test_unusual_accesses_say_their_width_and_place() -> None:
    found = Script(ApicState.XAPIC, fetch=True).findings(answers(Script(ApicState.XAPIC, fetch=True)))
    assert {one.width for one in found.unusual} == {8, 16, 32, 64, 128}
    assert {one.op for one in found.unusual} == set(Op)
    assert {(one.offset % 16 + one.width // 8 <= 4) for one in found.unusual} == {True, False}
    assert [(one.op, one.value) for one in found.cr8 if one.op is Op.WRITE] == [(Op.WRITE, 16), (Op.WRITE, 2)]
    assert {one.offset for one in found.cr8} == {0x80}
    assert found.cr8_in_tpr is not None
    only = Script(ApicState.XAPIC, registers=frozenset({0x30})).sections
    assert {plan._offset(one) & ~0xF for one in only["unusual"]} == {0x30} and only["cr8"] == ()


def test_a_recording_has_the_recordings_keys() -> None:
    of = Script(ApicState.X2APIC)
    mine = to_json(
        Recording(
            xen="4.17.7",
            processor="",
            xen_options=(),
            physinfo=CapabilityWords(0),
            guest=(GuestRecord.of(of.findings(answers(of)), 6),),
        )
    )["guest"][0]
    real = next(one for one in recordings() if one["apic_mode"] == "x2apic")
    assert real.keys() - mine.keys() == {"cpuid_40000004_eax"}, "these answers have no leaf of Xen"
    assert mine["accesses"][0].keys() >= real["accesses"][0].keys()
    assert (mine["misc_flags"], mine["apic_mode"]) == (6, "x2apic")
    assert mine["accesses"][0]["ticks_per_access"] == 6, "what reading the TSC costs is taken off"


def test_the_cheapest_try_decides() -> None:
    one = Access(0x20, Op.READ, 0, (9, 9, 9, 9, 9, 9, 9, 80000))
    assert (one.ticks_min, one.ticks_mean) == (9, 10007.875)


def test_unclear_costs_are_noticed() -> None:
    assert not Calibration(overhead=8, memory=400, exit=1000).clear
    assert not Calibration(overhead=8, memory=7, exit=8).clear
    assert not Calibration(overhead=90, memory=60, exit=130).clear
    assert Calibration(overhead=86000, memory=86100, exit=172000).clear


def test_list_of_commands() -> None:
    commands = [
        Command(CommandKind.STORE, 0xFEE00080, 0x20),
        Command(CommandKind.WRMSR, 0x83F, 0xF2, repeat=1, wait_for=0xF2, expected=2, cpu=3),
    ]
    data = bytearray(write_commands(commands, 7))
    assert Head.from_bytes(bytes(data)) == Head(State.FRESH, 2, 0, 7, 0, 0, (0, 0, 0), (0, 0, 0, 0))
    second = HEAD_BYTES + 120
    asked = struct.unpack_from("<BBBBIQI", data, second)
    assert asked == (CommandKind.WRMSR, 1, 0xF2, 3, 0x83F, 0xF2, 2)
    struct.pack_into("<4Q3I4x5I", data, second + 24, 1, 2, 3, 4, 0x10D, 5, 6, 0, 2, 0, 1, 8)
    first, last = read_replies(bytes(data), commands)
    assert first.fault is None and len(first.ticks) == 8
    assert last == Reply(1, 2, 3, 4, 13, 5, (0, 2, 0, 1), 6, (8,))
    assert last.value == 4 << 64 | 1
