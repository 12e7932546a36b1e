"""From a policy and a host to a plan, or to a refusal with every reason.

`plan` works in three steps: choose the flags of createdomain (of the releases only 4.17-rc lets a domain
choose), work out what is then in force, and compare that with what the policy asks for. On a Xen with the
proposed interface, `xenapic.policy.bits` takes these steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from errno import EINVAL, ENODEV
from typing import TypeAlias

from xenapic.apic.state import ApicState
from xenapic.errors import PolicyInvalid
from xenapic.frozen import dataclass
from xenapic.model.apicbits import APIC, Offer, off_of, on_of
from xenapic.model.facts import Fact, no, yes
from xenapic.model.flags import MISC
from xenapic.model.guest_types import GuestType
from xenapic.model.host import Host
from xenapic.model.proposal import in_force
from xenapic.model.releases import XenRelease
from xenapic.policy.cautions import (
    Caution,
    about_bits,
    about_guest,
    about_preferences,
    about_repetitions,
)
from xenapic.policy.reasons import (
    HIDDEN,
    PV_HAS_NONE,
    Code,
    Reason,
    conflicts,
    no_hvm,
    plain_memory,
    unmet,
)
from xenapic.policy.suggest import no_such
from xenapic.policy.terms import Aspect, Policy, Want

__all__ = ["Plan", "Refusal", "plan"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """There is no plan; ``reasons`` holds every reason. A refusal is false in a condition."""

    policy: Policy
    host: Host
    guest_type: GuestType
    reasons: tuple[Reason, ...]

    def __bool__(self) -> bool:
        return False

    @property
    def errno(self) -> int | None:
        """What Xen would answer where each domain chooses its controls; it tests for EINVAL first."""
        numbers = {reason.errno for reason in self.reasons}
        return EINVAL if EINVAL in numbers else ENODEV if ENODEV in numbers else None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask Xen for, and what will then be in force; `xenapic.policy.outlook` works out the rest."""

    policy: Policy
    host: Host
    guest_type: GuestType
    misc_flags: MISC
    """Bits to set in createdomain's ``misc_flags``; always 0 where Xen decides for the whole host.
    `xenapic.model.apicbits` says what they mean on a Xen with the proposed interface."""
    in_force: Mapping[Aspect, Fact]
    warnings: tuple[Caution, ...]

    def __bool__(self) -> bool:
        return True

    @property
    def release(self) -> XenRelease:
        """The release whose rules apply."""
        return self.host.release

    @property
    def effective(self) -> APIC | None:
        """The controls in force for the domain, where each domain chooses them; None elsewhere."""
        offer = _offer(self.host, self.guest_type)
        return None if offer is None else in_force(offer, on_of(self.misc_flags), off_of(self.misc_flags))

    @property
    def states(self) -> tuple[ApicState, ...]:
        """States that the guest's APIC may enter; none for PV."""
        return states(self.guest_type, self.policy)


def states(guest_type: GuestType, policy: Policy) -> tuple[ApicState, ...]:
    """Return the states that a guest's APIC may enter by itself. Since 4.12 Xen refuses to relocate it."""
    if guest_type is GuestType.PV:
        return ()
    if not policy.guest_x2apic:
        return (ApicState.XAPIC, ApicState.DISABLED)
    return (ApicState.XAPIC, ApicState.X2APIC, ApicState.DISABLED)


GuestKind: TypeAlias = "GuestType | str"
"""A guest type, or its value: ``"pv"``, ``"pvh"``, ``"hvm"``."""


def plan(policy: Policy, host: Host, guest_type: GuestKind = GuestType.PVH) -> Plan | Refusal:
    """Return a plan for the policy on the host, or every reason why there is none; Xen is not called.

    Raises `PolicyInvalid` for an unknown guest type, `HostUnknown` for a host whose Xen is not modelled.
    """
    kind = guest_type_of(guest_type)
    host.release  # noqa: B018  # which rules apply follows from it
    no_guest = host.physinfo.no_guest
    if no_guest and kind is not GuestType.PV:
        return Refusal(policy, host, kind, (no_hvm(kind, no_guest),))
    offer = _offer(host, kind)
    if offer is not None:
        return _chosen(policy, host, kind, offer)
    flags = _flags(policy, host, kind)
    memory = _plain_memory(host, flags)
    in_force = _in_force(policy, host, kind, flags)
    reasons = _reasons(policy, host, in_force, memory)
    if reasons:
        return Refusal(policy, host, kind, reasons)
    warnings = (
        *about_guest(policy, host, kind, per_domain=flags is not None, memory=memory),
        *about_preferences(policy, in_force),
        *about_repetitions(policy),
    )
    return Plan(policy, host, kind, flags or MISC(0), in_force, warnings)


