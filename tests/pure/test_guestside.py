"""What a guest sees: APIC IDs, CPUID, Viridian, nesting, and what a move changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.hosts import INTEL_LOG
from xenapic import PROCESSORS
from xenapic.cli.app import app
from xenapic.documents import from_json, to_json
from xenapic.errors import PolicyInvalid
from xenapic.model.acceleration import HvmLeaf
from xenapic.model.facts import Answer
from xenapic.model.host import Host
from xenapic.model.named import named_host
from xenapic.model.releases import XEN_RELEASES, xen_release
from xenapic.model.viridian import DEFAULT_GROUPS, GROUPS
from xenapic.policy.guestside import Change, apic_ids, moved, nested, told, viridian_groups
from xenapic.policy.outlook import hvm_leaf
from xenapic.policy.plan import Plan, plan
from xenapic.policy.terms import Aspect, Policy

DEFAULTS = frozenset(DEFAULT_GROUPS)


def host(name: str, release: str = "4.20", options: str = "") -> Host:
    return named_host(PROCESSORS[name], xen_release(release), options)


def answers(there: Host, groups: frozenset[str] = frozenset()) -> dict[str, str]:
    return {hint.name: hint.fact.answer.value for hint in told(there, groups)}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["guest", *map(str, arguments)])


RECORDED = sorted((Path(__file__).parent.parent / "data" / "recorded").glob("*.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_guest_is_offered_x2apic_unless_a_toolstack_hides_it(path: Path) -> None:
    """Seen by guests that xenapic made; docs/reference/xen.md says so of 4.16 to 4.22."""
    seen = [guest.get("cpuid_1_ecx") for guest in json.loads(path.read_text())["guest"]]
    assert len(seen) > 2 and all(word is not None and word >> 21 & 1 for word in seen)


# -- APIC IDs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", XEN_RELEASES, ids=lambda row: row.name)
def test_the_largest_guest_still_fits_into_xapic_mode(release: Any) -> None:
    ids = apic_ids(128, release)
    assert (ids.highest, ids.x2apic_needed) == (254, False)
    for vcpus in (0, -1, 129):
        with pytest.raises(PolicyInvalid, match="1 to 128"):
            apic_ids(vcpus, release)


def test_the_logical_id_comes_from_the_apic_id_since_the_defect_was_fixed() -> None:
    assert apic_ids(10, xen_release("4.21")).logical[8:] == (1 << 16 | 1 << 0, 1 << 16 | 1 << 2)
    assert apic_ids(10, xen_release("4.15")).logical[8:] == (1 << 8, 1 << 9)


# -- CPUID ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", XEN_RELEASES, ids=lambda row: row.name)
@pytest.mark.parametrize("options", ["", "apicv=0"])
def test_the_leaf_is_that_of_the_plan(release: Any, options: str) -> None:
    for row in PROCESSORS.values():
        there = named_host(row, release, options)
        planned = plan(Policy(), there)
        leaf = hvm_leaf(planned) if isinstance(planned, Plan) else None
        found = answers(there)
        if leaf is not None:
            for bit in (HvmLeaf.APIC_ACCESS_VIRT, HvmLeaf.X2APIC_VIRT):
                assert found[str(bit.name)] == ("yes" if bit in leaf else "no"), row.name


def test_viridian_on_hosts_with_and_without_delivery_in_hardware() -> None:
    assert set(answers(host("skylake-sp"))) == {"APIC_ACCESS_VIRT", "X2APIC_VIRT"}
    in_hardware = answers(host("skylake-sp"), DEFAULTS)
    assert in_hardware["MSR_BASED_APIC"] == in_hardware["apic_assist"] == "no"
    assert in_hardware["APIC_OVERLAY"] == "yes" and in_hardware["SYNTHETIC_CLUSTER_IPI"] == "no"
    emulated = answers(host("skylake-sp", options="apicv=0"), DEFAULTS | {"hcall_ipi"})
    assert emulated["MSR_BASED_APIC"] == emulated["apic_assist"] == emulated["SYNTHETIC_CLUSTER_IPI"] == "yes"
    amd = answers(host("zen3-epyc"), DEFAULTS)
    assert (amd["MSR_BASED_APIC"], amd["APIC_OVERLAY"], amd["apic_assist"]) == ("yes", "no", "yes")
    assert answers(host("skylake-sp"), viridian_groups(["base"]))["apic_assist"] == "no"


def test_what_is_unknown_stays_unknown(host_with: Callable[..., Host]) -> None:
    hint = next(hint for hint in told(host_with(), DEFAULTS) if hint.name == "apic_assist")
    assert hint.fact.answer is Answer.UNKNOWN and "virtual_interrupt_delivery" in hint.fact.source


@pytest.fixture
def host_with() -> Callable[..., Host]:
    from dataclasses import replace

    from xenapic.model.facts import unknown

    def make() -> Host:
        there = host("skylake-sp")
        features = {**there.features, "virtual_interrupt_delivery": unknown("a damaged line", "measure")}
        return replace(there, features=features)

    return make


@pytest.mark.parametrize(
    ("words", "groups"),
    [
        (["1"], DEFAULTS),
        (["defaults", "!apic_assist", "hcall_ipi"], (DEFAULTS - {"apic_assist"}) | {"hcall_ipi"}),
        (["all"], set(GROUPS)),
        (["base", "stimer"], {"base", "stimer", "synic", "time_ref_count"}),
        ([], set()),
    ],
)
def test_groups_as_libxl_takes_them(words: list[str], groups: set[str]) -> None:
    assert viridian_groups(words) == groups


def test_wrong_groups() -> None:
    with pytest.raises(PolicyInvalid, match="did you mean 'apic_assist'"):
        viridian_groups(["apic_asist"])
    with pytest.raises(PolicyInvalid, match="without the group base"):
        viridian_groups(["apic_assist"])


# -- nesting ----------------------------------------------------------------------------------------


def test_a_hypervisor_in_the_guest_gets_two_controls_at_most() -> None:
    found = nested(host("skylake-sp"))
    offered = {aspect for aspect, fact in found.items() if fact}
    assert offered == {Aspect.TPR_SHADOW, Aspect.APIC_ACCESSES}
    assert not any(nested(host("zen3-epyc")).values())


# -- moving -----------------------------------------------------------------------------------------


def test_a_move_loses_what_the_other_host_lacks() -> None:
    changes = {
        row.before.name: row.change for row in moved(host("skylake-sp"), host("skylake-client"), DEFAULTS)
    }
    assert changes["X2APIC_VIRT"] is changes["APIC_ACCESS_VIRT"] is Change.LOST
    assert changes["MSR_BASED_APIC"] is Change.GAINED
    assert changes["AccessIntrCtrlRegs"] is Change.SAME
    back = {row.before.name: row.change for row in moved(host("skylake-client"), host("skylake-sp"))}
    assert set(back.values()) == {Change.GAINED}


def test_the_command(tmp_path: Path) -> None:
    report, log = tmp_path / "report.json", tmp_path / "boot.log"
    report.write_text(json.dumps(to_json(host("skylake-sp"))))
    log.write_bytes(b"(XEN) Xen version 4.17.7 (x) (gcc) debug=n\n" + INTEL_LOG)
    done = run("--host", report, "--vcpus", 64, "--viridian", "defaults")
    assert done.exit_code == 0 and "the highest of 64 vCPUs is 126" in done.output
    done = run("--host", report, "--to", "skylake-client", "--to-xen", "4.17.3")
    assert done.exit_code == 1 and "lost" in done.output
    assert run("--processor", "skylake-sp", "--to", report).exit_code == 0
    done = run("--host", report, "--to", log, "--json")
    view = from_json(done.stdout)
    assert view.moves_to == str(log) and len(view.moved) == 2
    done = CliRunner().invoke(app, ["guest", "--host", str(report), "--to", "-"], input=log.read_bytes())
    assert done.exit_code in (0, 1) and "told at boot" in done.output
    for wrong in (("--vcpus", 0), ("--viridian", "apic"), ("--to", "no-such-processor")):
        assert run("--host", report, *wrong).exit_code == 2
