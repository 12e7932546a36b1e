"""The finder: what a setting of xl.cfg does on a host, and which processors give the same answer."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import jsonschema
import pytest
from click.testing import CliRunner

from tests.hosts import host
from xenapic.apic.processors import PROCESSORS
from xenapic.apic.state import ApicState
from xenapic.cli.app import app
from xenapic.documents import from_json, schema_text
from xenapic.errors import PolicyInvalid
from xenapic.model.facts import Answer, unknown
from xenapic.model.flags import PHYSCAP
from xenapic.model.named import named_host
from xenapic.model.releases import XEN_RELEASES, XenRelease, xen_release
from xenapic.policy.finder import SETTINGS, SettingResult, find, processor_classes, setting_of
from xenapic.policy.plan import Plan, plan
from xenapic.policy.terms import Aspect

OFF = SETTINGS["assisted_x2apic=0"]


def test_every_processor_is_in_one_class() -> None:
    named = [row.name for kind in processor_classes() for row in kind.members]
    assert sorted(named) == sorted(PROCESSORS)


LEAN = ("4.15", "4.17-rc", "4.22")
"""The releases whose rules differ most; ``make test-all`` has all of them."""


@pytest.mark.parametrize(
    "release",
    [
        pytest.param(row, marks=() if row.name in LEAN else pytest.mark.thorough, id=row.name)
        for row in XEN_RELEASES
    ],
)
def test_what_a_class_says_is_true_of_each_member(release: XenRelease) -> None:
    for kind, setting in product(processor_classes(), SETTINGS.values()):
        expected = find(named_host(kind.example, release), setting)
        for row in kind.members:
            finding = find(named_host(row, release), setting)
            assert finding.text == expected.text
            for state in (ApicState.XAPIC, ApicState.X2APIC):
                assert finding.stays(state) == expected.stays(state), (row.name, setting.text)


def test_the_finder_and_the_plan_agree() -> None:
    """What the finder reports as off is off in a plan, and the plan refuses what the finder reports as on."""
    results = set()
    for release, kind in product(XEN_RELEASES, processor_classes()):
        for setting in SETTINGS.values():
            there = named_host(kind.example, release)
            finding, answer = find(there, setting), plan(setting.policy, there)
            results.add(finding.result)
            refused = finding.result in (
                SettingResult.INEFFECTIVE, SettingResult.NOT_OFFERED, SettingResult.PLAIN_MEMORY
            )  # fmt: skip
            assert bool(answer) is not refused, finding
            if isinstance(answer, Plan) and setting.aspect is not None:
                assert bool(answer.in_force[setting.aspect]) is setting.value
    assert results >= set(SettingResult) - {
        SettingResult.IGNORED_UNKNOWN, SettingResult.UNDECIDED, SettingResult.NO_GUEST
    }  # fmt: skip


def test_what_is_unknown_stays_unknown() -> None:
    there = replace(host(), features={**host().features, Aspect.X2APIC_MODE.value: unknown("?", "measure")})
    finding = find(there, OFF)
    assert (finding.result, finding.control) == (SettingResult.IGNORED_UNKNOWN, Answer.UNKNOWN)
    assert "unknown" in finding.stays(ApicState.X2APIC)
    undecided = find(replace(there, interface=unknown("?", "probe")), OFF)
    assert (undecided.result, undecided.in_force) == (SettingResult.UNDECIDED, None)
    assert undecided.stays(ApicState.XAPIC) == "-"
    pv_only = replace(there, physinfo=replace(there.physinfo, capabilities=PHYSCAP.pv))
    assert find(pv_only, OFF).result is SettingResult.NO_GUEST


def test_a_setting_is_read_as_people_write_it() -> None:
    for text in ("assisted_x2apic=0", " assisted_x2apic = 0", 'assisted_x2apic="0"'):
        assert setting_of(text) is OFF
    with pytest.raises(PolicyInvalid, match="did you mean 'assisted_x2apic=0'"):
        setting_of("assisted_x2apc=0")


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["find", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command() -> None:
    shown = run("assisted_x2apic=0", "--processor", "skylake-sp", "--xen", "4.20")
    assert "ignored: stays on" in shown and "39 of 42 reads, 3 of 16 writes" in shown
    assert "Boot Xen with apicv=0" in shown
    every = run("assisted_x2apic=0", "--everywhere")
    assert all(release.name in every for release in XEN_RELEASES)
    assert "accepted: every x2APIC access exits" in every
    assert CliRunner().invoke(app, ["find", "--everywhere", "--processor", "zen4"]).exit_code == 2


def test_the_command_as_json() -> None:
    document = json.loads(run("--processor", "zen4", "--xen", "4.17-rc", "--json"))
    jsonschema.validate(document, json.loads(schema_text("find")))
    assert [entry["setting"] for entry in document["findings"]] == list(SETTINGS)
    results = {entry["setting"]: entry["result"] for entry in document["findings"]}
    assert results["assisted_x2apic=1"] == "not-offered" and results["assisted_x2apic=0"] == "accepted"
    assert from_json(document).findings[0].release == "4.17-rc"
    many = json.loads(run("--everywhere", "--json"))["findings"]
    assert len(many) == len(SETTINGS) * len(XEN_RELEASES) * len(processor_classes())


def test_the_defect_is_named() -> None:
    finding = find(
        named_host(PROCESSORS["broadwell_ult"], xen_release("4.17-rc")), SETTINGS["assisted_xapic=0"]
    )
    assert finding.result is SettingResult.PLAIN_MEMORY
    assert finding.stays(ApicState.XAPIC) == "plain memory"
