"""The assisted flags of a create: the policy chooses them, and nobody else."""

from __future__ import annotations

from itertools import product

import pytest

from tests.counting import counted
from tests.hosts import development, host, situation
from xenapic.errors import PolicyRefused
from xenapic.model.config import DomainConfig
from xenapic.model.flags import MISC, PHYSCAP
from xenapic.model.host import Host
from xenapic.policy.creation import prepare
from xenapic.policy.plan import Plan, plan
from xenapic.policy.terms import Policy

DEFECT = frozenset({"apic-defect-memory"})
CHOICES = list(product((None, True, False), repeat=2))
BOTH = MISC.ASSISTED_XAPIC | MISC.ASSISTED_X2APIC


def development_host(offered: int = 3) -> Host:
    return development(int(PHYSCAP(0x31B)), offered)


@pytest.mark.parametrize(("offered", "flags"), [(3, 6), (1, 2), (2, 4), (0, 0)])
def test_without_a_policy_a_domain_gets_what_the_host_offers(offered: int, flags: int) -> None:
    there = situation(development_host(offered))
    assert prepare(DomainConfig.pvh(), there).request.misc_flags == flags
    assert prepare(DomainConfig.pvh(), there, Policy()).request.misc_flags == flags
    assert prepare(DomainConfig.pv(), there).request.misc_flags == 0


def test_other_releases_have_no_flags_to_set() -> None:
    assert prepare(DomainConfig.pvh(), situation(host("4.20"))).request.misc_flags == 0


@pytest.mark.parametrize("offered", range(4))
@pytest.mark.parametrize(("xapic", "x2apic"), CHOICES)
def test_a_create_does_what_the_plan_says(offered: int, xapic: bool | None, x2apic: bool | None) -> None:
    there = situation(development_host(offered))
    policy = Policy(assisted_xapic=xapic, assisted_x2apic=x2apic, accept=DEFECT)
    planned = plan(policy, there.host)
    if isinstance(planned, Plan):
        prepared = prepare(DomainConfig.pvh(), there, policy)
        assert (prepared.request.misc_flags, prepared.problems) == (planned.misc_flags, ())
    else:
        with pytest.raises(PolicyRefused) as caught:
            prepare(DomainConfig.pvh(), there, policy)
        assert caught.value.reasons == planned.reasons


@pytest.mark.parametrize("release", ["4.15", "4.17", "4.20", "4.22"])
@pytest.mark.parametrize(("xapic", "x2apic"), CHOICES)
def test_a_create_on_a_released_xen_does_what_the_plan_says(
    release: str, xapic: bool | None, x2apic: bool | None
) -> None:
    there = situation(host(release))
    policy = Policy(assisted_xapic=xapic, assisted_x2apic=x2apic)
    try:
        prepared = prepare(DomainConfig.pvh(), there, policy)
    except PolicyRefused as error:
        assert error.reasons == plan(policy, there.host).reasons  # type: ignore[union-attr]  # no Plan, as asserted
    else:
        assert plan(policy, there.host) and (prepared.request.misc_flags, prepared.problems) == (0, ())


@pytest.mark.parametrize(
    ("raw", "policy", "codes"),
    [
        (MISC.ASSISTED_XAPIC, Policy(), []),
        (BOTH, Policy(assisted_xapic=True, assisted_x2apic=True), []),
        (MISC.MSR_RELAXED, Policy(assisted_x2apic=False), []),
        (MISC.ASSISTED_X2APIC, Policy(assisted_x2apic=False), ["assisted-flags-conflict"]),
        (BOTH, Policy(assisted_xapic=False, accept=DEFECT), ["assisted-flags-conflict"]),
        (MISC.ASSISTED_X2APIC, None, []),
    ],
)
def test_raw_flags_may_not_contradict_the_policy(raw: MISC, policy: Policy | None, codes: list[str]) -> None:
    prepared = prepare(DomainConfig.pvh(misc_flags=raw), situation(development_host()), policy)
    assert [problem.code for problem in prepared.problems] == codes
    assert MISC(prepared.request.misc_flags) & raw == raw


def test_raw_flags_are_the_rules_business() -> None:
    def codes(config: DomainConfig, there: Host) -> list[str]:
        return [problem.code for problem in prepare(config, situation(there)).problems]

    raw = DomainConfig.pvh(misc_flags=MISC.ASSISTED_X2APIC)
    assert codes(raw, development_host(1)) == ["assisted-hardware"]
    assert codes(raw, host("4.20")) == ["misc-flags-unknown"]
    pv = DomainConfig.pv(misc_flags=MISC.ASSISTED_XAPIC)
    assert codes(pv, development_host()) == ["assisted-pv"]


def test_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(monkeypatch)
    prepare(DomainConfig.pvh(), situation(development_host()), Policy())
    assert calls == ["plan", "check_request"]
