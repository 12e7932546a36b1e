"""A Xen with one bit per control: recognized by physinfo alone, planned for by bits, refused early by its rules."""

from __future__ import annotations

from dataclasses import replace
from errno import EINVAL, ENODEV
from itertools import product

import pytest

from tests.hosts import domain_info, host, physinfo, situation
from xenapic.apic.controls import ControlWords
from xenapic.apic.processors import PROCESSORS
from xenapic.apic.state import ApicState
from xenapic.documents import from_json, to_json
from xenapic.model.apicbits import APIC, KNOWN, Offer, asked_word, offer_word
from xenapic.model.conditions import Situation
from xenapic.model.config import CreateRequest, DomainConfig
from xenapic.model.create import check_request, prepare_request, rules_of
from xenapic.model.flags import CDF, EMU, MISC, PHYSCAP_X86
from xenapic.model.host import Host
from xenapic.model.measured import VcpuControls
from xenapic.model.named import named_host
from xenapic.model.proposal import resolve
from xenapic.model.rehost import host_under
from xenapic.model.releases import XEN_RELEASES, xen_release
from xenapic.policy.bits import bit_of
from xenapic.policy.cautions import CautionCode
from xenapic.policy.creation import check
from xenapic.policy.outlook import hvm_leaf, vcpus
from xenapic.policy.plan import Plan, Refusal, plan
from xenapic.policy.realise import libvirt_xml, settings, xl_cfg
from xenapic.policy.reasons import Code
from xenapic.policy.remedies import Case, apply
from xenapic.policy.terms import Aspect, Policy, Want
from xenapic.verify.inspection import Kept, compare_controls

RELEASE = xen_release("4.17")
OFFERING = {
    name: named_host(PROCESSORS[name], RELEASE, proposal=True)
    for name in ("broadwell_ult", "sapphire-rapids-sp", "westmere", "penryn", "zen4")
}
BROADWELL = OFFERING["broadwell_ult"]
WANTS = (Want.DEFAULT, Want.REQUIRE, Want.FORBID, Want.PREFER)


def with_word(word: int, version: str = "4.17") -> Host:
    return host(version, extra=".5", arch_capabilities=PHYSCAP_X86(word))


# -- recognized ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["4.17", "4.18", "4.20", "4.22"])
def test_physinfo_alone_decides(release: str) -> None:
    assert not with_word(0, release).per_control and with_word(0, release).offer is None
    there = with_word(0x2F2F00, release)
    assert there.offer == Offer(KNOWN & ~APIC.POSTED, KNOWN & ~APIC.POSTED)
    assert "0x2f2f00" in there.per_control.source and "POSTED" not in there.per_control.source
    assert there.release.name == release and not there.interface
    assert there.features["tpr_shadow"] and not there.features["posted_interrupts"]
    assert "arch_capabilities" in there.features["virtualize_x2apic_mode"].source


def test_the_bits_of_4_17_rc_are_something_else() -> None:
    rc = host("4.17", extra=".0-rc2", arch_capabilities=PHYSCAP_X86(3))
    assert rc.interface and not rc.per_control and rc.release.per_domain_apic
    assert not with_word(0x010100).interface, "a word that is not 0 says nothing about bits 0 and 1"


def test_no_unchanged_xen_offers_it() -> None:
    for row, release in product(PROCESSORS.values(), XEN_RELEASES):
        assert named_host(row, release).offer is None
    old = host("4.16", arch_capabilities=None)
    assert not old.per_control and old.per_control.known


def test_x2apic_mode_alone_is_offered_and_no_default() -> None:
    there = OFFERING["westmere"]
    assert there.offer == Offer(APIC(0x23), APIC(0x03)) and not there.features["virtualize_x2apic_mode"]


def test_a_report_says_it() -> None:
    for there in OFFERING.values():
        document = to_json(there)
        assert from_json(document, Host) == there
        assert (document["offer"] is None) is (there.offer is None)
    assert list(to_json(BROADWELL)["offer"]["available"]["names"])[:2] == ["TPR_SHADOW", "ACCESS_PAGE"]


def test_other_options_and_another_release() -> None:
    off = host_under(BROADWELL, options="apicv=0")
    assert off.offer == Offer(APIC(0x03), APIC(0x03))
    assert host_under(BROADWELL, xen_release("4.20")).offer is None


# -- rules of create -----------------------------------------------------------------------------------


def request(word: int, flags: CDF = CDF.hvm | CDF.hap) -> CreateRequest:
    emulation = EMU.LAPIC if flags & CDF.hvm else 0
    return CreateRequest(flags=int(flags), emulation_flags=int(emulation), misc_flags=word)


