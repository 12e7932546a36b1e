"""Why a policy is refused: each reason with its code, the fact behind it, and what would remove it.

A plan never guesses: an aspect that is unknown satisfies neither *require* nor *forbid*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import lru_cache

from xenapic.frozen import dataclass
from xenapic.model.acceleration import PLAIN_MEMORY, PLAIN_MEMORY_CODE, PLAIN_MEMORY_SOURCE
from xenapic.model.evidence import BY_APICV
from xenapic.model.facts import Answer, Fact, no
from xenapic.model.guest_types import GuestType
from xenapic.model.host import Host
from xenapic.model.info import NoGuest
from xenapic.model.named import first_processor
from xenapic.model.releases import DEVELOPMENT
from xenapic.parse.commandline import CommandLine
from xenapic.policy.remedies import Remedy, RemedyKind
from xenapic.policy.terms import Aspect, Policy, Want

__all__ = [
    "HIDDEN",
    "PV_HAS_NONE",
    "Code",
    "Reason",
    "conflicts",
    "no_hvm",
    "plain_memory",
    "remedies_for",
    "unmet",
]


class Code(Enum):
    """Why a policy is refused; stable, for programs."""

    MISSING = "aspect-missing"
    """A required aspect will not be in force on this host."""
    NO_APIC = "guest-without-apic"
    """An aspect is required for a PV guest, which has no local APIC."""
    X2APIC_HIDDEN = "x2apic-hidden"
    """x2APIC mode is required, but the guest may not enter it."""
    IMPOSED = "aspect-imposed"
    """A forbidden aspect is in force for every domain of this host."""
    UNKNOWN = "aspect-unknown"
    """It is unknown whether a required or forbidden aspect will be in force."""
    NEEDS_FORBIDDEN = "aspect-needs-forbidden"
    """A required aspect needs one that the policy forbids, on a Xen where a domain chooses each control."""
    CONFLICT = "policy-conflict"
    """The policy requires and forbids the same aspect."""
    DEFECT_MEMORY = PLAIN_MEMORY_CODE
    """Xen would accept the flags, but the guest's APIC page would be plain memory (4.17-rc)."""
    NO_HVM = "guest-type-missing"
    """Xen cannot run a PVH or HVM guest on this host."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason against a policy."""

    code: Code
    aspect: Aspect | None
    """None for a reason that is not about an aspect."""
    asked: str
    """The words of the policy."""
    fact: str
    """What contradicts it."""
    source: str
    """Where the fact comes from."""
    remedies: tuple[Remedy, ...]
    """What would make it possible; each remedy alone removes this reason."""
    errno: int | None = None
    """What Xen would answer to such a create; None where no create could ask for it."""

    def __str__(self) -> str:
        remedies = " Or: ".join(remedy.text for remedy in self.remedies)
        return f"{self.asked}: {self.fact} ({self.source}). {remedies} [{self.code.value}]"


# -- the guest cannot run at all ---------------------------------------------------------------------


def no_hvm(guest_type: GuestType, why: NoGuest) -> Reason:
    """Return the reason against a PVH or HVM guest on a host that cannot run it."""
    remedies = (
        Remedy(RemedyKind.GUEST_TYPE, None, "Make it a PV guest.", GuestType.PV.value),
        Remedy(
            RemedyKind.HOST_HVM,
            None,
            "Enable VT-x or AMD-V in the firmware, or use a host that runs PVH and HVM guests.",
        ),
    )
    return Reason(Code.NO_HVM, None, f"guest type {guest_type.value}", why.reason, why.source, remedies)


# -- the policy contradicts itself ---------------------------------------------------------------------


def conflicts(policy: Policy) -> Iterator[Reason]:
    """Yield a reason for each demand that forbids a required aspect."""
    required = {demand.aspect: demand.words for demand in policy.asked if demand.want is Want.REQUIRE}
    for aspect, want, words in policy.asked:
        if want is Want.FORBID and aspect in required:
            ask_one = Remedy(
                RemedyKind.ASK_NOTHING, aspect, f"Either require or forbid '{aspect.title}', not both."
            )
            yield Reason(
                Code.CONFLICT,
                aspect,
                f"{required[aspect]}, {words}",
                f"the policy requires and forbids '{aspect.title}'",
                "the policy",
                (ask_one,),
            )


# -- the host does something else ------------------------------------------------------------------------

PV_HAS_NONE = no("a PV guest has no local APIC")
HIDDEN = no("the guest may not enter x2APIC mode (guest_x2apic = false)")

UNMET = {
    (Want.REQUIRE, Answer.NO): Code.MISSING,
    (Want.REQUIRE, Answer.UNKNOWN): Code.UNKNOWN,
    (Want.FORBID, Answer.YES): Code.IMPOSED,
    (Want.FORBID, Answer.UNKNOWN): Code.UNKNOWN,
}
BY_GUEST = {PV_HAS_NONE.source: Code.NO_APIC, HIDDEN.source: Code.X2APIC_HIDDEN}
"""Codes for an aspect that is off because of the guest, not of the host."""


def unmet(policy: Policy, host: Host, in_force: Mapping[Aspect, Fact]) -> Iterator[Reason]:
    """Yield a reason for each demand that will not be met, or may not be."""
    case: _Case | None = None
    for aspect, want, words in policy.asked:
        fact = in_force[aspect]
        code = UNMET.get((want, fact.answer))
        if code is Code.MISSING:
            code = BY_GUEST.get(fact.source, code)
        if code is not None:
            case = case or _case(host)
            text, remedies = _explained(code, aspect, case, fact.how)
            yield Reason(code, aspect, words, text, fact.source, remedies)


