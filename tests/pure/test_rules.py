from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hosts import SVM, development, host, situation
from xenapic.apic.features import Technology
from xenapic.errors import ConfigInvalid, Problem
from xenapic.model.config import CreateRequest, DomainConfig
from xenapic.model.create import check_request, prepare_request
from xenapic.model.flags import ALTP2M, CDF, EMU, MISC, PHYSCAP_X86
from xenapic.model.releases import XEN_RELEASES
from xenapic.model.rules import RULES

OBSERVED = sorted((Path(__file__).parent.parent / "data" / "observed").glob("*.json"))


def check(config: DomainConfig, *args: Any, **kw: Any) -> tuple[Problem, ...]:
    return prepare_request(config, situation(*args, **kw)).problems


def codes(config: DomainConfig, *args: Any, **kw: Any) -> list[str]:
    return [problem.code for problem in check(config, *args, **kw)]


@pytest.mark.parametrize("path", OBSERVED, ids=lambda path: path.stem)
def test_every_recorded_create_is_predicted(path: Path) -> None:
    recording = json.loads(path.read_text())
    technology = Technology.SVM if "ryzen" in path.name else Technology.VMX
    there = situation(development(**recording["physinfo"], technology=technology))
    wrong = []
    for row in recording["create"]:
        request = CreateRequest(
            flags=row["flags"],
            emulation_flags=row["emulation_flags"],
            misc_flags=row["misc_flags"],
            max_grant_frames=4,
            max_maptrack_frames=0,
        )
        predicted = check_request(request, there).errno
        if predicted != row["errno"]:
            wrong.append((row, predicted))
    assert recording["create"] and wrong == []


def test_recordings_are_there() -> None:
    assert len(OBSERVED) == 5


@pytest.mark.parametrize("row", XEN_RELEASES, ids=lambda row: row.name)
@pytest.mark.parametrize("make", [DomainConfig.pvh, DomainConfig.hvm, DomainConfig.pv])
def test_presets_are_taken_by_every_release(row: Any, make: Any) -> None:
    assert codes(make(), host(row.number_text)) == []


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (DomainConfig.pvh(max_vcpus=0), "vcpus-none"),
        (DomainConfig.pvh(max_vcpus=129), "vcpus-too-many"),
        (DomainConfig.pv(max_vcpus=8193), "vcpus-too-many"),
        (DomainConfig.pv(flags=CDF.hap), "hap-without-hvm"),
        (DomainConfig.pvh(flags=CDF.hvm), "shadow-missing"),
        (DomainConfig.pvh(flags=CDF(0x400)), "flags-unknown"),
        (DomainConfig.pvh(grant_opts=16), "grant-opts-unknown"),
        (DomainConfig.pvh(grant_opts=3), "grant-version"),
        (DomainConfig.pvh(grant_opts=0), "grant-version"),
        (DomainConfig.pvh(max_grant_frames=0), "grant-frames-none"),
        (DomainConfig.pvh(max_grant_frames=65), "grant-frames-too-many"),
        (DomainConfig.pvh(max_maptrack_frames=1025), "maptrack-frames-too-many"),
        (DomainConfig.pvh(emulation_flags=EMU(0x1FF)), "emulation-combination"),
        (DomainConfig.pvh(emulation_flags=EMU(0x800)), "emulation-unknown"),
        (DomainConfig.pvh(misc_flags=MISC.ASSISTED_XAPIC), "misc-flags-unknown"),
        (DomainConfig.pvh(vmtrace_size=4096), "vmtrace-missing"),
        (DomainConfig.pvh(altp2m=ALTP2M.mixed), "field-missing"),
        (DomainConfig.pvh(flags=CDF.hvm | CDF.hap | CDF.iommu), "iommu-missing"),
        (DomainConfig.pvh(flags=CDF.hvm | CDF.nested_virt), "nested-virt-without-hap"),
    ],
)
def test_rule_is_told(config: DomainConfig, code: str) -> None:
    assert code in codes(config)


def test_all_reasons_come_at_once() -> None:
    found = codes(DomainConfig.pvh(max_vcpus=0, grant_opts=16, max_grant_frames=0, misc_flags=MISC(8)))
    assert {"vcpus-none", "grant-opts-unknown", "grant-frames-none", "misc-flags-unknown"} <= set(found)