@pytest.mark.parametrize("name", ["broadwell_ult", "westmere", "penryn"])
def test_every_request_has_the_answer_of_the_proposal(name: str) -> None:
    there = Situation(OFFERING[name])
    offer = OFFERING[name].offer
    assert offer is not None
    rules = [row for row in rules_of(RELEASE, per_control=True) if row.needs_bits]
    for ways in [*product((0, 1, 2), repeat=len(APIC))][:: 1 if name == "broadwell_ult" else 5]:
        on = APIC(sum(bit for bit, way in zip(APIC, ways, strict=True) if way == 1))
        off = APIC(sum(bit for bit, way in zip(APIC, ways, strict=True) if way == 2))
        answer = resolve(offer.available, on, off)
        asked = request(asked_word(on, off))
        first = next((row.errno for row in rules if row.broken(asked, there)), 0)
        assert first == (0 if isinstance(answer, APIC) else answer.errno), (on, off)
    assert not any(row.late for row in rules)


@pytest.mark.parametrize(
    ("word", "flags", "code", "number"),
    [
        (1 << 14, CDF.hvm | CDF.hap, "misc-flags-unknown", EINVAL),
        (1 << 8, CDF(0), "control-bits-pv", EINVAL),
        (1 << 8, CDF.hvm | CDF.hap | CDF.nested_virt, "control-bits-nested", EINVAL),
        (1 << 8 | 1 << 16, CDF.hvm | CDF.hap, "control-bits-both", EINVAL),
        (asked_word(APIC.DELIVERY, APIC.TPR_SHADOW), CDF.hvm | CDF.hap, "control-bits-need", EINVAL),
        (asked_word(APIC.POSTED), CDF.hvm | CDF.hap, "control-bits-hardware", ENODEV),
    ],
)
def test_each_refusal_names_its_rule(word: int, flags: CDF, code: str, number: int) -> None:
    found = check_request(request(word, flags), Situation(BROADWELL))
    problem = next(one for one in found.problems if one.code == code)
    assert problem.errno == number == found.errno and problem.remedy and not problem.late
    elsewhere = check_request(request(word, flags), situation(host("4.17")))
    assert [one.code for one in elsewhere.problems if one.field == "misc_flags"] == ["misc-flags-unknown"]


def test_a_problem_shows_the_bits_by_name() -> None:
    config = DomainConfig.pvh(misc_flags=MISC(asked_word(APIC.POSTED, APIC.REGISTERS) | 1))
    (problem,) = prepare_request(config, Situation(BROADWELL)).problems
    assert problem.value == "0x41001 (MSR_RELAXED, on POSTED, off REGISTERS)"


# -- policies ------------------------------------------------------------------------------------------


def test_a_policy_becomes_bits() -> None:
    policy = Policy(
        {Aspect.REGISTERS: Want.REQUIRE, Aspect.DELIVERY: Want.FORBID, Aspect.POSTED: Want.PREFER}
    )
    found = plan(policy, BROADWELL)
    assert isinstance(found, Plan)
    assert int(found.misc_flags) == asked_word(APIC.REGISTERS, APIC.DELIVERY) == 0x080400
    assert found.effective == APIC(0x27)
    assert found.in_force[Aspect.REGISTERS] and not found.in_force[Aspect.DELIVERY]
    codes = {warning.code for warning in found.warnings}
    assert codes == {CautionCode.NO_SETTING, CautionCode.NOT_HAD}
    (xapic,) = vcpus(found, ApicState.XAPIC)
    assert not xapic.controls.has("virtual_interrupt_delivery")  # type: ignore[union-attr]
    assert hvm_leaf(found) == 1
    assert check(DomainConfig.pvh(), BROADWELL, policy).request.misc_flags == 0x080400
    assert from_json(to_json(found), Plan) == found


def test_the_same_policy_is_refused_where_nothing_can_be_chosen() -> None:
    policy = Policy({Aspect.DELIVERY: Want.FORBID})
    assert plan(policy, BROADWELL) and not plan(policy, named_host(PROCESSORS["broadwell_ult"], RELEASE))


@pytest.mark.parametrize("name", OFFERING)
def test_a_plan_keeps_its_promises_and_a_refusal_has_the_errno(name: str) -> None:
    there = OFFERING[name]
    pairs = list(product(Aspect, Aspect, WANTS, WANTS))
    for first, second, one, other in pairs[:: 5 if name == "broadwell_ult" else 13]:
        policy = Policy({first: one, second: other})
        found = plan(policy, there)
        if isinstance(found, Refusal):
            on = APIC(sum(bit_of(a) for a, w in policy.aspects.items() if w is Want.REQUIRE))
            off = APIC(sum(bit_of(a) for a, w in policy.aspects.items() if w is Want.FORBID))
            answer = resolve(there.offer.available, on, off) if there.offer else None
            assert found.errno == (None if answer is None else answer.errno)  # type: ignore[union-attr]
            assert all(reason.remedies and reason.source for reason in found.reasons)
            continue
        for aspect, want in policy.aspects.items():
            if want in (Want.REQUIRE, Want.FORBID):
                assert bool(found.in_force[aspect]) is (want is Want.REQUIRE)
        if there.offer is not None:
            assert check_request(request(int(found.misc_flags)), Situation(there)).errno == 0
            in_force = APIC(sum(bit_of(a) for a, fact in found.in_force.items() if fact))
            assert in_force == found.effective