FACTS = {
    Code.MISSING: "'{name}' will not be in force",
    Code.NO_APIC: "'{name}' has no meaning for a guest without an APIC",
    Code.X2APIC_HIDDEN: "'{name}' will not be in force",
    Code.IMPOSED: "'{name}' is in force for every such guest on this host",
    Code.UNKNOWN: "it is unknown whether '{name}' will be in force",
}


@dataclass(frozen=True, slots=True)
class _Case:
    """What the remedies depend on."""

    per_domain: bool
    apicv_off: bool


def remedies_for(code: Code, aspect: Aspect, host: Host) -> tuple[str, tuple[Remedy, ...]]:
    """Return the fact and the remedies of a reason about an aspect on a host."""
    return _explained(code, aspect, _case(host), "")


def _case(host: Host) -> _Case:
    return _Case(bool(host.interface), CommandLine(host.version.commandline).boolean("apicv") is False)


@lru_cache(maxsize=1024)
def _explained(code: Code, aspect: Aspect, case: _Case, how: str) -> tuple[str, tuple[Remedy, ...]]:
    return FACTS[code].format(name=aspect.title), tuple(REMEDIES[code](aspect, case, how))


def _for_missing(aspect: Aspect, case: _Case, _how: str) -> Iterator[Remedy]:
    if case.apicv_off and aspect.value in BY_APICV:
        yield Remedy(RemedyKind.APICV_ON, aspect, "Boot Xen without apicv=0, then ask again.")
    first = first_processor(aspect.value).title
    text = f"Use a host whose Xen uses '{aspect.title}' ({first} or later of its kind)."
    yield Remedy(RemedyKind.HOST_WITH, aspect, text)
    yield _prefer(aspect)


def _for_no_apic(aspect: Aspect, _case: _Case, _how: str) -> Iterator[Remedy]:
    yield Remedy(RemedyKind.GUEST_TYPE, aspect, "Make it a PVH or HVM guest.", GuestType.PVH.value)
    yield _prefer(aspect)


def _for_hidden(aspect: Aspect, _case: _Case, _how: str) -> Iterator[Remedy]:
    yield Remedy(RemedyKind.SHOW_X2APIC, aspect, "Let the guest use x2APIC mode (guest_x2apic = true).")
    yield _prefer(aspect)


def _prefer(aspect: Aspect) -> Remedy:
    return Remedy(RemedyKind.PREFER, aspect, "Prefer it instead of requiring it.")


def _leave(aspect: Aspect) -> Remedy:
    return Remedy(RemedyKind.ASK_NOTHING, aspect, "Leave it at the host's default.")


def _for_imposed(aspect: Aspect, case: _Case, _how: str) -> Iterator[Remedy]:
    if aspect.value in BY_APICV:
        yield Remedy(RemedyKind.APICV_OFF, aspect, "Boot Xen with apicv=0; this affects all its domains.")
    if aspect is Aspect.X2APIC_MODE:
        yield Remedy(
            RemedyKind.HIDE_X2APIC,
            aspect,
            'Hide x2APIC from the guest (cpuid="host,x2apic=0" in xl.cfg; guest_x2apic = false here).',
        )
    if aspect is Aspect.X2APIC_MODE and not case.per_domain:
        yield Remedy(
            RemedyKind.RELEASE,
            aspect,
            f"Xen {DEVELOPMENT.name} (4.17.0-rc1 to rc3, for tests only) can turn it off per domain.",
        )
    yield Remedy(RemedyKind.HOST_WITHOUT, aspect, f"Use a host whose Xen does not use '{aspect.title}'.")
    yield Remedy(RemedyKind.GUEST_TYPE, aspect, "Make it a PV guest, which has no APIC.", GuestType.PV.value)
    yield _leave(aspect)


def _for_unknown(aspect: Aspect, _case: _Case, how: str) -> Iterator[Remedy]:
    yield Remedy(RemedyKind.MEASURE, aspect, f"Measure it: {how or 'xenapic host --measure'}.")
    yield _leave(aspect)


REMEDIES: Mapping[Code, Callable[[Aspect, _Case, str], Iterator[Remedy]]] = {
    Code.MISSING: _for_missing,
    Code.NO_APIC: _for_no_apic,
    Code.X2APIC_HIDDEN: _for_hidden,
    Code.IMPOSED: _for_imposed,
    Code.UNKNOWN: _for_unknown,
}


# -- a known defect ----------------------------------------------------------------------------------


def plain_memory(policy: Policy) -> Reason:
    """Return the reason against a policy whose guest would find plain memory instead of its APIC."""
    words = next(words for aspect, want, words in policy.asked if (aspect, want) == FORBID_ACCESSES)
    remedies = (
        _leave(Aspect.APIC_ACCESSES),
        Remedy(
            RemedyKind.ACCEPT,
            Aspect.APIC_ACCESSES,
            f"To test this defect, add {Code.DEFECT_MEMORY.value} to accept.",
            Code.DEFECT_MEMORY.value,
        ),
        Remedy(
            RemedyKind.HOST_WITHOUT,
            Aspect.APIC_ACCESSES,
            "Use a host whose processor cannot virtualize APIC accesses.",
        ),
    )
    return Reason(
        Code.DEFECT_MEMORY, Aspect.APIC_ACCESSES, words, PLAIN_MEMORY, PLAIN_MEMORY_SOURCE, remedies
    )


FORBID_ACCESSES = (Aspect.APIC_ACCESSES, Want.FORBID)
