"""XTF's tests: the tree, the verdicts, what differs, and the lab whose Xen goes down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.xtftree import GUESTS, VERDICTS, result, write_test, write_tree
from xenapic.cli.app import app
from xenapic.documents import from_json, to_json
from xenapic.documents.junit import junit, of_run
from xenapic.errors import DocumentInvalid, FileUnreadable, NameUnknown
from xenapic.lab import runner
from xenapic.lab.errors import LabPrerequisite, XenPanicked
from xenapic.loader.kernel import read_kernel
from xenapic.model.flags import Shutdown
from xenapic.model.viridian import DEFAULT_GROUPS, viridian_mask
from xenapic.parse.codec import encode
from xenapic.xtf.inlab import MOST_CRASHES, Place, run_on
from xenapic.xtf.job import Event
from xenapic.xtf.results import XtfReport, XtfResult, XtfRun
from xenapic.xtf.run import Settings
from xenapic.xtf.tree import find_tests, select_tests
from xenapic.xtf.verdict import KEPT_COLUMNS, KEPT_LINES, XtfVerdict, judge, lines_of


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write_tree(tmp_path)
    return tmp_path


# -- the tree ----------------------------------------------------------------------------------------


def names(tree: Path, *words: str) -> list[str]:
    return [test.name for test in select_tests(find_tests(tree), words)]


def test_a_tree_is_read(tree: Path) -> None:
    found = find_tests(tree)
    assert len(found) == len(GUESTS) + 2
    assert not [test for test in found if test.environment == "pv64"]
    for test in found:
        assert read_kernel(test.image.read_bytes(), "k").entry == 0x100000
        assert test.config.is_file()


def test_tests_are_selected_as_with_xtf_runner(tree: Path) -> None:
    write_test(tree, "tool", GUESTS["fine"], category="utility", environments=("hvm64", "hvm32pae"))
    write_test(tree, "old", GUESTS["fine"], category="xsa", environments=("hvm64",))
    assert "test-hvm64-tool" not in names(tree)
    assert len(names(tree)) == len(GUESTS) + 3
    assert names(tree, "utility") == ["test-hvm32pae-tool", "test-hvm64-tool"]
    assert names(tree, "xsa", "hvm64") == ["test-hvm64-old"]
    assert names(tree, "xsa", "utility", "hvm64") == ["test-hvm64-old", "test-hvm64-tool"]
    assert names(tree, "hvm64-tool") == names(tree, "test-hvm64-tool") == ["test-hvm64-tool"]
    assert names(tree, "shadow") == ["test-hvm32-shadow~hap", "test-hvm32-shadow~shadow"]
    assert names(tree, "test-hvm32-shadow~hap") == ["test-hvm32-shadow~hap"]
    assert names(tree, "f*") == [f"test-hvm32-{name}" for name in ("fails", "faults", "fine", "floods")]
    assert len(names(tree, "hvm")) == len(GUESTS) + 5
    with pytest.raises(NameUnknown, match="no XTF test named 'fnie'; did you mean fine"):
        names(tree, "fnie")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "info.json: not JSON: line 1"),
        ("[]", "must be an object"),
        ('{"name": "other"}', "name: must be the name of the directory, 'bad'"),
        ('{"name": "bad", "category": "x"}', "category: must be one of"),
        ('{"name": "bad", "category": "xsa", "environments": 3}', "environments: must be a list of names"),
        (
            '{"name": "bad", "category": "xsa", "environments": ["hvm32"], "variations": ["../x"]}',
            "variations: must be a list of names",
        ),
    ],
)
def test_a_tree_that_makes_no_sense_is_refused(tree: Path, content: str, why: str) -> None:
    (tree / "tests" / "bad").mkdir()
    (tree / "tests" / "bad" / "info.json").write_text(content)
    with pytest.raises(DocumentInvalid, match=why):
        find_tests(tree)


def test_a_directory_that_is_no_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match="no tree of XTF"):
        find_tests(tmp_path)
    (tmp_path / "tests" / "a").mkdir(parents=True)
    with pytest.raises(FileUnreadable, match="none of the 1 directories in tests has an info.json"):
        find_tests(tmp_path)


def test_the_mask_of_viridian() -> None:
    assert viridian_mask(()) == viridian_mask(["freq"]) == 0
    assert viridian_mask(["base"]) == 0b11, "without the frequencies"
    assert viridian_mask(["base", "freq"]) == 0b01
    assert viridian_mask(DEFAULT_GROUPS) == 0b1_1000_0110_0101


# -- verdicts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "reason", "verdict", "note"),
    [
        (result("SUCCESS"), Shutdown.poweroff, "success", ""),
        (result("SUCCESS with warnings"), Shutdown.poweroff, "success", ""),
        (result("SKIP"), Shutdown.poweroff, "skip", ""),
        ("Skip: no FEP\n" + result("SKIP"), Shutdown.poweroff, "skip", "Skip: no FEP"),
        ("Error: bug\n" + result("ERROR"), Shutdown.poweroff, "error", "Error: bug"),
        ("Fail: one\nFail: two\n" + result("FAILURE"), Shutdown.poweroff, "failure", "Fail: two"),
        (result("FAILURE"), Shutdown.poweroff, "failure", ""),
        ("PANIC: why\n****\n", Shutdown.crash, "crash", "a crash; its last words: PANIC: why"),
        (
            result("RUNNING"),
            Shutdown.poweroff,
            "crash",
            "without a result; its last words: Test result: RUNNING",
        ),
        (result("SUCCESS") + "more\n", Shutdown.poweroff, "crash", "without a result; its last words: more"),
        (result("SUCCESS"), Shutdown.crash, "crash", "ended with a crash"),
        ("Test result: SUCCESSES\n", Shutdown.poweroff, "crash", "without a result"),
        ("", Shutdown.reboot, "crash", "ended with a reboot; it printed nothing"),
    ],
)
def test_verdicts(output: str, reason: Shutdown, verdict: str, note: str) -> None:
    judged = judge(lines_of(output.encode()), reason, reason.name)
    assert judged.verdict.value == verdict
    assert note in judged.note and bool(note) == bool(judged.note)
    assert judged.warnings == ("with warnings" in output)


@given(st.binary(max_size=3000))
def test_any_output_has_lines_that_can_be_printed(output: bytes) -> None:
    for line in lines_of(output):
        assert line and line.isprintable() and len(line) <= KEPT_COLUMNS


def test_a_flood_is_cut_at_its_start() -> None:
    lines = lines_of(b"x" * 5000 + b"\n" + b"noise\n" * 5000 + result("SUCCESS").encode())
    assert len(lines) == KEPT_LINES
    assert judge(lines, Shutdown.poweroff, "poweroff").verdict is XtfVerdict.SUCCESS


# -- reports -----------------------------------------------------------------------------------------


def one(name: str, verdict: str, *output: str, note: str = "") -> XtfResult:
    return XtfResult(name, XtfVerdict(verdict), note, False, 0.5, output)


def run_of(title: str, *results: XtfResult, untested: str | None = None) -> XtfRun:
    return XtfRun(title, title, None, None, untested, results)


def test_what_differs() -> None:
    first = run_of(
        "A", one("a", "success", "x", "1"), one("b", "skip", "same", "ESR 0x60"), one("c", "success")
    )
    second = run_of(
        "B", one("a", "failure", "x", "2"), one("b", "skip", "same", "ESR 0"), one("c", "success")
    )
    report = XtfReport.of([first, second])
    a, b = report.differences
    assert (a.name, a.in_verdict, a.verdicts) == ("a", True, {"A": "success", "B": "failure"})
    assert (b.name, b.in_verdict, b.only) == ("b", False, {"A": ("ESR 0x60",), "B": ("ESR 0",)})
    assert not report.ok and from_json(json.dumps(to_json(report))) == report
    assert XtfReport.of([first]).ok and not XtfReport.of([second]).ok
    assert XtfReport.of([first, run_of("C", *first.results)]).ok
    short = run_of("C", *first.results[:2], untested="it burnt")
    assert [d.verdicts["C"] for d in XtfReport.of([first, short]).differences] == [""]


def test_two_runs_that_fail_alike_do_not_differ() -> None:
    failing = one("a", "failure", "x")
    assert XtfReport.of([run_of("A", failing), run_of("B", failing)]).ok
    assert not XtfReport.of([run_of("A", failing), run_of("B", failing, untested="why")]).ok


def test_junit() -> None:
    run = run_of(
        "A",
        *(one(f"t-{verdict.value}", verdict.value, "a\x1b line", note="why") for verdict in XtfVerdict),
        untested="Xen panicked",
    )
    (suite,) = ElementTree.fromstring(junit([of_run(run)]))
    counts = {name: int(suite.get(name, "")) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": len(XtfVerdict) + 1, "failures": 1, "errors": 5, "skipped": 2}
    cases = {case.get("name"): case for case in suite}
    failure = cases["t-failure"].find("failure")
    assert failure is not None and failure.get("message") == "failure: why"
    assert cases["t-success"].get("time") == "0.500"
    assert cases["t-success"].findtext("system-out") == "a  line"
    assert cases["all tests ran"].find("error") is not None


# -- the lab -----------------------------------------------------------------------------------------


class Lab:
    """Stands for the lab: each boot runs tests until one brings Xen down."""

    def __init__(self, fatal: Sequence[str] = (), refused: str = "", broken: bool = False) -> None:
        self.fatal, self.refused, self.broken = fatal, refused, broken
        self.boots: list[list[str]] = []
        self.files: list[str] = []

    def run(self, command: Sequence[str], **options: Any) -> runner.RunResult:
        if self.broken:
            raise LabPrerequisite("no qemu\nsecond line")
        job = json.loads(command[-1])
        self.boots.append(job["names"])
        self.files = sorted(options["files"])

        def say(event: Event) -> None:
            line = json.dumps(encode(event)).encode() + b"\n"
            for part in (b"a warning\n", line[:10], line[10:]):
                options["on_stdout"](part)

        for name in job["names"]:
            say(Event(begun=name))
            if self.refused:
                say(Event(refused=self.refused))
                break
            if name in self.fatal:
                raise XenPanicked(
                    "Xen panicked", stage="command", serial="(XEN) Xen BUG at vlapic.c:1\n", serial_path=None
                )
            say(Event(result=one(name, "success")))
        return runner.RunResult(0, b"", b"", "", {}, "epyc", "4.17")


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    made = Lab()
    monkeypatch.setattr(runner, "run", made.run)
    return made


def in_lab(tree: Path, policy: Path | None = None) -> XtfRun:
    return run_on(
        Place("4.17", "epyc", policy, "4.17"), find_tests(tree), Settings(), lambda title, text: None
    )


def test_a_xen_that_goes_down_costs_one_test(tree: Path, lab: Lab) -> None:
    lab.fatal = ["test-hvm32-fine", "test-hvm32-warns"]
    run = in_lab(tree)
    assert run.untested is None and not run.passed
    verdicts = {test.name: test.verdict.value for test in run.results}
    assert [name for name, verdict in verdicts.items() if verdict == "xen-crash"] == lab.fatal
    assert len(run.results) == len(find_tests(tree)) == len(verdicts)
    assert len(lab.boots) == 2, "the last test went down: nothing is left"
    assert "Xen panicked (" in run.by_name()["test-hvm32-fine"].note
    assert "Xen BUG at vlapic.c:1" in run.by_name()["test-hvm32-fine"].note


def test_a_xen_that_always_goes_down_is_given_up(tree: Path, lab: Lab) -> None:
    lab.fatal = [test.name for test in find_tests(tree)]
    run = in_lab(tree)
    assert len(run.results) == MOST_CRASHES and "went down 10 times" in str(run.untested)


def test_a_policy_without_a_plan_is_told(tree: Path, lab: Lab, tmp_path: Path) -> None:
    policy = tmp_path / "p.toml"
    policy.write_text("[apic]\n")
    lab.refused = "no\nplan"
    run = in_lab(tree, policy)
    assert run.untested == "refused: no plan" and not run.results
    assert "/xtf-policy" in lab.files and "/xtf/tests/fine/test-hvm32-fine.cfg" in lab.files


def test_a_lab_that_cannot_boot_is_told(tree: Path, lab: Lab) -> None:
    lab.broken = True
    assert in_lab(tree).untested == "no qemu"


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, ["lab", "xtf", *words])


def test_the_command(tree: Path, lab: Lab, tmp_path: Path) -> None:
    done = invoke(str(tree), "--quiet", "--select", "fine,skips")
    assert done.exit_code == 0, done.output
    assert "test-hvm32-fine   success" in done.output and "2 tests: 2 success" in done.output
    lab.fatal = ["test-hvm32-fine"]
    done = invoke(str(tree), "--select", "fine", "--junit", str(tmp_path / "out.xml"))
    assert done.exit_code == 1 and "xen-crash" in done.output
    assert 'errors="1"' in (tmp_path / "out.xml").read_text()
    done = invoke(str(tree), "--xen", "4.17,4.20", "--json", "--quiet", "--select", "skips")
    assert done.exit_code == 0
    assert [run["title"] for run in json.loads(done.output)["runs"]] == ["4.17", "4.20"]
    assert invoke(str(tree), "--xen", "4.71").exit_code == 2
    assert invoke(str(tree / "none")).exit_code == 2


def test_the_guests_cover_every_verdict_of_a_guest() -> None:
    assert {*VERDICTS.values()} == {v.value for v in XtfVerdict} - {"refused", "xen-crash"}
    assert VERDICTS.keys() == GUESTS.keys()
