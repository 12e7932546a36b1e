"""Reports of verifications, and the lab's matrix with its boots replaced."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from click.testing import CliRunner

from xenapic.apic.state import ApicState
from xenapic.cli.app import app
from xenapic.documents import schema_text
from xenapic.documents.junit import junit, of_report
from xenapic.lab.errors import LabUsageError
from xenapic.verify import matrix
from xenapic.verify.check import Report, Verdict
from xenapic.verify.checks import check_recording
from xenapic.verify.page import LEGEND, LETTERS, STYLE, Shown, html_page, shown
from xenapic.verify.recording import read_recording
from xenapic.verify.reports import columns, summary

BROADWELL = Path(__file__).parent.parent / "data" / "observed" / "xen-4.17-rc-broadwell_ult.json"


@pytest.fixture
def data() -> Any:
    return json.loads(BROADWELL.read_text())


@pytest.fixture
def report(data: Any) -> Report:
    data["vmcs"][0]["secondary"] = "000017cb"
    data["guest"].append({"misc_flags": 0, "apic_mode": "disabled", "failed": "no <answer>"})
    return check_recording(read_recording(data), "broad & well")


def test_summary(report: Report) -> None:
    rows = summary(report)
    assert rows["VMCS"]["xapic"] == "1 DISAGREE, 2 agree"
    assert rows["answer"]["disabled"] == "1 not testable"
    assert "VMCS, ASSISTED_XAPIC|ASSISTED_X2APIC" in rows
    assert columns(rows) == ["host", "disabled", "xapic", "x2apic", "xapic-relocated"]
    total = sum(
        int(part.split()[0])
        for cells in rows.values()
        for cell in cells.values()
        for part in cell.split(", ")
        if part.endswith("agree") or part.endswith("DISAGREE")
    )
    assert total == report.compared


def test_junit(report: Report) -> None:
    (suite,) = ElementTree.fromstring(junit([of_report(report)]))
    assert suite.get("name") == "broad & well"
    assert int(suite.get("tests", "")) == len(list(suite)) == len(report.checks)
    assert len(suite.findall("*/failure")) == int(suite.get("failures", "")) == 1
    assert len(suite.findall("*/skipped")) == len(report.of(Verdict.NOT_COVERED))


def test_page(data: Any, report: Report) -> None:
    page = html_page("title <b>", {"one": (read_recording(data), report)})
    assert "title &lt;b&gt;" in page and "no &lt;answer&gt;" in page
    assert page.count('<table class="map">') == len(data["guest"]) - 1
    assert "http" not in page, "it needs nothing from elsewhere"
    data["guest"][0]["accesses"][0]["ticks_per_access"] = 5000
    recording = read_recording(data)
    wrong = html_page("title", {"one": (recording, check_recording(recording, "one"))})
    assert wrong.count('class="l d"') == 1


def test_plain_memory_is_not_shown_as_acceleration(data: Any) -> None:
    """Broadwell without the xAPIC flag: accesses stay in the guest, but no APIC answers."""
    recording = read_recording(data)
    kinds = {
        (guest.misc_flags, guest.apic_mode): Counter(shown(guest, access) for access in guest.accesses)
        for guest in recording.guest
        if guest.failed is None
    }
    defect, fine = kinds[4, ApicState.XAPIC], kinds[6, ApicState.XAPIC]
    assert set(defect) == {Shown.MEMORY}
    assert Shown.MEMORY not in fine and fine[Shown.STAYS] > 10 < fine[Shown.LEAVES]
    assert all(
        Shown.MEMORY not in counts for (_flags, state), counts in kinds.items() if state is ApicState.X2APIC
    )
    page = html_page("title", {"one": (recording, check_recording(recording, "one"))})
    assert page.count('<td class="m"') >= sum(defect.values()) - 2, "two accesses are written twice"
    assert page.count("<b>M</b>") == page.count('<td class="m"') + 1, "and the legend"


def test_the_kinds_of_cells_differ_in_colour_and_letter() -> None:
    assert len(set(LETTERS.values())) == len(LETTERS) == len(LEGEND) == len(Shown)
    rules = dict(re.findall(r"^\.([slfmu]) \{ background: ([^;}]+)", STYLE, re.MULTILINE))
    assert rules.keys() == {kind.value for kind in Shown} and len(set(rules.values())) == len(Shown)


# -- the matrix ---------------------------------------------------------------------------------------


def test_cells() -> None:
    found = matrix.cells(["epyc", "broadwell_ult"], ["4.17"], ["", "apicv=0"])
    assert [str(one) for one in found] == ["epyc 4.17", "broadwell_ult 4.17", "broadwell_ult 4.17 apicv=0"]
    with pytest.raises(LabUsageError):
        matrix.cells(["nonsense"], ["4.17"], [""])
    with pytest.raises(LabUsageError):
        matrix.cells(["epyc"], ["3.0"], [""])


@pytest.fixture
def no_boots(monkeypatch: pytest.MonkeyPatch, data: Any, tmp_path: Path) -> None:
    """Every Intel cell answers with a recording of Broadwell, every AMD cell fails."""
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps({**data, "not_testable": []}))

    def command(cell: matrix.Cell, _select: str, _limit: float) -> list[str]:
        if cell.machine == "broadwell_ult":
            code = f"print(open({str(answer)!r}).read())"
        else:
            code = "import sys; print('it broke', file=sys.stderr); sys.exit(3)"
        return [sys.executable, "-c", code]

    monkeypatch.setattr(matrix, "_command", command)


@pytest.mark.usefixtures("no_boots")
def test_a_matrix(tmp_path: Path) -> None:
    files = [*("--junit", str(tmp_path / "j.xml")), *("--html", str(tmp_path / "m.html"))]
    names = ["--machines", "broadwell_ult,epyc", "--xen", "4.17", "--record-dir", str(tmp_path / "recs")]
    done = CliRunner().invoke(app, ["lab", "verify", *names, *files])
    assert done.exit_code == 1
    assert "epyc 4.17: failed: it broke" in done.stderr
    assert "593 of 593" in done.stdout
    kept = sorted(path.name for path in (tmp_path / "recs").iterdir())
    assert kept == ["broadwell_ult-4.17-apicv=0.json", "broadwell_ult-4.17.json"]
    page = (tmp_path / "m.html").read_text()
    assert 'href="#broadwell-ult-4-17"' in page and 'id="broadwell-ult-4-17"' in page and "it broke" in page
    assert len(ElementTree.fromstring((tmp_path / "j.xml").read_text())) == 2
    done = CliRunner().invoke(app, ["lab", "verify", *names[:4], "--apicv", "on", "--json"])
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads(schema_text("lab-verify")))
    assert [one["error"] for one in document["cells"]] == [None, "it broke"]


def test_a_matrix_that_is_ended_ends_its_boots(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def popen(*args: Any, **kw: Any) -> subprocess.Popen[bytes]:
        started.append(real(*args, **kw))
        return started[-1]

    def command(cell: matrix.Cell, _select: str, _limit: float) -> list[str]:
        return ["true"] if cell.xen == "4.17" else ["sleep", "60"]

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(matrix, "_command", command)

    def interrupted(result: matrix.Result) -> None:
        raise KeyboardInterrupt

    cells = [matrix.Cell("epyc", "4.20"), matrix.Cell("epyc", "4.17"), *[matrix.Cell("ryzen", "4.20")] * 3]
    with pytest.raises((KeyboardInterrupt, json.JSONDecodeError)):
        matrix.run_matrix(cells, 2, interrupted)
    assert started and all(child.poll() is not None for child in started)
