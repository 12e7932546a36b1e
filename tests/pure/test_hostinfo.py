"""What ``xl info`` and ``xe`` say about a host: alone, and together with a boot log."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import xenapic
from xenapic.cli.app import app
from xenapic.documents import from_json, to_json
from xenapic.errors import HostUnknown, LogInvalid, PolicyRefused
from xenapic.model.config import DomainConfig
from xenapic.model.facts import Answer
from xenapic.model.flags import CDF, PHYSCAP
from xenapic.model.logged import host_from_info, host_from_log
from xenapic.parse.hostinfo import merged, parse_host_info
from xenapic.policy.terms import Aspect, Policy, Want

XL_INFO = """host                   : dom0.example
release                : 6.1.0
nr_cpus                : 16
max_cpu_id             : 31
nr_nodes               : 2
cores_per_socket       : 8
threads_per_core       : 1
cpu_mhz                : 2095.078
hw_caps                : bfebfbff:77fef3ff:2c100800:00000121:0000000f:d19ffffb:00000008:00000100
virt_caps              : pv hvm hvm_directio pv_directio hap iommu_hap_pt_share vmtrace gnttab-v1
total_memory           : 65168
free_memory            : 40000
outstanding_claims     : 10
xen_major              : 4
xen_minor              : 17
xen_extra              : .5
xen_version            : 4.17.5
xen_caps               : xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_64
xen_changeset          : Thu Jan 1 00:00:00 2026 +0000 git:abc
xen_commandline        : placeholder gnttab_max_frames=32
"""
XE = """uuid ( RO)                      : 0b6d
                 software-version (MRO): product_version: 8.2.1; xen: 4.13.5-9.36; linux: 4.19.0+1
                         capabilities (SRO): xen-3.0-x86_64; hvm-3.0-x86_64;
                     cpu_info (MRO): cpu_count: 16; vendor: GenuineIntel; modelname: Intel(R) Xeon(R) Gold 6242 CPU @ \
2.80GHz; family: 6; model: 85; stepping: 7; flags: fpu de tsc
                 chipset-info (MRO): iommu: true
"""
XE_CPU = """cpu_count       : 8
    socket_count: 1
          vendor: AuthenticAMD
       modelname: AMD EPYC 7262 8-Core Processor
          family: 23
           model: 49
        stepping: 0
