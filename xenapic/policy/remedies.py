"""What would make a refused policy possible; `apply` carries a remedy out, so that tests can check it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from xenapic.apic.features import Technology
from xenapic.frozen import dataclass
from xenapic.model.apicbits import APIC, Offer, offer_word
from xenapic.model.evidence import BY_APICV
from xenapic.model.facts import Answer, Fact, no, unknown, yes
from xenapic.model.flags import PHYSCAP, PHYSCAP_X86
from xenapic.model.guest_types import GuestType
from xenapic.model.host import Host
from xenapic.model.info import PhysInfo, hw_cap_of
from xenapic.model.proposal import BIT, default_of, needed
from xenapic.policy.terms import EFFECTS, Aspect, Policy, Want

__all__ = ["Case", "Remedy", "RemedyKind", "apply"]


class RemedyKind(Enum):
    """What to change; stable, for programs."""

    PREFER = "prefer it"
    ASK_NOTHING = "host default"
    ACCEPT = "accept the defect"
    HIDE_X2APIC = "hide x2APIC from the guest"
    SHOW_X2APIC = "show x2APIC to the guest"
    GUEST_TYPE = "another guest type"
    APICV_OFF = "boot Xen with apicv=0"
    APICV_ON = "boot Xen without apicv=0"
    RELEASE = "another release"
    HOST_WITH = "another host, which uses it"
    HOST_WITHOUT = "another host, which does not use it"
    HOST_HVM = "another host, which runs such guests"
    MEASURE = "measure"


@dataclass(frozen=True, slots=True)
class Remedy:
    """One change that removes a reason."""

    kind: RemedyKind
    aspect: Aspect | None
    text: str
    value: str = ""
    """The guest type to choose, or the defect to accept."""


@dataclass(frozen=True, slots=True)
class Case:
    """The arguments of `xenapic.policy.plan.plan`."""

    policy: Policy
    host: Host
    guest_type: GuestType


def apply(remedy: Remedy, case: Case, *, measured: bool = True) -> Case:
    """Return the case after the remedy; ``measured`` is the answer that a measurement would give."""
    return _APPLY[remedy.kind](remedy, case, measured)


def _ask(policy: Policy, aspect: Aspect | None, want: Want) -> Policy:
    """Replace whatever the policy asks of an aspect by one want; its effects become single aspects."""
    assert aspect is not None
    aspects = {a: w for row in EFFECTS if row.name in policy.effects for a, w in row.wants}
    aspects.update(policy.aspects)
    aspects[aspect] = want
    return replace(
        policy,
        aspects=aspects,
        also=tuple(pair for pair in policy.also if pair[0] is not aspect),
        effects=(),
        assisted_xapic=None if aspect is Aspect.APIC_ACCESSES else policy.assisted_xapic,
        assisted_x2apic=None if aspect is Aspect.X2APIC_MODE else policy.assisted_x2apic,
    )


def _with_features(host: Host, facts: dict[str, Fact]) -> Host:
    """Return a host with other features; where a domain can choose, it is offered what Xen uses."""
    features = {**host.features, **facts}
    if host.offer is not None:
        return replace(host, features=features, physinfo=_offering(host.physinfo, host.offer, facts))
    if not host.interface:
        return replace(host, features=features)
    return replace(
        host,
        features=features,
        assisted_xapic=features[Aspect.APIC_ACCESSES.value],
        assisted_x2apic=features[Aspect.X2APIC_MODE.value],
    )


def _offering(physinfo: PhysInfo, offer: Offer, facts: dict[str, Fact]) -> PhysInfo:
    """Return a physinfo that offers what the facts do not deny, and no longer what they do."""
    available = offer.available
    for key, fact in facts.items():
        bit = BIT.get(key)
        if bit is None:
            continue
        if fact.answer is not Answer.NO:
            available |= bit | needed(bit)
            continue
        without = available & ~bit
        available = APIC(sum(one for one in APIC if one in without and not needed(one) & ~without))
    word = offer_word(Offer(available, default_of(available)))
    return replace(physinfo, arch_capabilities=PHYSCAP_X86(word))


OTHER_HOST = "another host"


def _policy(change: Callable[[Remedy, Policy], Policy]) -> _Apply:
    return lambda remedy, case, _measured: replace(case, policy=change(remedy, case.policy))


def _host(change: Callable[[Remedy, Host, bool], Host]) -> _Apply:
    return lambda remedy, case, measured: replace(case, host=change(remedy, case.host, measured))


def _apicv(host: Host, on: bool) -> Host:
    text = host.version.commandline + f" apicv={int(on)}"
    fact = (
        unknown("Xen has not been booted this way yet", "xenapic host")
        if on
        else no("option apicv= on Xen's command line")
    )
    changed = replace(host, version=replace(host.version, commandline=text))
    return _with_features(changed, dict.fromkeys(BY_APICV, fact))


def _one(remedy: Remedy, fact: Fact) -> dict[str, Fact]:
    assert remedy.aspect is not None
    return {remedy.aspect.value: fact}


def _runs_hvm(host: Host) -> Host:
    technology = host.technology or Technology.VMX
    capabilities = host.physinfo.capabilities | PHYSCAP.hvm | PHYSCAP.hap
    physinfo = replace(host.physinfo, capabilities=capabilities, hw_cap=hw_cap_of(technology))
    return replace(host, physinfo=physinfo)


def _development(host: Host) -> Host:
    chosen = replace(host, interface=yes("4.17-rc"))
    return _with_features(chosen, {})


_Apply = Callable[[Remedy, Case, bool], Case]
_APPLY: dict[RemedyKind, _Apply] = {
    RemedyKind.PREFER: _policy(lambda r, p: _ask(p, r.aspect, Want.PREFER)),
    RemedyKind.ASK_NOTHING: _policy(lambda r, p: _ask(p, r.aspect, Want.DEFAULT)),
    RemedyKind.ACCEPT: _policy(lambda r, p: replace(p, accept=p.accept | {r.value})),
    RemedyKind.HIDE_X2APIC: _policy(lambda r, p: replace(p, guest_x2apic=False)),
    RemedyKind.SHOW_X2APIC: _policy(lambda r, p: replace(p, guest_x2apic=True)),
    RemedyKind.GUEST_TYPE: lambda r, case, _m: replace(case, guest_type=GuestType(r.value)),
    RemedyKind.APICV_OFF: _host(lambda r, h, m: _apicv(h, on=False)),
    RemedyKind.APICV_ON: _host(lambda r, h, m: _apicv(h, on=True)),
    RemedyKind.RELEASE: _host(lambda r, h, m: _development(h)),
    RemedyKind.HOST_WITH: _host(lambda r, h, m: _with_features(h, _one(r, yes(OTHER_HOST)))),
    RemedyKind.HOST_WITHOUT: _host(lambda r, h, m: _with_features(h, _one(r, no(OTHER_HOST)))),
    RemedyKind.HOST_HVM: _host(lambda r, h, m: _runs_hvm(h)),
    RemedyKind.MEASURE: _host(lambda r, h, m: _with_features(h, _one(r, (yes if m else no)("measured")))),
}
