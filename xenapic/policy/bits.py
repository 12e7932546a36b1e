"""A policy on a Xen where each domain chooses each control: which bits to set, and what is then in force.

Only a Xen with the proposed interface (`xenapic.model.proposal`) is such a host. There a policy is never
refused for what the host does to every domain: what is forbidden is turned off for this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from errno import EINVAL, ENODEV

from xenapic.errors import errno_name
from xenapic.frozen import dataclass
from xenapic.model.apicbits import APIC, NOTHING, Offer, asked_word
from xenapic.model.evidence import ARCH_CAPS
from xenapic.model.facts import Fact, no, yes
from xenapic.model.flags import MISC
from xenapic.model.host import Host
from xenapic.model.proposal import BIT, in_force, needed
from xenapic.policy.reasons import HIDDEN, Code, Reason, conflicts, remedies_for
from xenapic.policy.remedies import Remedy, RemedyKind
from xenapic.policy.terms import Aspect, Policy, Want

__all__ = ["Chosen", "bit_of", "choose"]


def bit_of(aspect: Aspect) -> APIC:
    """Return the bit of an aspect."""
    return BIT[aspect.value]


ASPECT = {bit_of(aspect): aspect for aspect in Aspect}


def _titles(bits: APIC) -> str:
    return " and ".join(f"'{ASPECT[bit].title}'" for bit in APIC if bit in bits)


def choose(policy: Policy, host: Host, offer: Offer) -> Chosen:
    """Return the bits that a policy sets on a host: *require* is on, *forbid* is off.

    A preference sets its bit where the host has the control and what it needs, and forbids none of it.
    """
    on = off = liked = NOTHING
    for aspect, want, _words in policy.asked:
        bit = bit_of(aspect)
        on |= bit if want is Want.REQUIRE else NOTHING
        off |= bit if want is Want.FORBID else NOTHING
        liked |= bit if want is Want.PREFER else NOTHING
    for bit in APIC:
        chain = bit | needed(bit)
        if bit in liked and chain in offer.available and not chain & off:
            on |= bit
    return Chosen(policy, host, offer, on, off)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The bits that a policy sets on a host, and what follows."""

    policy: Policy
    host: Host
    offer: Offer
    on: APIC
    off: APIC

    @property
    def misc_flags(self) -> MISC:
        """The bits of createdomain's ``misc_flags``."""
        return MISC(asked_word(self.on, self.off))

    def facts(self) -> Mapping[Aspect, Fact]:
        """Return for each aspect whether it will be in force, and how that is known."""
        effective = in_force(self.offer, self.on, self.off)
        facts = {aspect: self._fact(bit_of(aspect), effective) for aspect in Aspect}
        if not self.policy.guest_x2apic:
            facts[Aspect.X2APIC_MODE] = HIDDEN
        return facts

    def _fact(self, bit: APIC, effective: APIC) -> Fact:
        offered = f"{ARCH_CAPS} = {int(self.host.physinfo.arch_capabilities or 0):#x}"
        if bit in effective:
            if bit in self.on:
                return yes("turned on for this domain in createdomain's misc_flags")
            return yes(f"the host's default ({offered})" if bit in self.offer.default else NEEDED_BY_ANOTHER)
        if bit not in self.offer.available:
            return no(f"this host offers it to no domain ({offered})")
        if bit in self.off:
            return no("turned off for this domain in createdomain's misc_flags")
        lacking = needed(bit) & ~effective
        if lacking:
            return no(f"it needs {_titles(lacking)}, which will not be in force")
        return no(f"it is not the host's default, but a domain can ask for it ({offered})")

    def reasons(self, facts: Mapping[Aspect, Fact]) -> Iterator[Reason]:
        """Yield every reason against the policy, with the errno that Xen would answer to such a request."""
        settled = set()
        for reason in conflicts(self.policy):
            settled.add(reason.aspect)
            yield replace(reason, source=_answered(reason.source, EINVAL), errno=EINVAL)
        for aspect, want, words in self.policy.asked:
            if want is Want.REQUIRE and not facts[aspect] and aspect not in settled:
                yield self._unmet(aspect, words, facts[aspect])

    def _unmet(self, aspect: Aspect, words: str, fact: Fact) -> Reason:
        against = needed(bit_of(aspect)) & self.off
        if fact is HIDDEN:
            code, source, number = Code.X2APIC_HIDDEN, fact.source, None
        elif against:
            rule = "a control is on, and one that it needs is off"
            code, source, number = Code.NEEDS_FORBIDDEN, _answered(rule, EINVAL), EINVAL
        else:
            code, source, number = Code.MISSING, _answered(fact.source, ENODEV), ENODEV
        if code is not Code.NEEDS_FORBIDDEN:
            text, remedies = remedies_for(code, aspect, self.host)
            return Reason(code, aspect, words, text, source, remedies, number)
        text = f"'{aspect.title}' needs {_titles(against)}, which the policy forbids"
        return Reason(code, aspect, words, text, source, tuple(_without(aspect, against)), number)


NEEDED_BY_ANOTHER = "a control that is turned on for this domain needs it"


def _answered(source: str, number: int) -> str:
    return f"{source}; Xen would answer {errno_name(number)}"


def _without(aspect: Aspect, against: APIC) -> Iterator[Remedy]:
    forbidden = [ASPECT[bit] for bit in APIC if bit in against]
    if len(forbidden) == 1:
        (other,) = forbidden
        text = f"Leave '{other.title}' at the host's default."
        yield Remedy(RemedyKind.ASK_NOTHING, other, text)
    yield Remedy(RemedyKind.PREFER, aspect, "Prefer it instead of requiring it.")