"""
LOG = """(XEN) Xen version 4.17.5 (x)
(XEN) CPU Vendor: Intel, Family 6 (0x6), Model 85 (0x55), Stepping 4 (raw 00050654)
(XEN) VMX: Supported advanced features:
(XEN)  - APIC TPR shadow
(XEN)  - Extended Page Tables (EPT)
(XEN) HVM: VMX enabled
"""


def test_xl_info_alone() -> None:
    host = host_from_info(parse_host_info(XL_INFO, "info.txt")).host
    assert (str(host.version), host.technology) == ("4.17.5", xenapic.Technology.VMX)
    assert host.version.changeset.endswith("git:abc") and host.version.capabilities[0] == "xen-3.0-x86_64"
    info = host.physinfo
    assert (info.nr_cpus, info.max_cpu_id, info.nr_nodes, info.total_pages) == (16, 31, 2, 65168 * 256)
    assert (info.free_pages - info.outstanding_pages) == 40000 * 256
    assert (
        PHYSCAP.directio | PHYSCAP.vmtrace in info.capabilities and PHYSCAP.gnttab_v2 not in info.capabilities
    )
    assert not host.unknown and host.grant_limits.frames == 32
    assert host.features["tpr_shadow"].answer is Answer.UNKNOWN
    assert "there is no boot log" in host.features["tpr_shadow"].source
    assert from_json(to_json(host)) == host


def test_what_an_older_xl_does_not_print_is_not_absent() -> None:
    older = XL_INFO.replace("4.17.5", "4.13.5").replace(" iommu_hap_pt_share vmtrace gnttab-v1", "")
    host = host_from_info(parse_host_info(older, "info.txt")).host
    assert PHYSCAP.gnttab_v1 in host.physinfo.capabilities, "as on a usual host"
    assert host.unknown == PHYSCAP.vmtrace
    assert not (host.physinfo.capabilities | host.unknown) & PHYSCAP.iommu_hap_pt_share


def test_xe_names_the_processor_and_its_row_answers() -> None:
    host = host_from_info(parse_host_info(XE, "xe.txt")).host
    assert str(host.version) == "4.13.5-9.36" and host.seen is not None
    assert host.seen.signature == "00050657" and host.seen.rows == ("cascade-lake-sp",)
    assert PHYSCAP.directio in host.physinfo.capabilities and not host.seen.commandline_known
    assert host.features["virtualize_x2apic_mode"].answer is Answer.UNKNOWN, (
        "apicv=0 may be among the options"
    )
    known = host_from_info(parse_host_info(f"{XE}xen_commandline : x\n", "xe.txt")).host
    fact = known.features["virtualize_x2apic_mode"]
    assert fact.answer is Answer.YES and fact.source.startswith("xe.txt, line 4: family, row cascade-lake-sp")
    amd = host_from_info(parse_host_info(XE_CPU, "cpu.txt")).host
    assert amd.technology is xenapic.Technology.SVM and amd.seen is not None
    assert (amd.seen.processor, amd.seen.model) == ("AMD EPYC 7262 8-Core Processor", "17-31-00")


def test_a_log_and_xl_info_together() -> None:
    info = parse_host_info(XL_INFO, "info.txt")
    alone, both = host_from_log(LOG, name="a.log").host, host_from_log(LOG, name="a.log", info=info)
    assert not alone.commandline_known and both.host.commandline_known
    assert both.host.physinfo.nr_cpus == 16 and both.host.features["tpr_shadow"].answer is Answer.YES
    assert both.host.seen is not None and both.host.seen.files == ("a.log", "info.txt")
    (note,) = both.warnings  # without apicv=0, the processor's row has more than the log
    assert "row skylake-sp, which offers" in note


def test_where_a_log_and_xl_info_contradict_both_are_said() -> None:
    info = parse_host_info(XL_INFO.replace("4.17.5", "4.18.2"), "info.txt")
    log = LOG.replace("(XEN) VMX", "(XEN) Command line: apicv=0\n(XEN) VMX")
    made = host_from_log(log, name="a.log", info=info)
    assert made.host.version.release == "4.17"
    assert "a.log is of Xen 4.17.5, but info.txt, line 17: xen_version is 4.18.2" in made.warnings
    assert any("another boot" in note for note in made.warnings)
    amd = parse_host_info(
        XL_INFO.replace("77fef3ff:2c100800:00000121", "0:0:4").replace(
            ":0:0:4:", ":" + "0" * 8 + ":" + "0" * 8 + ":00000004:"
        ),
        "info.txt",
    )
    assert any("different processors" in note for note in host_from_log(LOG, name="a.log", info=amd).warnings)


def test_texts_of_one_host_are_merged() -> None:
    info = merged([parse_host_info(XE_CPU, "cpu.txt"), parse_host_info(XE, "list.txt")])
    assert info.values["vendor"] == "AuthenticAMD" and info.place("vendor") == "cpu.txt, line 3: vendor"
    assert info.version == (4, 13, ".5-9.36") and info.name == "cpu.txt and list.txt"


@pytest.mark.parametrize("text", ["", "hello\n" * 9, "xen_commandline: x", "\0" * 99, "a:" * 50_000])
def test_a_text_that_is_none(text: str) -> None:
    with pytest.raises(LogInvalid, match="it has nothing of 'xl info'"):
        parse_host_info(text, "x.txt")


def test_a_text_without_a_processor_is_refused() -> None:
    with pytest.raises(HostUnknown, match="does not say whether the processor has VMX or SVM"):
        host_from_info(parse_host_info("xen_version : 4.17.5\n", "x.txt"))


def test_the_option(tmp_path: Path) -> None:
    (tmp_path / "info.txt").write_text(XL_INFO)
    (tmp_path / "cpu.txt").write_text(XE_CPU)
    (tmp_path / "a.log").write_text(LOG)
    info, log = str(tmp_path / "info.txt"), str(tmp_path / "a.log")
    run = CliRunner().invoke
    both = run(app, ["host", "--log", log, "--xl-info", info, "--json"])
    assert both.exit_code == 0 and from_json(both.stdout).physinfo.nr_cpus == 16
    alone = run(
        app,
        ["plan", "--xl-info", info, "--processor", "skylake-sp", "--require", "virtual_interrupt_delivery"],
    )
    assert alone.exit_code == 0, "the row answers, and apicv=0 is not among the options"
    assert run(app, ["plan", "--log", log, "--log", info, "--xl-info", info]).exit_code == 2
    assert run(app, ["create", "--dry-run", "--type", "pvh", "--xl-info", info]).exit_code == 0


def test_check_applies_every_rule_without_a_xen() -> None:
    host = host_from_log(LOG, info=parse_host_info(XL_INFO, "info.txt")).host
    assert not xenapic.check(DomainConfig.pvh(), host).problems
    broken = DomainConfig.pvh(max_vcpus=999, flags=CDF.hvm | CDF.hap | CDF.nested_virt | CDF.s3_integrity)
    codes = [problem.code for problem in xenapic.check(broken, host).problems]
    assert len(codes) >= 2, codes
    named = xenapic.named_host(xenapic.processor("skylake-sp"), xenapic.xen_release("4.20"))
    depends = xenapic.check(DomainConfig.pvh(flags=DomainConfig.pvh().flags | CDF.iommu), named).depends
    assert any("IOMMU" in dependency.fact for dependency in depends)
    with pytest.raises(PolicyRefused):
        xenapic.check(DomainConfig.pvh(), host, Policy({Aspect.TPR_SHADOW: Want.FORBID}))
