"""Claims about Xen, tested on real ones."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.xen.boots import on, run, thorough
from xenapic.documents import schema_text
from xenapic.lab.runner import COLD

pytestmark = pytest.mark.xen
HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RELEASES = ("4.17", "4.20")


def in_dom0(
    xen_lab: Any,
    script: str,
    *args: object,
    others: Mapping[str, Path] | None = None,
    **where: Any,
) -> dict[str, Any]:
    """Run a script in dom0 and return its answer; one of ``tests/xen/`` can import all tests."""
    names = [] if "/" in script else [script]
    files = {**{f"/{name}": HERE / name for name in names}, **(others or {})}
    command = ["python3", f"/{script}" if names else script, *map(str, args)]
    done = run(xen_lab, command, files=files, timeout=900, **where)
    assert done.status == 0, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(
    params=[("epyc", release) for release in RELEASES]
    + [on("broadwell_ult", release) for release in RELEASES],
    ids="-".join,
    scope="module",
)
def basic(request: pytest.FixtureRequest, xen_lab: Any) -> tuple[str, str, dict[str, Any]]:
    """Use a cold boot: the log of the boot must be in the ring, and each emulator and release boots once."""
    machine, release = request.param
    return machine, release, in_dom0(xen_lab, "dom0_basic.py", machine=machine, xen=release, cold=True)


def test_host(basic: tuple[str, str, dict[str, Any]]) -> None:
    machine, release, found = basic
    assert found["version"].startswith(f"{release}.")
    assert found["technology"] == ("VMX" if machine == "broadwell_ult" else "SVM")
    answers = {key: answer for key, (answer, _source) in found["features"].items()}
    if machine == "broadwell_ult":
        for key in (
            "tpr_shadow",
            "virtualize_apic_accesses",
            "apic_register_virtualization",
            "virtual_interrupt_delivery",
        ):
            assert answers[key] == "yes"
        assert answers["posted_interrupts"] == "no"
        assert answers["virtualize_x2apic_mode"] == "unknown"
    else:
        assert set(answers.values()) == {"no"}
    assert found["interface"] == found["probed"] == "no"


def test_domains(basic: tuple[str, str, dict[str, Any]]) -> None:
    _machine, _release, found = basic
    assert found["made"] == {
        "pvh": ["PVH", True, True, True, True],
        "hvm": ["HVM", True, True, True, True],
        "pv": ["PV", True, True, True],
    }
    assert found["left"] == [0]
    assert found["not found"] == 3
    assert found["refused"] == ["vcpus-too-many"]


def test_console(basic: tuple[str, str, dict[str, Any]]) -> None:
    assert basic[2]["console grew"]


@pytest.fixture(params=["4.17", thorough("4.20")], scope="module")
def commands(request: pytest.FixtureRequest, xen_lab: Any, tmp_path_factory: Any) -> dict[str, Any]:
    single = tmp_path_factory.mktemp("single") / "xenapic.pyz"
    subprocess.run([sys.executable, ROOT / "tools" / "zipapp.py", single], check=True)
    others = {"/xenapic.pyz": single}
    return in_dom0(xen_lab, "dom0_commands.py", machine="epyc", xen=request.param, others=others)


def test_orphans_and_ctrl_c(commands: dict[str, Any]) -> None:
    found = commands
    assert found["held"] == [] and found["orphan"] and found["listed as ours"]
    assert found["gone"] == [0] and found["after ctrl-c"] == [0]


def test_json_follows_its_schema(commands: dict[str, Any]) -> None:
    documents = commands["documents"]
    for name, (status, document) in documents.items():
        jsonschema.validate(document, json.loads(schema_text("create" if name == "refusal" else name)))
        assert status == (1 if name in ("refusal", "destroy") else 0)
    assert commands["verbose"] and commands["usage"] == 2


def test_the_single_file_needs_python_and_cffi_alone(commands: dict[str, Any]) -> None:
    assert commands["places"] == ["/xenapic.pyz/click/__init__.py", "/xenapic.pyz/xenapic/__init__.py"]
    assert list(commands["single"]) == ["info", "host", "validate"]
    for name, (status, document) in commands["single"].items():
        jsonschema.validate(document, json.loads(schema_text(name)))
        assert status == commands["documents"][name][0]
    for key in (
        "features",
        "x2apic_mode",
        "interrupt_remapping",
        "version",
    ):  # not physinfo: free memory changes
        assert commands["single"]["host"][1][key] == commands["documents"]["host"][1][key]
    assert commands["single"]["validate"] == commands["documents"]["validate"]


def test_a_real_host_is_validated(commands: dict[str, Any]) -> None:
    _status, document = commands["documents"]["validate"]
    (host,) = document["hosts"].values()
    verdicts = {check["code"]: check["verdict"] for check in host["checks"]}
    assert verdicts["virtualization"] == "PASS" and verdicts["avic"] == "WARN"
    assert "xenapic_feature_used" in commands["metrics"]


@pytest.mark.parametrize("count", [500, thorough(2400)])
@pytest.mark.parametrize("release", RELEASES)
def test_random_configs_on_amd(xen_lab: Any, release: str, count: int) -> None:
    agree(in_dom0(xen_lab, "dom0_random.py", 2022, count, machine="epyc", xen=release), count * 0.8)


@pytest.mark.parametrize(
    "release", [on("broadwell_ult", release, release, thorough=release != "4.17") for release in RELEASES]
)
def test_random_configs_on_intel(xen_lab: Any, release: str) -> None:
    agree(in_dom0(xen_lab, "dom0_random.py", 412, 300, machine="broadwell_ult", xen=release), 150)


def test_random_configs_on_the_xen_that_was_brought(xen_lab: Any) -> None:
    """``pytest --xenapic-xen NAME --xen-machine MACHINE``: any Xen of the lab, with shadow paging or without."""
    if xen_lab.xen in RELEASES:
        pytest.skip("no Xen was brought: give --xenapic-xen")
    found = in_dom0(xen_lab, "dom0_random.py", 97, 500, machine=xen_lab.machine, xen=xen_lab.xen)
    agree(found, 200)


def agree(found: dict[str, Any], at_least: float) -> None:
    print(json.dumps(found["tally"]))
    assert found["disagreements"] == []
    assert found["sent"] >= at_least
    assert found["tally"]["created"] > at_least / 10
    assert found["left"] == []


@pytest.mark.parametrize("release", ["4.20", thorough("4.17")])
def test_a_guest_cannot_fake_a_fact(xen_lab: Any, release: str) -> None:
    found = in_dom0(xen_lab, "tests/xen/dom0_guest.py", 1, machine="epyc", xen=release)
    assert "(XEN) VMX: Supported advanced features:" in found["guest"]
    assert found["forged"] == []
    assert found["after"] == found["before"]


def test_a_guest_that_floods_the_ring_makes_facts_unknown_not_false(xen_lab: Any) -> None:
    found = in_dom0(xen_lab, "tests/xen/dom0_guest.py", 300, machine="epyc", xen="4.17")
    assert found["lines"] > 200
    assert found["forged"] == []
    assert found["after"] == found["before"]


@pytest.mark.ends_its_machine
@pytest.mark.parametrize(
    "release", [on("broadwell_ult", release, release, thorough=release != "4.17") for release in RELEASES]
)
def test_a_late_refusal_takes_an_intel_host_down_and_is_stopped_here(xen_lab: Any, release: str) -> None:
    """The reason for the strictness: expected to panic, in the emulated machine alone."""
    from xenapic.lab import XenPanicked

    files = {"/p.py": HERE / "dom0_panic.py"}
    with pytest.raises(XenPanicked) as caught:
        run(xen_lab, ["python3", "/p.py"], files=files, machine="broadwell_ult", xen=release)
    assert "Xen BUG at common/domain.c" in caught.value.serial
    stopped = caught.value.stdout.decode().split()
    assert stopped[1::2] == ["grant-frames-none", "grant-version", "grant-version", "cpupool-missing"]


@pytest.mark.shares_boot("broadwell_ult", "4.20")
def test_bochs_and_the_other_release(xen_lab: Any) -> None:
    """Intel's VMX, the newer Xen with its own Python, and much output through Bochs's disk."""
    noise = random.Random(1).randbytes(1 << 20)
    code = "import random,sys; sys.stdout.buffer.write(random.Random(1).randbytes(1 << 20))"
    result = run(xen_lab, ["python3", "-c", code], machine="broadwell_ult", xen="4.20")
    assert (result.start, list(result.timings)) == (COLD, ["command"])
    assert (result.status, result.stderr) == (0, b"")
    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(noise).digest()
    assert "Xen version 4.20" in result.serial
    assert "VMX: Supported advanced features" in result.serial


def test_layout_against_trixies_headers(tmp_path: Path) -> None:
    """Structures of 4.20 against a compile of the real headers, fetched through apt."""
    import shutil
    import subprocess

    from tests.abi.test_layout import check_headers
    from xenapic.abi.generations import release as known
    from xenapic.lab.apt import Apt, derive, machine_sources

    apt = Apt(tmp_path / "apt", derive(machine_sources(), "trixie"))
    apt.update()
    (package,) = apt.download(["libxen-dev"], closure=False)
    subprocess.run(["dpkg-deb", "--extract", str(package.path), str(tmp_path / "headers")], check=True)
    row, compiler = known("4.20"), shutil.which("gcc")
    assert row is not None and compiler is not None
    check_headers(row, tmp_path / "headers" / "usr" / "include", tmp_path, compiler)


VPID = 0x20
"""'Enable VPID', which Xen sets in SecondaryExec when the vCPU runs for the first time."""
BROADWELL = {
    "disabled": [0x3F, 0xB6A065FE, 0x17CA, 0],
    "xapic": [0x3F, 0xB6A065FE, 0x17CB, 0],
    "x2apic": [0x3F, 0xB6A065FE, 0x17DA, 0],
    "xapic-relocated": [0x3F, 0xB6A065FE, 0x17CA, 0],
}


def in_dom0_measured(xen_lab: Any, **where: Any) -> dict[str, Any]:
    found = in_dom0(xen_lab, "tests/xen/dom0_measure.py", **where)
    jsonschema.validate(found["document"], json.loads(schema_text("host")))
    return found


@pytest.fixture(scope="module")
def intel(xen_lab: Any) -> dict[str, Any]:
    options = ["console_timestamps=datems", "conring_size=32k"]
    return in_dom0_measured(xen_lab, machine="broadwell_ult", xen="4.17", xen_args=options)


def test_measuring_an_intel_host(intel: dict[str, Any]) -> None:
    assert intel["words"] == BROADWELL
    assert intel["before"]["virtualize_x2apic_mode"] == intel["before"]["tertiary_controls"] == "unknown"
    after = {key: answer for key, (answer, _source) in intel["features"].items()}
    assert "unknown" not in after.values()
    assert {**intel["before"], "virtualize_x2apic_mode": "yes", "tertiary_controls": "no"} == after
    assert intel["document"]["measurement"]["states"]["x2apic"]["secondary"] == 0x17DA
    assert intel["left"] == intel["left at last"] == [0]


def test_controls_of_domains(intel: dict[str, Any]) -> None:
    never = "the vCPU is not initialised: no state was ever loaded into it"
    assert intel["controls"] == [
        ["x2apic", 0x17DA, ""],
        ["xapic-relocated", 0x17CA, ""],
        ["disabled", 0x17CA, ""],
        ["xapic", 0x17CB, ""],
        ["xapic", None, never],
    ]
    assert "is PV" in intel["pv"]


def test_more_vcpus_than_the_ring_has_room_for(intel: dict[str, Any]) -> None:
    assert intel["crowded"] == BROADWELL
    assert "the ring holds 32768" in intel["first of many"] and "conring_size=" in intel["first of many"]


def test_two_measure_while_a_guest_floods_and_others_press_keys(intel: dict[str, Any]) -> None:
    assert intel["flooded here"] == BROADWELL
    assert intel["flooded there"] == BROADWELL
    assert intel["flooding guest"] == [["xapic", 0x17CB | VPID, ""]]
    assert intel["guest used"] > 0 and intel["forged lines"] > 0


def test_what_the_log_said_outlives_its_clearing(intel: dict[str, Any]) -> None:
    assert intel["cleared"] == 0
    assert intel["kept after clear"] == "yes" and intel["unknown after clear"] == "unknown"


def test_measuring_cut_short_leaves_nothing(intel: dict[str, Any]) -> None:
    assert intel["interrupted"] == [0]
    assert len(intel["killed"]) == 2  # what destroy --orphans then removed


@pytest.mark.parametrize("release", ["4.20", thorough("4.17")])
def test_measuring_an_amd_host(xen_lab: Any, release: str) -> None:
    found = in_dom0_measured(xen_lab, machine="epyc", xen=release)
    assert found["words"] == {} and "SVM" in found["why_not"]
    ((state, words, why_not),) = found["controls"]
    assert (state, words) == ("x2apic", None) and "SVM" in why_not
    assert found["left"] == found["left at last"] == [0]


@pytest.fixture(
    params=[("epyc", "4.20"), on("broadwell_ult", "4.17", thorough=True)], ids="-".join, scope="module"
)
def exits(request: pytest.FixtureRequest, xen_lab: Any) -> tuple[str, dict[str, Any]]:
    machine, release = request.param
    return machine, in_dom0(xen_lab, "tests/xen/dom0_exits.py", machine=machine, xen=release)


EXITS = {
    "broadwell_ult": {
        (10, None, None): 101,
        (31, None, None): 31,
        (31, "APIC_BASE", "read"): 18,
        (32, "APIC_BASE", "write"): 1,
        (44, "TMCCT", "read"): 53,
        (56, None, "write"): 43,  # TMICT; nothing tells
        (31, "TMCCT", "read"): 19,
        (32, "TMICT", "write"): 29,
        (12, None, None): 1,
    },
    "epyc": {
        (0x72, None, None): 101,
        (0x7C, None, None): 31,
        (0x7C, "APIC_BASE", "read"): 18,
        (0x7C, "APIC_BASE", "write"): 1,
        (0x400, "TMCCT", "read"): 53,
        (0x400, "LVR", "read"): 71,
        (0x400, "TMICT", "write"): 43,
        (0x400, "EOI", "write"): 23,
        (0x7C, "TMCCT", "read"): 19,
        (0x7C, "LVR", "read"): 11,
        (0x7C, "TMICT", "write"): 29,
        (0x7C, "EOI", "write"): 37,
        (0x78, None, None): 1,
    },
}
"""What the guest of ``dom0_exits.py`` does. On Intel its accesses to LVR and EOI stay within."""
FROM_OUTSIDE = (1, 7, 0x60, 0x64)


def test_exits_are_counted_exactly(exits: tuple[str, dict[str, Any]]) -> None:
    machine, found = exits
    known = found["known"]
    counted = {
        (one["reason"], one["register"], one["access"]): one["count"]
        for one in known["exits"]
        if one["reason"] not in FROM_OUTSIDE
    }
    assert known["complete"] and counted == EXITS[machine]
    jsonschema.validate({"schema": "xenapic/exits/1", **known}, json.loads(schema_text("exits")))


def test_lost_records_are_said(exits: tuple[str, dict[str, Any]]) -> None:
    lost = exits[1]["lost"]
    assert lost["lost_records"] > 1000 and not lost["complete"]
    assert 1000 < lost["total"] < 20000 and lost["unattributed"] == 0


def test_trace_settings_are_put_back_and_a_busy_tracer_is_left_alone(
    exits: tuple[str, dict[str, Any]],
) -> None:
    found = exits[1]
    assert found["mask at boot"] == found["mask after"] == 0x0FFFF000
    assert found["mask of another kept"] and found["while counting"] == "read"
    assert (found["unread"], found["on"], found["recovered"]) == ("unread", "on", [True, False])
    for name in ("ctrl-c", "term"):
        assert found[name]["status"] == 0 and found[name]["counted"] > 0
        assert found[name]["mask"] and found[name]["free"] == "free"
    assert (found["kill"]["status"], found["kill"]["free"]) == (-9, "left-by-us")
    assert found["recovery"] == [0, "free"]