def test_each_remedy_removes_its_reason() -> None:
    seen = set()
    for there, first, second, one, other in product(
        (BROADWELL, OFFERING["penryn"]), Aspect, Aspect, WANTS[1:3], WANTS[1:3]
    ):
        for hidden in (False, True):
            policy = Policy({first: one}, also=((second, other),), guest_x2apic=not hidden)
            found = plan(policy, there)
            for reason in found.reasons if isinstance(found, Refusal) else ():
                seen.add(reason.code)
                for remedy in reason.remedies:
                    case = Case(policy, there, found.guest_type)
                    then = apply(remedy, case)
                    answer = plan(then.policy, then.host, then.guest_type)
                    left = answer.reasons if isinstance(answer, Refusal) else ()
                    assert (reason.code, reason.aspect) not in {(r.code, r.aspect) for r in left}, remedy
    assert seen == {Code.MISSING, Code.NEEDS_FORBIDDEN, Code.CONFLICT, Code.X2APIC_HIDDEN}


def test_what_a_refusal_says() -> None:
    policy = Policy({Aspect.POSTED: Want.REQUIRE, Aspect.DELIVERY: Want.FORBID})
    found = plan(policy, OFFERING["sapphire-rapids-sp"])
    assert isinstance(found, Refusal) and found.errno == EINVAL
    (reason,) = found.reasons
    assert str(reason) == (
        "posted_interrupts = require: 'process posted interrupts' needs 'virtual-interrupt delivery', which the "
        "policy forbids (a control is on, and one that it needs is off; Xen would answer EINVAL). Leave "
        "'virtual-interrupt delivery' at the host's default. Or: Prefer it instead of requiring it. "
        "[aspect-needs-forbidden]"
    )
    assert from_json(to_json(found), Refusal) == found


def test_everything_possible_never_asks_for_what_is_not_there() -> None:
    for there in OFFERING.values():
        found = plan(Policy(effects=("everything-possible",)), there)
        assert isinstance(found, Plan)
        if there.offer is not None:
            assert found.effective == there.offer.available


def test_nothing_accelerated_is_possible_there() -> None:
    found = plan(Policy(effects=("nothing-accelerated",)), OFFERING["sapphire-rapids-sp"])
    assert isinstance(found, Plan) and found.effective == APIC(0)


def test_a_pv_guest_has_no_bits() -> None:
    found = plan(Policy({Aspect.DELIVERY: Want.FORBID}), BROADWELL, "pv")
    assert isinstance(found, Plan) and found.misc_flags == 0 and found.effective is None


def test_the_toolstacks_have_no_setting_for_it() -> None:
    found = plan(Policy({Aspect.DELIVERY: Want.FORBID}), BROADWELL)
    assert isinstance(found, Plan) and settings(found) == ('type = "pvh"',)
    for text in (xl_cfg(found), libvirt_xml(found)):
        assert "one bit per control, for which this file has no setting: off DELIVERY" in text
        assert "decides for the whole host" not in text


# -- inspect -------------------------------------------------------------------------------------------


def seen(misc: int, primary: int, secondary: int, state: ApicState) -> VcpuControls:
    return VcpuControls(0, state.apic_base, ControlWords(0x3F, primary, secondary), "")


@pytest.mark.parametrize(
    ("in_force", "secondary", "state", "ok"),
    [
        (0x2F, 0x17CB, ApicState.XAPIC, True),
        (0x27, 0x15CB, ApicState.XAPIC, True),
        (0x27, 0x17CB, ApicState.XAPIC, False),
        (0x27, 0x15DA, ApicState.X2APIC, True),
        (0x0F, 0x17CB, ApicState.X2APIC, True),
        (0x0F, 0x17CA, ApicState.X2APIC, False),
    ],
)
def test_what_is_read_back_predicts_the_vmcs(
    in_force: int, secondary: int, state: ApicState, ok: bool
) -> None:
    info = domain_info(misc_flags=MISC(in_force << 8))
    policy = Policy({Aspect.DELIVERY: Want.FORBID})
    found = compare_controls(info, policy, BROADWELL, (seen(0, 0xB6A065FE, secondary, state),))
    assert found.in_force == APIC(in_force)
    (vcpu,) = found.vcpus
    assert vcpu.agrees is ok
    kept = Kept.BROKEN if secondary & 0x200 else Kept.KEPT
    assert [promise.kept for promise in vcpu.promises] == [kept]


def test_without_the_interface_nothing_is_read_back() -> None:
    plain = named_host(PROCESSORS["broadwell_ult"], RELEASE)
    found = compare_controls(domain_info(), None, plain, (seen(0, 0xB6A065FE, 0x17CB, ApicState.XAPIC),))
    assert found.in_force is None and found.vcpus[0].agrees


def test_physinfo_can_change_with_the_host() -> None:
    there = with_word(offer_word(Offer(APIC(3), APIC(3))))
    assert there.offer == Offer(APIC(3), APIC(3))
    assert replace(there, physinfo=physinfo(arch_capabilities=PHYSCAP_X86(0))).offer == Offer(
        APIC(0), APIC(0)
    )
