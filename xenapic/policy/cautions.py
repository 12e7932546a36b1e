"""What a plan warns of. The plan stands; a caution says what its owner may not expect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

from xenapic.frozen import dataclass
from xenapic.model.apicbits import words_shown
from xenapic.model.facts import Fact
from xenapic.model.guest_types import GuestType
from xenapic.model.host import Host
from xenapic.policy.reasons import Code
from xenapic.policy.terms import ASSISTED, Aspect, Policy, Want

__all__ = [
    "Caution",
    "CautionCode",
    "about_bits",
    "about_guest",
    "about_preferences",
    "about_repetitions",
]


class CautionCode(Enum):
    """What a plan warns of; stable, for programs."""

    HOST_WIDE = "host-wide"
    """This Xen decides for the whole host: nothing can be changed for this domain alone."""
    NOT_HAD = "preferred-not-had"
    """A preferred aspect will not be in force."""
    UNKNOWN = "preferred-unknown"
    """It is unknown whether a preferred aspect will be in force."""
    FLAG_IGNORED = "flag-ignored"
    """This release ignores ``assisted_xapic`` and ``assisted_x2apic``; it does what they ask for anyway."""
    NO_SETTING = "no-setting"
    """Bits are set for which no toolstack has a setting: the domain must be created with xenapic."""
    DEFECT = "defect-accepted"
    """The policy accepts a defect by its code, and the plan runs into it."""
    UNVERIFIED = "release-unverified"
    """The release is not known: the answer is that for a known one, whose layout it has."""
    NO_APIC = "no-apic"
    """A PV guest has no local APIC."""
    ASKED_TWICE = "asked-twice"
    """An aspect is preferred and also required or forbidden; the preference has no effect."""


@dataclass(frozen=True, slots=True)
class Caution:
    """Something to know about a plan."""

    code: CautionCode
    text: str

    def __str__(self) -> str:
        return f"{self.text} [{self.code.value}]"


HOST_WIDE = Caution(
    CautionCode.HOST_WIDE,
    "this Xen decides for the whole host; nothing can be changed for this domain alone",
)
NO_APIC = Caution(CautionCode.NO_APIC, "a PV guest has no local APIC: APIC acceleration does not concern it")
MEMORY = Caution(
    CautionCode.DEFECT, f"the guest's APIC page will be plain memory ({Code.DEFECT_MEMORY.value})"
)


def about_guest(
    policy: Policy, host: Host, guest_type: GuestType, *, per_domain: bool, memory: bool
) -> Iterator[Caution]:
    """Yield what follows from the guest's type and from the release.

    ``per_domain`` says that flags were chosen for this domain, ``memory`` that they run into the
    plain-memory defect.
    """
    if host.version.unverified:
        yield Caution(CautionCode.UNVERIFIED, f"this answer is {host.version.unverified}")
    if guest_type is GuestType.PV:
        yield NO_APIC
    elif not per_domain:
        yield HOST_WIDE
        for name, _aspect in ASSISTED:
            if getattr(policy, name) is not None:
                text = f"Xen {host.version} ignores {name}, but does what it asks for anyway"
                yield Caution(CautionCode.FLAG_IGNORED, text)
    elif memory:
        yield MEMORY


def about_bits(misc_flags: int) -> Iterator[Caution]:
    """Yield what follows from bits that only a Xen with the proposed interface knows."""
    words = words_shown(misc_flags)
    if words:
        text = f"xl and libvirt have no setting for {words}; only a domain that xenapic creates gets it"
        yield Caution(CautionCode.NO_SETTING, text)


def about_preferences(policy: Policy, in_force: Mapping[Aspect, Fact]) -> Iterator[Caution]:
    """Yield each preference that is not fulfilled, or may not be."""
    for aspect, want, words in policy.asked:
        fact = in_force[aspect]
        if want is Want.PREFER and not fact:
            code = CautionCode.NOT_HAD if fact.known else CautionCode.UNKNOWN
            state = "will not be in force" if fact.known else "may or may not be in force"
            yield Caution(code, f"{words}: '{aspect.title}' {state} ({fact.source})")


def about_repetitions(policy: Policy) -> Iterator[Caution]:
    """Yield each aspect that the policy names as preferred and also as required or forbidden.

    Wants that come from an effect do not count: "everything possible except one aspect" is a plain policy.
    """
    named = [*policy.aspects.items(), *policy.also]
    for name, aspect in ASSISTED:
        value = getattr(policy, name)
        if value is not None:
            named.append((aspect, Want.REQUIRE if value else Want.FORBID))
    for aspect in Aspect:
        wants = [want for each, want in named if each is aspect]
        stronger = Want.REQUIRE if Want.REQUIRE in wants else Want.FORBID
        if Want.PREFER in wants and stronger in wants:
            text = f"{aspect.value} is asked for twice: {stronger.value} decides, prefer has no effect"
            yield Caution(CautionCode.ASKED_TWICE, text)