def _offer(host: Host, guest_type: GuestType) -> Offer | None:
    return None if guest_type is GuestType.PV else host.offer


def _chosen(policy: Policy, host: Host, guest_type: GuestType, offer: Offer) -> Plan | Refusal:
    """Return the plan or the refusal on a Xen where each domain chooses each control."""
    from xenapic.policy.bits import choose  # no released Xen needs it

    chosen = choose(policy, host, offer)
    facts = chosen.facts()
    reasons = tuple(chosen.reasons(facts))
    if reasons:
        return Refusal(policy, host, guest_type, reasons)
    warnings = (
        *about_guest(policy, host, guest_type, per_domain=True, memory=False),
        *about_bits(chosen.misc_flags),
        *about_preferences(policy, facts),
        *about_repetitions(policy),
    )
    return Plan(policy, host, guest_type, chosen.misc_flags, facts, warnings)


def guest_type_of(kind: GuestKind) -> GuestType:
    """Return the guest type that is meant; raise `PolicyInvalid` when there is none."""
    if isinstance(kind, GuestType):
        return kind
    for member in GuestType:
        if kind == member.value:
            return member
    raise PolicyInvalid(no_such("guest type", str(kind), [member.value for member in GuestType]))


def _reasons(policy: Policy, host: Host, in_force: Mapping[Aspect, Fact], memory: bool) -> tuple[Reason, ...]:
    contradictions = tuple(conflicts(policy))
    settled = {reason.aspect for reason in contradictions}
    others = (reason for reason in unmet(policy, host, in_force) if reason.aspect not in settled)
    defect = memory and Code.DEFECT_MEMORY.value not in policy.accept
    return (*contradictions, *others, *((plain_memory(policy),) if defect else ()))


# -- flags -----------------------------------------------------------------------------------------

FLAG = {Aspect.APIC_ACCESSES: MISC.ASSISTED_XAPIC, Aspect.X2APIC_MODE: MISC.ASSISTED_X2APIC}


def _offered(host: Host, aspect: Aspect) -> Fact:
    """Return whether a domain can ask for the aspect's flag."""
    return host.assisted_xapic if aspect is Aspect.APIC_ACCESSES else host.assisted_x2apic


def _flags(policy: Policy, host: Host, guest_type: GuestType) -> MISC | None:
    """Choose the flags; None where a domain has no choice. What is not forbidden keeps its default."""
    if not host.interface or guest_type is GuestType.PV:
        return None
    from xenapic.model.create import assistance_by_default  # and every create rule; few hosts have a choice

    word = assistance_by_default(host, hvm=True)
    for demand in policy.asked:
        if demand.want is Want.FORBID and demand.aspect in FLAG:
            word &= ~FLAG[demand.aspect]
    return word


def _plain_memory(host: Host, flags: MISC | None) -> bool:
    return flags is not None and MISC.ASSISTED_XAPIC not in flags and bool(host.assisted_xapic)


# -- what is in force --------------------------------------------------------------------------------

CHOSEN = {
    True: yes("asked for in createdomain's misc_flags"),
    False: no("not asked for in createdomain's misc_flags"),
}
FOR_PV = dict.fromkeys(Aspect, PV_HAS_NONE)


def _in_force(policy: Policy, host: Host, guest_type: GuestType, flags: MISC | None) -> Mapping[Aspect, Fact]:
    """Return for each aspect whether it will be in force, and how that is known."""
    if guest_type is GuestType.PV:
        return FOR_PV
    features = host.features
    in_force = {aspect: features[aspect.value] for aspect in Aspect}
    if flags is not None:
        for aspect, flag in FLAG.items():
            offered = _offered(host, aspect)
            in_force[aspect] = CHOSEN[flag in flags] if offered else offered
    if not policy.guest_x2apic:
        in_force[Aspect.X2APIC_MODE] = HIDDEN
    return in_force