def test_missing_field_names_the_first_release_that_has_it() -> None:
    (problem,) = check(DomainConfig.pvh(cpupool_id=1), host("4.16"))
    assert problem.code == "field-missing" and "4.17" in problem.rule


def test_late_rules_are_those_that_panic() -> None:
    late = {row.code for row in RULES if row.late}
    assert late == {
        "xsm-label",
        "grant-version",
        "grant-frames-none",
        "grant-frames-too-many",
        "maptrack-frames-too-many",
        "grant-frames-caution",
        "maptrack-frames-caution",
        "memory-headroom",
        "cpupool-missing",
        "cpupool-empty",
    }


def test_situation_rules() -> None:
    assert codes(DomainConfig.pvh(cpupool_id=3), cpupool_exists=False) == ["cpupool-missing"]
    assert codes(DomainConfig.pvh(cpupool_id=3), cpupool_has_cpus=False) == ["cpupool-empty"]
    assert codes(DomainConfig.pvh(domid=3), domid_in_use=True) == ["domid-in-use"]
    assert codes(DomainConfig.pvh(), host(free_pages=100)) == ["memory-headroom"]
    assert codes(DomainConfig.pvh(), host(free_pages=3000, outstanding_pages=2000)) == ["memory-headroom"]
    assert codes(DomainConfig.pvh(ssidref=5), host(log=b"x", start=7)) == ["xsm-label"]


def test_limits_come_from_the_command_line() -> None:
    raised = host(commandline="gnttab_max_frames=128 gnttab_max_maptrack_frames=0x800")
    assert codes(DomainConfig.pvh(max_grant_frames=128, max_maptrack_frames=2048), raised) == []
    lowered = host(commandline="gnttab_max_frames=16")
    assert codes(DomainConfig.pvh(max_grant_frames=17), lowered) == ["grant-frames-too-many"]


def test_since_418_sizes_are_bounded_by_caution() -> None:
    assert codes(DomainConfig.pvh(max_grant_frames=128), host("4.20")) == []
    assert codes(DomainConfig.pvh(max_grant_frames=1 << 23), host("4.20")) == [
        "grant-frames-caution",
        "memory-headroom",
    ]


def test_nested_virt_on_svm_needs_what_the_log_names() -> None:
    log = b"(XEN) SVM: Supported advanced features:\n(XEN)  - Nested Page Tables (NPT)\n(XEN) HVM: SVM enabled\n"
    config = DomainConfig.pvh(flags=CDF.hvm | CDF.hap | CDF.nested_virt)
    assert codes(config, host("4.20", log=log, hw_cap=SVM)) == ["nested-virt-missing"]
    assert codes(config, host("4.17", log=log, hw_cap=SVM)) == []


@given(
    st.builds(
        CreateRequest,
        flags=st.integers(0, 0x3FF),
        max_vcpus=st.integers(0, 9000),
        grant_opts=st.integers(0, 20),
        max_grant_frames=st.integers(-2, 100),
        emulation_flags=st.integers(0, 0xFFF),
        misc_flags=st.integers(0, 15),
        altp2m=st.integers(0, 5),
        altp2m_nr=st.integers(0, 600),
        vmtrace_size=st.sampled_from([0, 4096, 5000]),
    ),
    st.sampled_from(XEN_RELEASES),
)
def test_check_is_total_and_its_problems_speak(request: CreateRequest, row: Any) -> None:
    there = host(row.number_text, arch_capabilities=PHYSCAP_X86(3 if row.per_domain_apic else 0))
    for problem in check_request(request, situation(there)).problems:
        assert problem.rule and problem.remedy and problem.source
        assert str(problem).startswith(problem.field)


@pytest.mark.parametrize(
    "bad",
    [
        {"max_vcpus": -1},
        {"max_vcpus": 1 << 32},
        {"max_vcpus": "2"},
        {"max_vcpus": True},
        {"max_grant_frames": 1 << 31},
        {"domid": 0x7FF0},
        {"handle": "x"},
    ],
)
def test_values_that_fit_nowhere(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid):
        DomainConfig.pvh(**bad)
