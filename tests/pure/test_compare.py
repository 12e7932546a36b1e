"""Comparing two Xens: each kind of change is found, and nothing else; what was not tested is said."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from xenapic.apic.state import ApicState
from xenapic.cli.app import app
from xenapic.documents import schema_text
from xenapic.errors import NameUnknown
from xenapic.model.apicbits import APIC, NOTHING, asked_word
from xenapic.probe.findings import PERIODS
from xenapic.probe.script import Script
from xenapic.verify.check import NO_ANSWER, Verdict
from xenapic.verify.checks import check_file
from xenapic.verify.compare import ABSENT, compare
from xenapic.verify.record import Settings
from xenapic.verify.recording import read_recording
from xenapic.verify.select import ASPECTS, selection_of

RECORDED = Path(__file__).parent.parent / "data" / "recorded"
OLD = RECORDED / "broadwell_ult-4.17.json"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["lab", "compare", *map(str, arguments)])


def saved(tmp_path: Path, change: Callable[[Any], object], name: str = "changed") -> Path:
    data = json.loads(OLD.read_text())
    change(data)
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(data))
    return path


def guest(data: Any, state: str = "x2apic") -> Any:
    return next(one for one in data["guest"] if one["apic_mode"] == state)


def made(accesses: Any, op: str, offset: int) -> Any:
    return next(one for one in accesses if (one["op"], one["offset"]) == (op, offset))


def clear_bit(data: Any) -> None:
    data["vmcs"][0]["secondary"] = f"{int(data['vmcs'][0]['secondary'], 16) & ~0x100:08x}"


CHANGES: dict[str, tuple[Callable[[Any], object], tuple[str, ...]]] = {
    "VMCS": (clear_bit, ("VMCS", "misc_flags 0, disabled, apic_register_virtualization", "set", "clear")),
    "other bits": (
        lambda d: d["vmcs"][0].update(pin_based="0000013f"),
        ("VMCS", "misc_flags 0, disabled, other bits of pin_based", "0x3e", "0x13e"),
    ),
    "access": (
        lambda d: made(guest(d)["accesses"], "write", 0xB0).update(ticks_min=9999, ticks_per_access=9999),
        (
            "access",
            "misc_flags 0, x2apic, write 0b0 (end of interrupt) := 0x0",
            "stays in the guest",
            "leaves the guest",
        ),
    ),
    "fault": (
        lambda d: made(guest(d)["accesses"], "read", 0x30).update(fault=13),
        (
            "access",
            "misc_flags 0, x2apic, read 030 (local APIC version)",
            "stays in the guest",
            "faults, exception 13",
        ),
    ),
    "MSR": (
        lambda d: made(guest(d)["msrs"], "read", 0x80).update(ticks_min=9999),
        ("MSR", "misc_flags 0, x2apic, RDMSR 808", "stays in the guest", "leaves the guest"),
    ),
    "CPUID": (
        lambda d: guest(d).update(cpuid_40000004_eax=0),
        ("CPUID", "misc_flags 0, x2apic, base+4 EAX", "…", "0"),
    ),
    "interrupt": (
        lambda d: guest(d)["deliveries"][0].update(arrivals=2),
        ("interrupt", "misc_flags 0, x2apic, self-ipi-msr", "arrives 1 times", "arrives 2 times"),
    ),
    "create": (
        lambda d: d["create"][0].update(errno=22),
        ("create", "flags 0x0, emulation_flags 0x0, misc_flags 0x0", "created", "EINVAL"),
    ),
    "boot log": (
        lambda d: d["features"].remove("APIC TPR shadow"),
        ("boot log", "APIC TPR shadow", "a line", ABSENT),
    ),
    "exits": (
        lambda d: guest(d, "xapic")["exits"]["by_reason"].update({"44": 663}),
        ("exits", "misc_flags 0, xapic, APIC access (44)", "664", "663"),
    ),
    "guest": (
        lambda d: guest(d, "xapic")["move"].update(fault=None),
        ("guest", "misc_flags 0, xapic, WRMSR APIC_BASE 0xfed00900", "exception 13", "no fault"),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_kind_of_change_is_found_alone(name: str, tmp_path: Path) -> None:
    change, (topic, where, before, after) = CHANGES[name]
    done = run(OLD, saved(tmp_path, change), "--json")
    assert done.exit_code == 1, done.output
    document = json.loads(done.output)
    jsonschema.validate(document, json.loads(schema_text("lab-compare")))
    (machine,) = document["machines"]
    (found,) = machine["differences"]
    assert (found["topic"], found["where"], found["second"]) == (topic, where, after)
    assert before in (found["first"], "…")


def test_the_same_differs_in_nothing_and_releases_in_what_is_known() -> None:
    done = run(OLD, OLD)
    assert done.exit_code == 0 and done.output.splitlines()[-1] == "nothing differs"
    assert run(RECORDED, RECORDED).exit_code == 0
    assert run(OLD, RECORDED / "broadwell_ult-4.20.json").exit_code == 0, "costs are no difference"
    done = run(RECORDED / "broadwell_ult-4.21.json", RECORDED / "broadwell_ult-4.22.json")
    assert done.exit_code == 1 and "2 of" in done.output
    assert done.output.count("EOPNOTSUPP") == done.output.count("EINVAL") == 2


def test_apicv_off_shows_what_it_switches_off(tmp_path: Path) -> None:
    """The machine is another, but only these controls and accesses are expected to differ."""
    with_apicv = json.loads((RECORDED.parent / "observed/xen-4.17-rc-broadwell_ult.json").read_text())
    without = json.loads((RECORDED.parent / "observed/xen-4.17-rc-broadwell_ult-apicv0.json").read_text())
    paths = []
    for name, data in (("on", with_apicv), ("off", without)):
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps(data))
    document = json.loads(run(*paths, "--json", "--select", "vmcs").output)
    (machine,) = document["machines"]
    assert machine["name"] == "broadwell_ult"
    changed = {one["where"].split(", ")[-1] for one in machine["differences"] if one["second"] == "clear"}
    assert changed == {
        "apic_register_virtualization",
        "virtual_interrupt_delivery",
    }, "x2APIC mode was not recorded without apicv: Xen refuses the flag"


def test_what_cannot_be_tested_is_125(tmp_path: Path) -> None:
    other = RECORDED / "epyc-4.20.json"
    done = run(OLD, other)
    assert done.exit_code == 125 and "only" in done.output and done.output.endswith("not tested\n")
    assert run("nosuch", OLD).exit_code == 125
    assert run(OLD, OLD, "--select", "nosuch").exit_code == 125
    (tmp_path / "x.json").write_text("{")
    assert run(OLD, tmp_path / "x.json").exit_code == 125
    (tmp_path / "empty.json").write_text(
        json.dumps({**json.loads(OLD.read_text()), "processor": "", "create": [], "guest": [], "vmcs": []})
    )
    assert run(OLD, tmp_path / "empty.json").exit_code == 125


def test_a_guest_that_gives_no_answer_is_a_difference(tmp_path: Path) -> None:
    def fail(data: Any) -> None:
        index = data["guest"].index(guest(data))
        data["guest"][index] = {"apic_mode": "x2apic", "failed": "it hung"}

    done = run(OLD, saved(tmp_path, fail))
    assert done.exit_code == 1 and "no answer: it hung" in done.output


def test_costs_beyond_the_spread_alone_are_shown() -> None:
    old = json.loads(OLD.read_text())
    slow = copy.deepcopy(old)
    access = made(guest(slow, "xapic")["accesses"], "write", 0xB0)
    index = guest(slow, "xapic")["accesses"].index(access)
    first = guest(old, "xapic")["accesses"][index]
    first.update(ticks_per_access=10, ticks_min=20)
    access.update(ticks_per_access=12, ticks_min=22)
    recordings = [read_recording(data) for data in (old, slow)]
    assert compare("x", recordings[:1], recordings[1:]).dearer == ()
    access.update(ticks_per_access=100, ticks_min=110)
    slower = read_recording(slow)
    (cost,) = compare("x", recordings[:1], [slower]).dearer
    assert cost.where.endswith("write 0b0 (end of interrupt) := 0x0") and cost.second - cost.first == 90
    # Two recordings of the second Xen that lie as far apart make it the spread.
    assert compare("x", recordings[:1], [recordings[0], slower]).dearer == ()


def test_the_page_has_the_maps_side_by_side(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    run(OLD, saved(tmp_path, CHANGES["access"][0], "<b>"), "--html", page)
    text = page.read_text()
    assert text.count('class="map"') == 8 and "&lt;b&gt;" in text
    assert text.count('class="s d"') == 1 and text.count('class="l d"') == 1


# -- --select ------------------------------------------------------------------------------------------


def test_a_selection_by_name_offset_and_msr() -> None:
    assert selection_of("") == selection_of(",") and not selection_of("")
    for word in ("EOI", "eoi", "0b0", "0xb0", "80b"):
        assert selection_of(word).registers == {0xB0}
    chosen = selection_of("x2apic, TPR,vmcs,access")
    assert chosen.states == (ApicState.X2APIC,) and chosen.aspects == {"vmcs", "access"}
    for word in ("nosuch", "0b1", "xapc", "9999"):
        with pytest.raises(NameUnknown, match="state, aspect or register"):
            selection_of(word)


def test_a_selection_takes_its_part_of_a_report() -> None:
    report = check_file(OLD)
    whole = [check for check in report.checks if check.verdict is Verdict.AGREES]
    by_aspect = {a: [c for c in whole if selection_of(a).takes(c.topic, c.where)] for a in ASPECTS}
    assert sum(map(len, by_aspect.values())) == len(whole) and all(by_aspect.values())
    eoi = selection_of("x2apic,EOI").report(report)
    assert {c.topic for c in eoi.checks} == {"access"} and eoi.ok
    assert all(
        "x2apic" in c.where and ("0b0" in c.where or "0b1" in c.where or "80b" in c.where) for c in eoi.checks
    )
    assert len(eoi.checks) >= 6


def test_a_selection_of_what_domains_ask_for() -> None:
    word = asked_word(APIC.POSTED, APIC.REGISTERS)
    chosen = selection_of("default,+posted-REGISTERS,interrupt")
    assert chosen and chosen.requests == (0, word) and chosen.aspects == {"interrupt"}
    for where, taken in (
        ("misc_flags +POSTED -REGISTERS, xapic, timer", True),
        ("two vCPUs, misc_flags 0, starts by INIT and SIPI", True),
        ("misc_flags -REGISTERS, xapic, timer", False),
        ("misc_flags +POSTED -REGISTERS -DELIVERY, xapic, timer", False),
    ):
        assert chosen.takes("interrupt", where) is taken
    created = f"flags 0x3, emulation_flags 0x1, misc_flags {word:#x}"
    assert selection_of("+POSTED-REGISTERS").takes("create", created)
    assert not selection_of("default").takes("create", created)
    assert selection_of("default").takes("create", "flags 0x3, emulation_flags 0x1, misc_flags 0x0")
    assert Settings().part("-DELIVERY").requests == (asked_word(NOTHING, APIC.DELIVERY),)
    for wrong in ("-nosuch", "+", "-TPR_SHADOW-"):
        with pytest.raises(NameUnknown, match="TPR_SHADOW"):
            selection_of(wrong)


def test_a_guest_without_an_answer_is_in_each_part_that_guests_show() -> None:
    at = "misc_flags -DELIVERY, x2apic"
    for words, taken in (
        ("access,x2apic,-DELIVERY", True),
        ("cpuid", True),
        ("EOI", True),
        ("access,xapic", False),
        ("access,default", False),
        ("vmcs,create", False),
    ):
        assert selection_of(words).takes(NO_ANSWER, at) is taken, words


def test_a_selection_records_less() -> None:
    settings = Settings(refusals=True, trace=True)
    assert settings.part("") == settings
    part = settings.part("x2apic,vmcs")
    assert part.states == (ApicState.X2APIC,) and part.vmcs and not (part.probe or part.creates or part.trace)
    part = settings.part("EOI")
    assert part.probe and part.registers == {0xB0} and not (part.vmcs or part.trace or part.creates)
    less, all_of_it = Script(ApicState.X2APIC, registers=part.registers), Script(ApicState.X2APIC)
    assert len(less.sections["accesses"]) == 1 and len(less.commands) < len(all_of_it.commands) / 3
    assert len(less.sections["delivery"]) == len(all_of_it.sections["delivery"])


@pytest.mark.thorough
def test_git_bisect_finds_the_commit_that_changed_something(tmp_path: Path) -> None:
    """``git bisect run`` understands the exit statuses: good (0), bad (1), cannot be tested (125)."""

    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *who, *words], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    same, other = ((RECORDED / f"broadwell_ult-{name}.json").read_text() for name in ("4.17", "4.17-rc"))
    (tmp_path / ".git/info").mkdir(parents=True)
    git("init", "-q")
    for number, content in enumerate((same, same, "{", same, other, other), 1):
        (tmp_path / "now.json").write_text(content)
        (tmp_path / "number").write_text(str(number))
        git("add", "now.json", "number")
        git("commit", "-q", "-m", f"commit {number}")
    first = str(RECORDED / "broadwell_ult-4.17.json")
    run = [sys.executable, "-m", "xenapic", "lab", "compare", first, "now.json", "--select", "vmcs"]
    git("bisect", "start", "HEAD", "HEAD~5")
    said = git("bisect", "run", *run)
    assert "is the first bad commit" in said
    assert git("show", "refs/bisect/bad:number") == "5"


def test_how_often_a_periodic_timer_fires_before_it_is_stopped_is_no_difference(tmp_path: Path) -> None:
    """Nor are the exits of its ends, where each end exits."""

    def fires(often: int) -> Callable[[Any], object]:
        def change(data: Any) -> None:
            for one in data["guest"]:
                reason = "124" if one["apic_mode"] == "x2apic" else "1024"
                for delivery in one.get("deliveries", ()):
                    if delivery["kind"] == "timer-periodic":
                        more = often - delivery["arrivals"]
                        delivery["arrivals"] = often
                        if often >= PERIODS:
                            one["exits"]["by_reason"][reason] += more

        return change

    epyc = RECORDED / "epyc-4.20.json"
    for often, status in ((PERIODS + 2, 0), (PERIODS - 1, 1)):
        data = json.loads(epyc.read_text())
        fires(often)(data)
        changed = tmp_path / f"{often}.json"
        changed.write_text(json.dumps(data))
        done = run(epyc, changed)
        assert done.exit_code == status, done.output
    assert done.output.count("timer-periodic") == 3


def test_a_create_that_only_one_side_was_sent_is_no_difference(tmp_path: Path) -> None:
    less = saved(tmp_path, lambda data: data["create"].pop())
    assert run(OLD, less).exit_code == 0


PAUSE_OF_SVM = 0x77


def test_how_often_a_guest_pauses_is_no_difference(tmp_path: Path) -> None:
    recorded = RECORDED / "epyc-4.20.json"
    data = json.loads(recorded.read_text())
    for one in data["guest"]:
        one["exits"]["by_reason"][str(PAUSE_OF_SVM)] = 6
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(data))
    done = run(recorded, changed)
    assert done.exit_code == 0, done.output
