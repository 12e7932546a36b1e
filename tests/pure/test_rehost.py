"""A host under another Xen: never a wrong answer, and none unknown that follows."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.hosts import SVM, host
from xenapic.apic.processors import PROCESSORS, Processor
from xenapic.cli.app import app
from xenapic.documents import from_json, to_json
from xenapic.errors import HostUnknown
from xenapic.model.facts import Answer, unknown
from xenapic.model.flags import PHYSCAP, PHYSCAP_X86
from xenapic.model.host import Host
from xenapic.model.named import named_host
from xenapic.model.rehost import host_under
from xenapic.model.releases import DEVELOPMENT, XEN_RELEASES, xen_release

OTHER_FACTS = ("interface", "assisted_xapic", "assisted_x2apic", "nested_virt", "altp2m")
MAY_BE_UNKNOWN = {"virtualize_x2apic_mode", "assisted_x2apic", "tertiary_controls"}
"""x2APIC mode where Xen could not use it here, tertiary controls where it is unknown whether Xen here wants them."""
SKYLAKE = PROCESSORS["skylake-sp"]
NEW, OLD = xen_release("4.20"), xen_release("4.17")


def answers(there: Host) -> dict[str, Answer]:
    facts = {**there.features, **{name: getattr(there, name) for name in OTHER_FACTS}}
    return {name: fact.answer for name, fact in facts.items()}


@pytest.mark.parametrize("row", PROCESSORS.values(), ids=lambda row: row.name)
def test_a_named_host_elsewhere_is_the_host_named_there(row: Processor) -> None:
    """Where something is unknown, the named host may know more; the two never contradict each other."""
    for here, there in product(XEN_RELEASES, XEN_RELEASES):
        for options in ("", "apicv=0"):
            expected = named_host(row, there, options)
            found = host_under(named_host(row, here), there, options)
            unequal = {
                name: answer
                for name, answer in answers(found).items()
                if answer is not answers(expected)[name]
            }
            assert set(unequal.values()) <= {Answer.UNKNOWN}, (here.name, there.name, unequal)
            assert found.release is there and found.version == expected.version
            assert found.grant_limits == expected.grant_limits
            if not row.unknown:
                assert set(unequal) <= MAY_BE_UNKNOWN, (here.name, there.name)
            if row.name == "skylake-sp":
                assert found.physinfo == expected.physinfo and set(unequal) <= {"tertiary_controls"}


def test_without_apicv_it_is_unknown_what_apicv_would_bring() -> None:
    off = named_host(SKYLAKE, NEW, "apicv=0")
    back = host_under(off, options="")
    assert back.features["virtual_interrupt_delivery"].answer is Answer.UNKNOWN
    assert back.features["tpr_shadow"] and back.features["virtualize_apic_accesses"]
    assert "does not follow from what is known" in back.features["virtual_interrupt_delivery"].source
    same = host_under(off, options="apicv=0 x=1")
    assert not same.features["virtual_interrupt_delivery"] and same.version.commandline == "apicv=0 x=1"
    cut = replace(off, version=replace(off.version, commandline="x" * 1023))
    assert host_under(cut, NEW, "").features["virtual_interrupt_delivery"].answer is Answer.UNKNOWN


def test_what_is_unknown_here_is_unknown_there() -> None:
    there = host_under(host(log=b""), NEW)
    assert there.features["tpr_shadow"].answer is Answer.UNKNOWN
    known = host_under(host(), NEW)
    assert (
        known.features["tpr_shadow"]
        and "worked out from: Xen's boot log" in known.features["tpr_shadow"].source
    )
    assert known.tboot.answer is Answer.UNKNOWN and known.measured is None


def test_nothing_asked_changes_nothing() -> None:
    there = host()
    assert host_under(there) is there
    same = host_under(there, there.release)
    assert answers(same) == answers(there) and same.version == there.version


def test_an_undecided_interface_is_decided_by_the_release() -> None:
    undecided = replace(named_host(SKYLAKE, OLD), interface=unknown("?", "probe"))
    assert host_under(undecided, OLD).interface.answer is Answer.NO
    chosen = host_under(undecided, DEVELOPMENT)
    assert chosen.interface and chosen.assisted_x2apic
    assert chosen.physinfo.arch_capabilities == PHYSCAP_X86(3)


def test_hap() -> None:
    there = named_host(SKYLAKE, NEW)
    without = host_under(there, options="hap=0")
    assert PHYSCAP.hap not in without.physinfo.capabilities and not without.nested_virt
    assert (
        not without.features["tpr_shadow"]
        and "neither hap nor shadow" in without.features["tpr_shadow"].source
    )
    with pytest.raises(HostUnknown, match="hap=0"):
        host_under(without, options="")


def test_amd() -> None:
    epyc = host(hw_cap=SVM, log=b"")
    for release in XEN_RELEASES:
        assert not any(host_under(epyc, release).features.values())
    old, new = xen_release("4.18"), xen_release("4.19")
    named = named_host(PROCESSORS["zen4"], old)
    assert named.nested_virt and host_under(named, new).nested_virt.answer is Answer.UNKNOWN
    assert host_under(host_under(named, new), old).nested_virt


def test_facts_that_contradict_each_other() -> None:
    there = named_host(SKYLAKE, NEW)
    features = {**there.features, "tpr_shadow": named_host(PROCESSORS["zen4"], NEW).features["tpr_shadow"]}
    with pytest.raises(HostUnknown, match="no processor fits"):
        host_under(replace(there, features=features), OLD)


# -- sources -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", XEN_RELEASES, ids=lambda release: release.name)
def test_a_named_host_claims_no_source_that_only_a_real_host_has(release: object) -> None:
    for row in PROCESSORS.values():
        named = named_host(row, release)  # type: ignore[arg-type]
        facts = [
            *named.features.values(),
            *(getattr(named, name) for name in OTHER_FACTS),
            named.flask,
            named.tboot,
        ]
        for fact in facts:
            assert not re.search(r"physinfo|hw_cap|[Xx]en answered|boot log:", fact.source), fact


# -- the command -------------------------------------------------------------------------------------


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code in (0, 1), done.output
    return done.output


@pytest.fixture
def report(tmp_path: Path) -> str:
    path = tmp_path / "sky.json"
    written = to_json(named_host(SKYLAKE, NEW))
    path.write_text(json.dumps(written))
    assert from_json(written, Host).release is NEW
    return str(path)


@pytest.mark.parametrize("change", ["xen-options=apicv=0", "xen=4.17", "xen=4.17-rc", "xen=4.15"])
@pytest.mark.parametrize("state", ["xapic", "x2apic"])
def test_a_difference_is_that_of_the_processor_by_name(report: str, change: str, state: str) -> None:
    rest = ("--state", state, "--diff", change)
    by_report = run("access", "--host", report, *rest)
    by_name = run("access", "--processor", "skylake-sp", "--xen", "4.20", *rest)
    assert by_report == by_name
    if change == "xen-options=apicv=0":
        assert not by_report.rstrip().splitlines()[-1].startswith("0 of")


def test_a_plan_elsewhere(report: str) -> None:
    def planned(*options: str) -> dict[str, object]:
        document = json.loads(run("plan", "--json", "--require", "virtual_interrupt_delivery", *options))
        ((name, entry),) = document["hosts"].items()
        return {"name": name, **entry}

    assert planned("--host", report)["release"] == "4.20"
    assert planned("--host", report, "--xen", "4.17-rc")["release"] == "4.17-rc"
    refused = planned("--host", report, "--xen-options", "apicv=0")
    assert refused["refused"] and str(refused["name"]).endswith("sky.json apicv=0")
