"""plan FILE and create --dry-run: a domain's configuration is checked as the toolstack and Xen will check it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.hosts import host
from xenapic.apic.processors import PROCESSORS
from xenapic.cli import domainfile
from xenapic.cli.app import app
from xenapic.cli.hosts import THIS_HOST
from xenapic.documents import from_json, to_json
from xenapic.model.conditions import Situation
from xenapic.model.config import CreateRequest
from xenapic.model.create import check_request
from xenapic.model.host import Host
from xenapic.model.named import named_host
from xenapic.model.releases import xen_release
from xenapic.toolstack.check import check_file
from xenapic.toolstack.request import derive_request

HVM = 'name="a"\ntype="hvm"\nmemory=512\n'
NAMED = ("--processor", "skylake-sp", "--xen", "4.20")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "500"})


def plan(tmp_path: Path, text: str, *options: str, name: str = "a.cfg") -> Result:
    path = tmp_path / name
    path.write_text(text)
    return run("plan", str(path), *(options or NAMED))


def on(name: str, release: str, options: str = "") -> Host:
    return named_host(PROCESSORS[name], xen_release(release), options)


@pytest.mark.parametrize(
    ("text", "release", "shown"),
    [
        (HVM + "vcpus=300", "4.20", "vcpus-too-many"),
        (HVM + "hap=0\nnestedhvm=1", "4.20", "nested-virt-without-hap"),
        (HVM + "altp2m=1", "4.21", "altp2m-missing"),
        (HVM + "altp2m=1\nnestedhvm=1", "4.20", "nestedhvm and altp2mhvm cannot be used together"),
        (HVM + "vpmu=1", "4.20", "vPMU not supported on this platform"),
        ("<domain type='kvm'/>", "4.20", "unexpected domain type kvm, expecting xen"),
    ],
)
def test_refused(tmp_path: Path, text: str, release: str, shown: str) -> None:
    options = ("--processor", "skylake-sp", "--xen", release)
    done = plan(tmp_path, text, *options)
    assert done.exit_code == 1, done.output
    assert shown in done.output
    assert "nothing that xenapic checks" not in done.output
    document = json.loads(plan(tmp_path, text, *options, "--json").stdout)
    (check,) = document["checks"].values()
    assert document["possible"] is check["possible"] is False
    assert check["refused"] or check["problems"]
    path = str(tmp_path / "a.cfg")
    dry = run("create", "--dry-run", "--policy", path, *options)
    assert dry.exit_code == 1, dry.output
    assert shown in dry.output
    dry = run("create", "--dry-run", "--policy", path, *options, "--json")
    assert dry.exit_code == 1
    assert json.loads(dry.stdout)["check"] == check


@pytest.mark.parametrize(
    "text", ["type='pvh'", "", HVM + "vcpus=-1", 'name="a"\ntype="x"', "<domain>", "<x/>"]
)
def test_what_is_no_configuration_is_nonsense(tmp_path: Path, text: str) -> None:
    assert plan(tmp_path, text).exit_code == 2


def test_possible_names_what_was_not_looked_at(tmp_path: Path) -> None:
    text = HVM + "vcpus=2\ndisk=['x']\nvif=[]\n"
    done = plan(tmp_path, text)
    assert done.exit_code == 0, done.output
    assert "nothing that xenapic checks forbids it; not looked at: disk, vif" in done.output
    assert "hvm guest on skylake-sp Xen 4.20" in done.output
    assert "all of the file was looked at" in plan(tmp_path, HVM).output
    many = HVM + "".join(f"a{number}=1\n" for number in range(20))
    assert "and 8 more (--json names all)" in plan(tmp_path, many).output
    dry = run("create", "--dry-run", "--policy", str(tmp_path / "a.cfg"), *NAMED)
    assert (dry.exit_code, "not looked at: a0" in dry.output) == (0, True)


def test_cpus_depend_on_a_host_that_is_only_named(tmp_path: Path) -> None:
    text = "whether xl refuses cpus depends on the CPUs and NUMA nodes of the host"
    assert text in plan(tmp_path, HVM + 'cpus="2-15"\n').output
    assert text not in plan(tmp_path, HVM).output


def test_nested_virtualization_is_considered(tmp_path: Path) -> None:
    def notes(processor: str, release: str, text: str = HVM + "nestedhvm=1\n") -> str:
        options = ("--processor", processor, "--xen", release)
        return "\n".join(
            line for line in plan(tmp_path, text, *options).output.splitlines() if "nested" in line
        )

    assert "affected by nested-interrupt-status" in notes("broadwell-ep", "4.13.1")
    assert "affected by nested-x2apic-entry-fails" in notes("broadwell-ep", "4.13.1")
    assert "affected by" not in notes("broadwell-ep", "4.17.3")
    assert "nested-interrupt-status: no" in notes("broadwell-ep", "4.17.3")
    assert "concerns the APIC on SVM" in notes("zen2", "4.17.3")
    assert "nestedhvm" not in notes("broadwell-ep", "4.17.3", HVM)


def test_a_release_whose_rules_are_not_modelled_is_said_to_be(tmp_path: Path) -> None:
    options = ("--processor", "broadwell-ep", "--xen", "4.13.1")
    done = plan(tmp_path, HVM, *options)
    assert done.exit_code == 0, done.output
    assert "the rules of Xen 4.13 and its toolstacks are not modelled" in done.output
    assert "nothing that xenapic checks" not in done.output
    (check,) = json.loads(plan(tmp_path, HVM, *options, "--json").stdout)["checks"].values()
    assert (check["request"], check["problems"]) == (None, [])
    assert check["depends"]
    plan(tmp_path, HVM, *options)
    checked = run("validate", str(tmp_path / "a.cfg"), *options).output
    assert "[depends]" in checked
    assert "forbids the domain" not in checked


def test_the_request_is_in_the_document(tmp_path: Path) -> None:
    text = HVM + "vcpus=2\ndevice_model_stubdomain_override=1\n"
    derived = derive_request(text, xen="4.17")
    options = ("--processor", "skylake-sp", "--xen", "4.17")
    document = json.loads(plan(tmp_path, text, *options, "--json").stdout)
    assert document["request"]["fields"] == derived.fields
    assert document["request"]["more"] == list(derived.more)
    assert document["request"]["evidence"] == "executed"
    dry = run("create", "--dry-run", "--policy", str(tmp_path / "a.cfg"), *options, "--json")
    assert json.loads(dry.stdout)["request"] == document["request"]
    pool = ("--processor", "skylake-sp", "--processor", "broadwell-ep", "--json")
    assert json.loads(plan(tmp_path, text, *pool).stdout)["request"]["fields"]["max_vcpus"] == 2
    assert json.loads(run("plan", "--json", *NAMED).stdout)["request"] is None


def test_libvirt_xml(tmp_path: Path) -> None:
    xml = "<domain type='xen'><name>a</name><memory>524288</memory><vcpu>{}</vcpu><os><type>{}</type></os>{}</domain>"
    done = plan(tmp_path, xml.format(4, "xenpvh", "<devices><disk/></devices>"), name="a.xml")
    assert done.exit_code == 0, done.output
    assert "not looked at: devices/disk" in done.output and "pvh guest on" in done.output
    assert plan(tmp_path, xml.format(300, "hvm", ""), name="a.xml").exit_code == 1
    hidden = "<cpu mode='host-passthrough'><feature name='x2apic' policy='disable'/></cpu>"
    done = plan(tmp_path, xml.format(4, "hvm", hidden), *NAMED, "--json", name="a.xml")
    assert json.loads(done.stdout)["policy"]["guest_x2apic"] is False


# -- what a name does not say -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "release", "code"),
    [
        (CreateRequest(flags=32, grant_opts=2), "4.17", "iommu-missing"),
        (CreateRequest(flags=1, emulation_flags=1), "4.17", "shadow-missing"),
        (CreateRequest(flags=1, emulation_flags=1), "4.22", "shadow-missing"),
        (CreateRequest(flags=3, emulation_flags=1, vmtrace_size=4096), "4.17", "vmtrace-missing"),
        (CreateRequest(max_grant_frames=65), "4.17", "grant-frames-too-many"),
        (CreateRequest(max_maptrack_frames=1025), "4.17", "maptrack-frames-too-many"),
    ],
)
def test_a_rule_depends_on_what_a_name_does_not_say(request_: CreateRequest, release: str, code: str) -> None:
    checked = check_request(request_, Situation(on("broadwell-ep", release)))
    assert code not in {problem.code for problem in checked.problems}
    (dependency,) = checked.depends
    assert dependency.problem.code == code
    assert "depends on" in str(dependency)


def test_what_is_known_is_decided() -> None:
    options = "gnttab_max_frames=100 gnttab_max_maptrack_frames=2000"
    for frames, refused in ((100, False), (101, True)):
        checked = check_request(
            CreateRequest(max_grant_frames=frames), Situation(on("broadwell-ep", "4.17", options))
        )
        assert checked.depends == ()
        assert [problem.code for problem in checked.problems] == ["grant-frames-too-many"] * refused
    real = check_request(CreateRequest(flags=32), Situation(host()))
    assert [problem.code for problem in real.problems] == ["iommu-missing"]
    assert real.depends == ()


def test_a_raw_request_on_a_named_host() -> None:
    raw = ("create", "--dry-run", "--type", "pv", "--set", "flags=32", "--set", "grant_opts=2")
    done = run(*raw, "--processor", "broadwell-ep", "--xen", "4.17")
    assert done.exit_code == 0, done.output
    assert (
        "IOMMU" in done.output and "depends on" in done.output and "beyond what it depends on" in done.output
    )
    document = json.loads(run(*raw, "--processor", "broadwell-ep", "--xen", "4.17", "--json").stdout)
    assert document["problems"] == []
    assert "iommu-missing" in document["depends"][0]
    assert run("create", "--policy", "x", *NAMED).exit_code == 2
    assert run(*raw, *NAMED, "--processor", "broadwell-ep").exit_code == 2


def test_a_named_host_survives_its_document() -> None:
    named = on("broadwell-ep", "4.17")
    again: Any = from_json(to_json(named), Host)
    assert again == named
    assert again.unknown == named.unknown


@pytest.mark.parametrize(
    ("text", "release", "depends"),
    [
        (HVM + 'pci=["00:03.0"]', "4.17", ("whether libxl refuses it", "iommu_opts")),
        (HVM + "hap=0", "4.17", ("flags=hvm depends on whether this Xen is built with shadow paging",)),
        (HVM + "max_grant_frames=100", "4.17", ("max_grant_frames=100",)),
        (HVM + 'pool="fast"', "4.17", ("the pool depends on the CPU pools of the host",)),
        (HVM, "4.17", ()),
    ],
)
def test_a_file_depends_on_what_a_name_does_not_say(
    text: str, release: str, depends: tuple[str, ...]
) -> None:
    check = check_file(text, on("skylake-sp", release))
    assert check.possible
    assert len(check.depends) == len(depends)
    assert all(found.startswith(wanted) for found, wanted in zip(check.depends, depends, strict=True))


def test_files_on_a_host_that_is_known() -> None:
    there = host()
    assert check_file(HVM, there).possible
    assert check_file(HVM + 'pci=["00:03.0"]', there).refused is not None
    assert check_file(HVM + 'pool="fast"', there, pools={"Pool-0": 0}).refused is not None
    moved = check_file(HVM + 'pool="fast"', there, pools={"Pool-0": 0, "fast": 1})
    assert moved.derived is not None and moved.derived.fields["cpupool_id"] == 1
    assert moved.depends == ("cpupool_id=1 depends on the CPU pools of the host [cpupool-empty]",)


def test_what_happens_otherwise_than_the_file_says() -> None:
    (note,) = check_file(HVM + "altp2m=1", on("skylake-sp", "4.20")).notes
    assert "altp2m has no effect" in note
    assert check_file(HVM + "altp2m=1", on("skylake-sp", "4.20", "altp2m")).notes == ()
    (caution,) = check_file(HVM + "max_grant_frames=65536", on("skylake-sp", "4.20")).cautions
    assert caution.code == "grant-frames-caution"


def test_this_hosts_xl_conf_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "xl.conf"
    path.write_text("max_grant_frames=7\n")
    monkeypatch.setattr(domainfile, "XL_CONF", path)
    for name, frames in ((THIS_HOST, 7), ("elsewhere", -1)):
        (check,) = domainfile.check_on(HVM, {name: host()}).values()
        assert check.derived is not None and check.derived.fields["max_grant_frames"] == frames
    monkeypatch.setattr(domainfile, "XL_CONF", tmp_path)
    (check,) = domainfile.check_on(HVM, {THIS_HOST: host()}).values()
    assert check.derived is not None and check.derived.fields["max_grant_frames"] == -1
