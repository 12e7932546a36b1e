"""``spec check``: what it reports, and that it reports what is wrong."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from xenapic.apic import access
from xenapic.apic.controls import CONTROLS
from xenapic.cli.app import app
from xenapic.documents import from_json, schema_text, to_json
from xenapic.errors import DocumentInvalid
from xenapic.model import acceleration
from xenapic.verify.check import COST, Report, Verdict
from xenapic.verify.checks import check_file, check_recording
from xenapic.verify.recording import Recording, read_recording

OBSERVED = sorted((Path(__file__).parent.parent / "data" / "observed").glob("*.json"))
RECORDED = sorted((Path(__file__).parent.parent / "data" / "recorded").glob("*.json"))
RECORDED_422 = next(path for path in RECORDED if path.stem == "broadwell_ult-4.22")
BROADWELL = next(path for path in OBSERVED if path.stem.endswith("broadwell_ult"))


@pytest.fixture
def broadwell() -> Any:
    return json.loads(BROADWELL.read_text())


def values(recording: dict[str, Any]) -> int:
    """The number of recorded values that the model must cover."""
    words = 3 * len(recording["vmcs"])
    guests = recording["guest"]
    per_guest = sum(len(one["accesses"]) + 2 + bool(recording["vmcs"]) for one in guests)
    version_registers = len(guests)
    return len(recording["create"]) + words + per_guest + version_registers


@pytest.mark.parametrize("path", OBSERVED, ids=lambda path: path.stem)
def test_every_recorded_value_agrees_and_none_is_skipped(path: Path) -> None:
    report = check_file(path)
    assert report.ok, "\n".join(map(str, report.of(Verdict.DISAGREES)))
    recording = json.loads(path.read_text())
    logged = 6 if recording["vmcs"] else 0
    assert report.compared == values(recording) + logged + 1
    whys = {one.why for one in report.of(Verdict.NOT_COVERED)}
    assert whys <= {
        "not about the APIC",
        "bits that do not concern the APIC",
        "the toolstack decides what the guest sees here",
        "taken from the recording: the answers to creates depend on it",
    }


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_what_a_verification_recorded_agrees(path: Path) -> None:
    """Recordings of released Xens by ``xenapic lab verify``: everything that a probe finds."""
    report = check_file(path)
    assert report.ok, "\n".join(map(str, report.of(Verdict.DISAGREES)))
    assert report.compared > 1200
    topics = {one.topic for one in report.checks if one.verdict is Verdict.AGREES}
    assert topics >= {"create", "access", "exits", "interrupt", "guest", "CPUID"}


def test_every_kind_of_change_to_what_a_probe_found_is_found() -> None:
    recording = json.loads((RECORDED[0].parent / "broadwell_ult-4.17.json").read_text())

    def changed(section: str, number: int, key: str, value: Any, state: str = "xapic") -> list[str]:
        other = copy.deepcopy(recording)
        guest = next(one for one in other["guest"] if one["apic_mode"] == state)
        (guest[section][number] if number >= 0 else guest[section])[key] = value
        return wrong(other)

    assert "read 000" in changed("extra", 0, "ticks_min", 1)[0]
    assert "page read 030" in changed("page", 0, "value", 0)[0]
    assert "page read 030" in changed("page", 2, "value", 0, "x2apic")[0]
    assert "RDMSR 802" in changed("msrs", 0, "fault", None)[0]
    assert "icr-self" in changed("deliveries", 0, "arrivals", 2)[0]
    assert "APIC_BASE" in changed("move", -1, "fault", None)[0]
    assert any("trace, APIC_ACCESS" in line for line in changed("exits", -1, "by_reason", {}))
    assert not changed("exits", -1, "complete", False)


def checked(recording: Any) -> Report:
    return check_recording(read_recording(recording), "changed")


def wrong(recording: Any) -> list[str]:
    return [str(check) for check in checked(recording).of(Verdict.DISAGREES)]


def test_every_kind_of_change_to_a_recording_is_found(broadwell: Any) -> None:
    def changed(*path: Any, value: Any) -> list[str]:
        other = copy.deepcopy(broadwell)
        at = other
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        return wrong(other)

    assert "arch_capabilities" in changed("physinfo", "arch_capabilities", value=1)[0]
    assert "create" in changed("create", 0, "errno", value=22)[0]
    assert "secondary" in changed("vmcs", 0, "secondary", value="000017cb")[0]
    assert "pin_based" in changed("vmcs", 0, "pin_based", value="000000bf")[0]
    assert "cpu_based" in changed("vmcs", 0, "cpu_based", value="b68065fe")[0]
    assert "base+4" in changed("guest", 0, "cpuid_40000004_eax", value=93)[0]
    assert "APIC_BASE" in changed("guest", 0, "apic_base", value=0xFED00900)[0]
    assert "ticks" in changed("guest", 0, "accesses", 0, "ticks_per_access", value=5000)[0]
    assert "value" in changed("guest", 0, "accesses", 1, "value", value=0x50014)[0]
    assert "boot log" in changed("features", value=broadwell["features"][1:])[0]


@pytest.mark.parametrize("path", [*OBSERVED, *RECORDED], ids=lambda path: path.stem)
def test_a_recording_is_a_document_that_loses_nothing(path: Path, tmp_path: Path) -> None:
    data = json.loads(path.read_text())
    recording = read_recording(data)
    document = to_json(recording)
    assert from_json(json.dumps(document), Recording) == recording
    jsonschema.validate(document, json.loads(schema_text("recording")))
    copied = tmp_path / "copy.json"
    copied.write_text(json.dumps(document))
    assert check_file(copied).checks == check_file(path).checks
    assert plain(document) == {"schema": Recording.SCHEMA, **plain(data)}


def plain(value: Any) -> Any:
    """A JSON value without the keys that hold nothing: null, an empty list, the flags 0 of a guest."""
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    nothing: tuple[object, ...] = (None, [], 0) if "accesses" in value else (None, [])
    return {key: plain(entry) for key, entry in value.items() if entry not in nothing}


def test_sections_of_a_later_version_are_listed(broadwell: Any, tmp_path: Path) -> None:
    path = tmp_path / "later.json"
    path.write_text(json.dumps({**broadwell, "thermal": []}))
    report = check_file(path)
    assert report.ok
    assert [check.where for check in report.checks if "no such topic" in check.why] == ["thermal"]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("create", 3, "errno"), "EINVAL", r"create[3].errno: expected a whole number from 0 to 4294967295"),
        (
            ("guest", 0, "accesses", 5, "op"),
            "jump",
            'guest[0].accesses[5].op: expected one of "read", "write"',
        ),
        (("guest", 1, "apic_mode"), "x3apic", "guest[1].apic_mode: expected one of"),
        (("vmcs", 0, "secondary"), "000017zz", "vmcs[0].secondary: expected up to 8 hexadecimal digits"),
        (
            ("xen",),
            "9.9",
            "xen: expected a version of Xen, e.g. 4.17.7, got '9.9': there is no release of Xen named",
        ),
        (("xen",), "unstable", "xen: expected a version of Xen, e.g. 4.17.7, got 'unstable'"),
        (("features",), 7, "features: expected a list or null, got 7"),
    ],
)
def test_a_wrong_value_is_named_by_its_place(
    broadwell: Any, tmp_path: Path, place: tuple[Any, ...], value: Any, message: str
) -> None:
    inner = broadwell
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(broadwell))
    with pytest.raises(DocumentInvalid) as caught:
        check_file(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_recording_without_any_word_on_the_processor(broadwell: Any) -> None:
    broadwell.update(processor="", features=None)
    with pytest.raises(DocumentInvalid, match="^features: "):
        checked(broadwell)
    broadwell["used"] = ["tpr_shadow", "avic"]
    assert "the controls that Xen uses: no processor is named" in checked(broadwell).processor


def test_a_model_made_wrong_is_found(broadwell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "READS_WITH_REGISTERS", access.READS_WITH_REGISTERS - {0x280})
    assert any("read 280" in line for line in wrong(broadwell))
    monkeypatch.undo()
    acceleration.vcpu_apic.cache_clear()
    monkeypatch.setattr(acceleration, "WRITE_OPEN", 1 << 0x08)
    found = wrong(broadwell)
    acceleration.vcpu_apic.cache_clear()
    assert {line.split(", ")[1] for line in found} == {"x2apic"}
    assert any("write 0b0" in line for line in found) and any("write 3f0" in line for line in found)


def test_an_unknown_processor_is_read_from_its_log(broadwell: Any) -> None:
    broadwell["processor"] = "a_new_one"
    report = checked(broadwell)
    assert report.ok and "no row 'a_new_one'" in report.processor
    broadwell["xen"] = "4.20.3"  # nothing there reports x2APIC mode
    hazy = checked(broadwell)
    assert any(one.why == "the processor is not completely known" for one in hazy.of(Verdict.NOT_COVERED))


def test_a_cost_that_tells_nothing_is_not_counted(broadwell: Any) -> None:
    broadwell["guest"][0]["accesses"][0]["ticks_per_access"] = 200
    report = checked(broadwell)
    assert report.ok and any(one.why == COST for one in report.of(Verdict.NOT_COVERED))
    broadwell["guest"][0]["calibration"] = {"overhead": 1, "memory": 2, "exit": 358, "threshold": 180}
    broadwell["guest"][0]["accesses"][0]["ticks_min"] = 200
    assert wrong(broadwell)


def test_faults(broadwell: Any) -> None:
    x2apic = next(one for one in broadwell["guest"] if one["apic_mode"] == "x2apic" and not one["misc_flags"])
    read = {"offset": 0x0B0, "op": "read", "ticks_per_access": 900, "value": 0, "fault": 13}
    x2apic["accesses"] = [read, {**read, "offset": 0x0E0}, {**read, "offset": 0x090}]
    assert checked(broadwell).ok
    x2apic["accesses"] = [{**read, "offset": 0x020}]
    assert "#GP(0)" in wrong(broadwell)[0]


@pytest.mark.parametrize("broken", [{}, [], None, {"xen": "4.17-rc"}, {"xen": "9.9"}])
def test_what_is_no_recording(broken: Any, tmp_path: Path) -> None:
    with pytest.raises(DocumentInvalid):
        checked(broken)
    path = tmp_path / "broken.json"
    path.write_text("{")
    with pytest.raises(DocumentInvalid, match="not JSON"):
        check_file(path)


def test_the_command(tmp_path: Path, broadwell: Any) -> None:
    done = CliRunner().invoke(app, ["spec", "check", *map(str, OBSERVED)])
    assert done.exit_code == 0, done.output
    assert done.output.count(" agree (") == len(OBSERVED) and "DISAGREES" not in done.output
    broadwell["vmcs"][0]["secondary"] = "000017cb"
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(broadwell))
    done = CliRunner().invoke(app, ["spec", "check", str(bad), str(OBSERVED[0])])
    assert done.exit_code == 1 and done.output.count("DISAGREES") == 1
    done = CliRunner().invoke(app, ["spec", "check", "--json", str(bad)])
    document = json.loads(done.output)
    jsonschema.validate(document, json.loads(schema_text("spec-check")))
    assert [one["verdict"] for one in document["files"][0]["checks"]].count("disagrees") == 1
    (tmp_path / "none.json").write_text("{}")
    done = CliRunner().invoke(app, ["spec", "check", str(tmp_path / "none.json")])
    assert done.exit_code == 2 and "document-invalid" in done.output


def test_tertiary_controls_of_an_unnamed_processor_are_known_from_its_vmcss() -> None:
    """Xen's log does not mention them. A word that differs from the others is still found."""
    recording = json.loads(RECORDED_422.read_text())
    recording["processor"] = ""
    assert wrong(recording) == []
    activated = CONTROLS["tertiary_controls"][1]
    for words in recording["vmcs"]:
        words["cpu_based"] = f"{int(words['cpu_based'], 16) | activated:x}"
    assert wrong(recording) == []
    last = recording["vmcs"][-1]
    last["cpu_based"] = f"{int(last['cpu_based'], 16) & ~activated:x}"
    (found,) = wrong(recording)
    assert "tertiary_controls" in found
    recording["vmcs"] = []
    assert wrong(recording) == []
