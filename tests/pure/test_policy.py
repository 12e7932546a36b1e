"""Policies: what `plan` promises, on every conceivable host."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hosts import SVM, host
from xenapic.apic.controls import CONTROLS, Controls, violations
from xenapic.apic.outcome import Kind
from xenapic.apic.processors import PROCESSORS, Processor
from xenapic.apic.state import ApicState
from xenapic.errors import PolicyInvalid
from xenapic.model.acceleration import vcpu_apic
from xenapic.model.facts import Answer, Fact, no, unknown, yes
from xenapic.model.flags import MISC, PHYSCAP
from xenapic.model.guest_types import GuestType
from xenapic.model.host import Host
from xenapic.model.named import named_host
from xenapic.model.releases import XEN_RELEASES, xen_release
from xenapic.policy.cautions import CautionCode
from xenapic.policy.outlook import access_rows, hvm_leaf, vcpus
from xenapic.policy.plan import Plan, Refusal, plan
from xenapic.policy.pool import plan_pool
from xenapic.policy.read import from_toml
from xenapic.policy.reasons import Code
from xenapic.policy.remedies import Case, RemedyKind, apply
from xenapic.policy.terms import EFFECTS, Aspect, Effect, Policy, Want

BROADWELL = PROCESSORS["broadwell_ult"]
FACT = {
    Answer.YES: yes("made up"),
    Answer.NO: no("made up"),
    Answer.UNKNOWN: unknown("made up", "measure it"),
}

wants = st.sampled_from(Want)
choices = st.sampled_from([True, False, None])
policies = st.builds(
    Policy,
    aspects=st.dictionaries(st.sampled_from(Aspect), wants),
    effects=st.lists(st.sampled_from([row.name for row in EFFECTS]), max_size=2, unique=True).map(tuple),
    assisted_xapic=choices,
    assisted_x2apic=choices,
    guest_x2apic=st.booleans(),
    accept=st.sampled_from([frozenset(), frozenset({"apic-defect-memory"})]),
    also=st.lists(st.tuples(st.sampled_from(Aspect), wants), max_size=2).map(tuple),
)
guest_types = st.sampled_from(GuestType)


@st.composite
def hosts(draw: st.DrawFn) -> Host:
    """Any combination of answers, including those that no real host gives."""
    per_domain, hvm = draw(st.booleans()), draw(st.integers(0, 9)) > 0
    made = host(extra="-rc", probe=19) if per_domain else host()
    features = {**made.features, **{key: FACT[draw(st.sampled_from(Answer))] for key in CONTROLS}}
    apicv = draw(st.sampled_from(["", "apicv=0"]))
    changed = replace(made, features=features, version=replace(made.version, commandline=apicv))
    if not hvm:
        changed = replace(changed, physinfo=replace(made.physinfo, capabilities=PHYSCAP.pv))
    if not per_domain:
        return changed
    offered = [FACT[draw(st.sampled_from([Answer.YES, Answer.NO]))] for _ in range(2)]
    return replace(changed, assisted_xapic=offered[0], assisted_x2apic=offered[1])


@given(policies, hosts(), guest_types)
def test_plan_is_total_and_keeps_its_word(policy: Policy, there: Host, kind: GuestType) -> None:
    found = plan(policy, there, kind)
    if isinstance(found, Refusal):
        assert found.reasons and all(str(reason) and reason.remedies for reason in found.reasons)
        return
    for aspect, want, _words in policy.asked:
        answer = found.in_force[aspect].answer
        assert want is not Want.REQUIRE or answer is Answer.YES
        assert want is not Want.FORBID or answer is Answer.NO
        told = {warning.code for warning in found.warnings}
        if want is Want.PREFER and answer is not Answer.YES:
            assert told & {CautionCode.NOT_HAD, CautionCode.UNKNOWN}
    assert found.misc_flags == 0 or there.interface
    for state in found.states:
        assert list(access_rows(found, state))
    hvm_leaf(found)


@given(policies, hosts(), guest_types, st.booleans())
def test_every_remedy_removes_its_reason(
    policy: Policy, there: Host, kind: GuestType, measured: bool
) -> None:
    found = plan(policy, there, kind)
    if isinstance(found, Plan):
        return
    for reason in found.reasons:
        for remedy in reason.remedies:
            case = apply(remedy, Case(policy, there, kind), measured=measured)
            again = plan(case.policy, case.host, case.guest_type)
            left = again.reasons if isinstance(again, Refusal) else ()
            assert (reason.code, reason.aspect) not in {(one.code, one.aspect) for one in left}, remedy


def test_every_kind_of_remedy_is_given_somewhere() -> None:
    """So that the test above has something to test."""
    given_kinds = set()
    forbid = Policy(aspects=dict.fromkeys(Aspect, Want.FORBID))
    require = Policy(aspects=dict.fromkeys(Aspect, Want.REQUIRE))
    both = Policy(aspects={Aspect.POSTED: Want.REQUIRE}, effects=("nothing-accelerated",))
    no_hvm = replace(host(), physinfo=replace(host().physinfo, capabilities=PHYSCAP.pv))
    for policy, release, options in product(
        (forbid, require, both, replace(require, guest_x2apic=False)), XEN_RELEASES, ("", "apicv=0")
    ):
        for there in (named_host(BROADWELL, release, options), host(), no_hvm):
            for kind in GuestType:
                found = plan(policy, there, kind)
                for reason in found.reasons if isinstance(found, Refusal) else ():
                    given_kinds |= {remedy.kind for remedy in reason.remedies}
    assert given_kinds == set(RemedyKind)


def better(there: Host, keys: frozenset[str]) -> Host:
    """The same host with more capability."""
    more = {key: yes("more") for key in keys}
    changed = replace(there, features={**there.features, **more})
    if not there.interface:
        return changed
    offers = {"assisted_xapic": "virtualize_apic_accesses", "assisted_x2apic": "virtualize_x2apic_mode"}
    facts = {name: yes("more") for name, key in offers.items() if key in keys}
    return replace(changed, **facts)  # type: ignore[arg-type]


@given(policies, hosts(), guest_types, st.frozensets(st.sampled_from([aspect.value for aspect in Aspect])))
def test_more_capability_never_turns_a_plan_into_a_refusal(
    policy: Policy, there: Host, kind: GuestType, more: frozenset[str]
) -> None:
    if any(want is Want.FORBID for _aspect, want, _words in policy.asked) or not plan(policy, there, kind):
        return
    assert plan(policy, better(there, more), kind)


# -- the effects, against the access tables -------------------------------------------------------------


@pytest.mark.parametrize("wanted", EFFECTS, ids=lambda row: row.name)
def test_effects_are_what_the_access_tables_say(wanted: Effect) -> None:
    planned = 0
    for processor, release, options in product(PROCESSORS.values(), XEN_RELEASES, ("", "apicv=0")):
        found = plan(Policy(effects=(wanted.name,)), named_host(processor, release, options))
        if isinstance(found, Refusal):
            continue
        planned += 1
        tables = {
            state: {(line.register.offset, line.operation): line for line in access_rows(found, state)}
            for state in {state for state, _offset, _operation in wanted.stays}
        }
        for state, offset, operation in wanted.stays:
            line = tables[state][offset, operation]
            assert line.outcome.kind is Kind.STAYS, (processor.name, release.name, line)
        for state in wanted.leaves:
            assert all(line.outcome.kind.leaves for line in access_rows(found, state))
    assert planned


@pytest.mark.parametrize("row", PROCESSORS.values(), ids=lambda row: row.name)
def test_whatever_is_planned_can_be_entered(row: Processor) -> None:
    """VM entry accepts every combination of controls that Xen would set, whatever the processor."""
    for release, options in product(XEN_RELEASES, ("", "apicv=0")):
        for accept in (True, False, None):
            policy = Policy(assisted_xapic=accept, accept=frozenset({"apic-defect-memory"}))
            found = plan(policy, named_host(row, release, options))
            if isinstance(found, Plan):
                for one in (one for state in ApicState for one in vcpus(found, state)):
                    assert not isinstance(one.controls, Controls) or violations(one.controls) == ()


# -- the flags of 4.17-rc ---------------------------------------------------------------------------------


def development(**policy: object) -> Plan | Refusal:
    return plan(replace(Policy(), **policy), named_host(BROADWELL, xen_release("4.17-rc")))  # type: ignore[arg-type]


def test_the_default_is_what_libxl_made_it() -> None:
    found = development()
    assert isinstance(found, Plan)
    assert found.misc_flags == MISC.ASSISTED_XAPIC | MISC.ASSISTED_X2APIC


def test_assisted_x2apic_off() -> None:
    found = development(assisted_x2apic=False)
    assert isinstance(found, Plan) and found.misc_flags == MISC.ASSISTED_XAPIC
    (one,) = vcpus(found, ApicState.X2APIC)
    assert isinstance(one.controls, Controls) and one.controls.has("virtualize_apic_accesses")


def test_assisted_xapic_off_is_the_defect() -> None:
    found = development(assisted_xapic=False)
    assert isinstance(found, Refusal)
    assert [reason.code for reason in found.reasons] == [Code.DEFECT_MEMORY]
    accepted = development(assisted_xapic=False, accept=frozenset({"apic-defect-memory"}))
    assert isinstance(accepted, Plan) and {one.code for one in accepted.warnings} == {CautionCode.DEFECT}
    assert {row.outcome.kind for row in access_rows(accepted, ApicState.XAPIC)} == {Kind.MEMORY}


def test_a_released_xen_says_that_nothing_is_per_domain() -> None:
    found = plan(Policy(assisted_xapic=True), named_host(BROADWELL, xen_release("4.20")))
    assert isinstance(found, Plan) and found.misc_flags == 0
    assert {one.code for one in found.warnings} == {CautionCode.HOST_WIDE, CautionCode.FLAG_IGNORED}


def test_what_is_unknown_is_neither_required_nor_forbidden() -> None:
    there = host()  # the log of a real 4.17 does not report x2APIC mode
    for want in (Want.REQUIRE, Want.FORBID):
        found = plan(Policy(aspects={Aspect.X2APIC_MODE: want}), there)
        assert isinstance(found, Refusal) and found.reasons[0].code is Code.UNKNOWN
        assert found.reasons[0].remedies[0].kind is RemedyKind.MEASURE
    preferred = plan(Policy(aspects={Aspect.X2APIC_MODE: Want.PREFER}), there)
    assert isinstance(preferred, Plan)
    assert CautionCode.UNKNOWN in {one.code for one in preferred.warnings}
    kinds = {row.outcome.kind for row in access_rows(preferred, ApicState.X2APIC)}
    assert Kind.UNKNOWN in kinds and hvm_leaf(preferred) is None
    assert Kind.UNKNOWN not in {row.outcome.kind for row in access_rows(preferred, ApicState.XAPIC)}


def test_pv_has_no_apic() -> None:
    assert plan(Policy(effects=("nothing-accelerated",)), host(), GuestType.PV)
    refused = plan(Policy(aspects={Aspect.TPR_SHADOW: Want.REQUIRE}), host(), GuestType.PV)
    assert isinstance(refused, Refusal) and refused.reasons[0].remedies[0].value == "pvh"
    planned = plan(Policy(), host(), GuestType.PV)
    assert isinstance(planned, Plan) and planned.states == ()
    with pytest.raises(ValueError, match="is never in state"):
        vcpus(planned, ApicState.XAPIC)


def test_amd() -> None:
    planned = plan(Policy(effects=("nothing-accelerated",)), host(hw_cap=SVM, log=b""))
    assert isinstance(planned, Plan)
    assert all(row.outcome.kind.leaves for row in access_rows(planned, ApicState.X2APIC))
    assert hvm_leaf(planned) == 0


# -- policies that contradict themselves -----------------------------------------------------------------

REQUIRE, FORBID, PREFER = Want.REQUIRE, Want.FORBID, Want.PREFER
SHADOW, X2APIC = Aspect.TPR_SHADOW, Aspect.X2APIC_MODE


@pytest.mark.parametrize(
    "policy",
    [
        Policy({SHADOW: REQUIRE}, also=((SHADOW, FORBID),)),
        Policy({SHADOW: FORBID}, also=((SHADOW, REQUIRE),)),
        Policy(also=((SHADOW, PREFER), (SHADOW, FORBID), (SHADOW, REQUIRE))),
        Policy({SHADOW: REQUIRE}, effects=("nothing-accelerated",)),
        Policy(effects=("nothing-accelerated", "xapic-tpr-stays")),
        Policy({X2APIC: FORBID}, assisted_x2apic=True),
        Policy({X2APIC: REQUIRE}, assisted_x2apic=False),
        Policy(effects=("nothing-accelerated",), assisted_xapic=True),
        from_toml('[apic]\ntpr_shadow = ["require", "forbid"]').policy,
        from_toml('[apic]\ntpr_shadow = ["forbid", "host default", "require"]').policy,
    ],
)
@pytest.mark.parametrize("processor", ["broadwell_ult", "zen4"])
def test_a_policy_that_requires_and_forbids_is_a_conflict_everywhere(policy: Policy, processor: str) -> None:
    for release, kind in product(XEN_RELEASES, GuestType):
        found = plan(policy, named_host(PROCESSORS[processor], release), kind)
        assert isinstance(found, Refusal)
        assert Code.CONFLICT in {reason.code for reason in found.reasons}


@pytest.mark.parametrize("stronger", [REQUIRE, FORBID])
def test_a_preference_for_what_is_required_or_forbidden_is_said(stronger: Want) -> None:
    there = named_host(BROADWELL if stronger is REQUIRE else PROCESSORS["zen4"], xen_release("4.20"))
    for policy in (
        Policy({SHADOW: PREFER}, also=((SHADOW, stronger),)),
        Policy({SHADOW: stronger}, also=((SHADOW, PREFER),)),
        from_toml(f'[apic]\ntpr_shadow = ["prefer", "{stronger.value}"]').policy,
    ):
        found = plan(policy, there)
        assert isinstance(found, Plan)
        (caution,) = (one for one in found.warnings if one.code is CautionCode.ASKED_TWICE)
        assert str(caution).startswith(f"tpr_shadow is asked for twice: {stronger.value} decides")
    everything = plan(Policy({SHADOW: stronger}, effects=("everything-possible",)), there)
    assert isinstance(everything, Plan)
    assert CautionCode.ASKED_TWICE not in {one.code for one in everything.warnings}


def test_wants_are_kept_in_one_form() -> None:
    same = Policy({SHADOW: REQUIRE}, also=((SHADOW, REQUIRE), (SHADOW, FORBID), (SHADOW, FORBID)))
    assert same == Policy(also=((SHADOW, REQUIRE), (SHADOW, FORBID)))
    assert same.also == ((SHADOW, FORBID),)
    changed = same.override([(SHADOW, PREFER), (X2APIC, FORBID)])
    assert changed == Policy({SHADOW: PREFER, X2APIC: FORBID})
    for wrong in ((SHADOW,), ((SHADOW, "forbid"),), 7):
        with pytest.raises(PolicyInvalid):
            Policy(also=wrong)  # type: ignore[arg-type]


# -- pools ------------------------------------------------------------------------------------------------


def test_a_pool_names_the_host_that_stands_in_the_way() -> None:
    release = xen_release("4.20")
    pool = {
        "new": named_host(BROADWELL, release),
        "off": named_host(BROADWELL, release, "apicv=0"),
        "old": named_host(PROCESSORS["corei7_ivy_bridge_3770k"], release),
    }
    found = plan_pool(Policy(aspects={Aspect.DELIVERY: Want.REQUIRE}), pool)
    assert not found and set(found.refusals) == {"off", "old"} and set(found.plans) == {"new"}
    kinds = {remedy.kind for remedy in found.refusals["off"].reasons[0].remedies}
    assert RemedyKind.APICV_ON in kinds
    easy = plan_pool(Policy(), pool)
    assert easy and easy.holds[Aspect.TPR_SHADOW] is Answer.YES and easy.misc_flags == {MISC(0)}
    assert easy.differs[Aspect.DELIVERY] == {Answer.YES: ("new",), Answer.NO: ("off", "old")}
    assert not plan_pool(Policy(), {})


# -- terms ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"aspects": {"tpr_shadow": Want.REQUIRE}},
        {"aspects": {Aspect.TPR_SHADOW: "require"}},
        {"effects": ("no such",)},
        {"effects": "xapic-eoi-stays"},
        {"effects": (1,)},
        {"aspects": {GuestType.PV: Want.REQUIRE}},
        {"aspects": {Aspect.TPR_SHADOW: GuestType.PV}},
        {"aspects": [Aspect.TPR_SHADOW]},
        {"assisted_xapic": 7},
        {"assisted_xapic": GuestType.PV},
        {"assisted_x2apic": 1},
        {"guest_x2apic": None},
        {"accept": "apic-defect-memory"},
        {"accept": frozenset({"other"})},
    ],
)
def test_what_is_no_policy(wrong: dict[str, object]) -> None:
    with pytest.raises(PolicyInvalid):
        Policy(**wrong)  # type: ignore[arg-type]


def test_a_policy_is_a_value_of_its_own() -> None:
    aspects = {Aspect.TPR_SHADOW: Want.REQUIRE}
    effects, accept = ["xapic-eoi-stays"], {"apic-defect-memory"}
    policy = Policy(aspects, effects, accept=accept)  # type: ignore[arg-type]
    before = replace(policy)
    aspects[Aspect.POSTED] = Want.FORBID
    effects.append("nothing-accelerated")
    accept.clear()
    assert policy == before and policy.effects == ("xapic-eoi-stays",) and policy.accept
    assert {policy: 1}[before] == 1 and hash(policy) == hash(before)
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert policy.aspects == {Aspect.TPR_SHADOW: Want.REQUIRE}
    with pytest.raises(TypeError):
        policy.aspects[Aspect.POSTED] = Want.FORBID  # type: ignore[index]


def test_a_guest_type_may_be_its_name() -> None:
    there = host()
    for kind in GuestType:
        found = plan(Policy(), there, kind.value)
        assert found.guest_type is kind and found == plan(Policy(), there, kind)
    assert plan_pool(Policy(), {"a": there}, "pv").guest_type is GuestType.PV
    for wrong in ("PV", "linux", "", ApicState.XAPIC, None):
        with pytest.raises(PolicyInvalid, match="no guest type"):
            plan(Policy(), there, wrong)  # type: ignore[arg-type]


def test_an_unknown_term_suggests_the_known_ones() -> None:
    with pytest.raises(PolicyInvalid, match=r"no effect 'xapic_eoi_stay'; did you mean 'xapic-eoi-stays'"):
        Policy(effects=("xapic_eoi_stay",))


def test_vcpu_apic_keeps_other_controls() -> None:
    there = named_host(BROADWELL, xen_release("4.20"))
    (one,) = vcpus(_planned(there), ApicState.DISABLED)
    assert isinstance(one.controls, Controls)
    assert one.controls.has("virtual_interrupt_delivery") and one.controls.has("tpr_shadow")
    assert not one.controls.has("virtualize_apic_accesses")
    assert vcpu_apic.cache_info().currsize


def _planned(there: Host) -> Plan:
    found = plan(Policy(), there)
    assert isinstance(found, Plan)
    return found


def test_a_fact_of_a_table_row_that_is_not_known_stays_unknown() -> None:
    row = replace(
        BROADWELL,
        offers=BROADWELL.offers - {"virtual_interrupt_delivery"},
        unknown=frozenset({"virtual_interrupt_delivery", "posted_interrupts"}),
    )
    features = named_host(row, xen_release("4.20")).features
    assert features["virtual_interrupt_delivery"].answer is Answer.UNKNOWN
    assert features["posted_interrupts"].answer is Answer.UNKNOWN
    assert features["virtualize_x2apic_mode"].answer is Answer.YES
    assert isinstance(features["tpr_shadow"], Fact) and features["tpr_shadow"]
