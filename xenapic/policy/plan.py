"""From a policy and a host to a plan, or to a refusal that names rule, fact and remedy.

`plan` works in three steps, each a function: choose the flags of createdomain (only 4.17-rc
has a choice), tell what is then in force, hold that against what was asked. It never
guesses: what is unknown is neither required nor forbidden successfully.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from xenapic.apic.state import ApicState
from xenapic.model.acceleration import (
    PLAIN_MEMORY,
    PLAIN_MEMORY_CODE,
    PLAIN_MEMORY_SOURCE,
)
from xenapic.model.evidence import BY_APICV
from xenapic.model.facts import Answer, Fact, no, yes
from xenapic.model.flags import MISC
from xenapic.model.guest_types import GuestType
from xenapic.model.host import Host
from xenapic.model.info import NoGuest
from xenapic.model.named import first_processor
from xenapic.model.releases import DEVELOPMENT, XenRelease
from xenapic.parse.commandline import CommandLine
from xenapic.policy.remedies import Remedy, RemedyKind
from xenapic.policy.terms import ASSISTED, Aspect, Policy, Want

__all__ = ["Code", "Plan", "Reason", "Refusal", "Warn", "Warning", "plan"]


class Code(Enum):
    """Why a policy is refused; stable, for programs."""

    MISSING = "aspect-missing"
    """Required, and not in force here."""
    NO_APIC = "guest-without-apic"
    """Required of a PV guest, which has no local APIC."""
    X2APIC_HIDDEN = "x2apic-hidden"
    """Required, and the guest may not enter x2APIC mode."""
    IMPOSED = "aspect-imposed"
    """Forbidden, and in force for every domain of this host."""
    UNKNOWN = "aspect-unknown"
    """Required or forbidden, and not known."""
    CONFLICT = "policy-conflict"
    """Required and forbidden at once."""
    DEFECT_MEMORY = PLAIN_MEMORY_CODE
    """The flags would be taken, and the guest's APIC page would be plain memory (4.17-rc)."""
    NO_HVM = "guest-type-missing"
    """Xen runs no PVH or HVM guest on this host."""


class Warn(Enum):
    """What a plan says beside; stable, for programs."""

    HOST_WIDE = "host-wide"
    """This Xen decides for the whole host: what is in force cannot be changed for this domain."""
    NOT_HAD = "preferred-not-had"
    UNKNOWN = "preferred-unknown"
    FLAG_IGNORED = "flag-ignored"
    """This release ignores ``assisted_xapic`` / ``assisted_x2apic``; what they mean is in force anyway."""
    DEFECT = "defect-accepted"
    NO_APIC = "no-apic"
    """A PV guest has no local APIC."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason against a policy."""

    code: Code
    aspect: Aspect | None
    """None where the reason is of no aspect."""
    asked: str
    """The words of the policy."""
    fact: str
    """What stands against it."""
    source: str
    """Where the fact is from."""
    remedies: tuple[Remedy, ...]
    """What would make it possible; each removes this reason."""

    def __str__(self) -> str:
        ways = " Or: ".join(one.text for one in self.remedies)
        return f"{self.asked}: {self.fact} ({self.source}). {ways} [{self.code.value}]"


@dataclass(frozen=True, slots=True)
class Warning:
    """Something to know of a plan."""

    code: Warn
    text: str

    def __str__(self) -> str:
        return f"{self.text} [{self.code.value}]"


@dataclass(frozen=True, slots=True)
class Refusal:
    """No plan, and every reason."""

    policy: Policy
    host: Host
    guest_type: GuestType
    reasons: tuple[Reason, ...]

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask Xen for, and what will be in force then; `xenapic.policy.outlook` works out the rest."""

    policy: Policy
    host: Host
    guest_type: GuestType
    misc_flags: MISC
    """Bits to set in createdomain's ``misc_flags``; always 0 where nothing is per domain."""
    in_force: Mapping[Aspect, Fact]
    warnings: tuple[Warning, ...]

    def __bool__(self) -> bool:
        return True

    @property
    def release(self) -> XenRelease:
        """The release whose rules hold."""
        return self.host.release

    @property
    def states(self) -> tuple[ApicState, ...]:
        """States the guest's APIC may enter; none for PV."""
        return states(self.guest_type, self.policy)


def states(guest_type: GuestType, policy: Policy) -> tuple[ApicState, ...]:
    """Return the states a guest's APIC may enter by itself; no Xen lets it relocate since it refuses that."""
    if guest_type is GuestType.PV:
        return ()
    if not policy.guest_x2apic:
        return (ApicState.XAPIC, ApicState.DISABLED)
    return (ApicState.XAPIC, ApicState.X2APIC, ApicState.DISABLED)


def plan(policy: Policy, host: Host, guest_type: GuestType = GuestType.PVH) -> Plan | Refusal:
    """Return a plan for the policy on the host, or every reason why there is none; Xen is not called."""
    no_guest = host.physinfo.no_guest
    if no_guest and guest_type is not GuestType.PV:
        return Refusal(policy, host, guest_type, (_no_hvm(guest_type, no_guest),))
    flags = _flags(policy, host, guest_type)
    found = in_force(policy, host, guest_type, flags)
    conflicts = tuple(_conflicts(policy))
    settled = {reason.aspect for reason in conflicts}
    unmet = (reason for reason in _unmet(policy, host, found) if reason.aspect not in settled)
    reasons = (*conflicts, *unmet, *_defects(policy, host, flags))
    if reasons:
        return Refusal(policy, host, guest_type, reasons)
    warnings = tuple(_warnings(policy, host, guest_type, found, flags))
    return Plan(policy, host, guest_type, flags or MISC(0), found, warnings)


def _no_hvm(guest_type: GuestType, why: NoGuest) -> Reason:
    return Reason(
        Code.NO_HVM,
        None,
        f"guest type {guest_type.value}",
        why.reason,
        why.source,
        (
            Remedy(RemedyKind.GUEST_TYPE, None, "Make it a PV guest.", GuestType.PV.value),
            Remedy(
                RemedyKind.HOST_HVM,
                None,
                "Enable VT-x or AMD-V in the firmware, or use a host that runs HVM-type guests.",
            ),
        ),
    )


# -- flags -----------------------------------------------------------------------------------------

FLAG = {Aspect.APIC_ACCESSES: MISC.ASSISTED_XAPIC, Aspect.X2APIC_MODE: MISC.ASSISTED_X2APIC}
OFFERED = {Aspect.APIC_ACCESSES: "assisted_xapic", Aspect.X2APIC_MODE: "assisted_x2apic"}
"""Which fact of the host says that a flag can be asked for."""
NO_FLAGS = MISC(0)


def _flags(policy: Policy, host: Host, guest_type: GuestType) -> MISC | None:
    """Choose the flags, None where there is no choice; the default is libxl's: what is offered."""
    if not host.interface or guest_type is GuestType.PV:
        return None
    word = NO_FLAGS
    forbidden = {aspect for aspect, want, _words in policy.asked if want is Want.FORBID}
    for aspect, flag in FLAG.items():
        if aspect not in forbidden and getattr(host, OFFERED[aspect]):
            word |= flag
    return word


# -- what is in force --------------------------------------------------------------------------------

PV_HAS_NONE = no("a PV guest has no local APIC")
HIDDEN = no("the guest may not enter x2APIC mode (guest_x2apic = false)")
CHOSEN = {
    True: yes("asked for in createdomain's misc_flags"),
    False: no("left out of createdomain's misc_flags"),
}
FOR_PV = dict.fromkeys(Aspect, PV_HAS_NONE)


def in_force(policy: Policy, host: Host, guest_type: GuestType, flags: MISC | None) -> Mapping[Aspect, Fact]:
    """Return for each aspect whether it will be in force, and how that is known."""
    if guest_type is GuestType.PV:
        return FOR_PV
    features = host.features
    found = {aspect: features[aspect.value] for aspect in Aspect}
    if flags is not None:
        for aspect, flag in FLAG.items():
            offered = getattr(host, OFFERED[aspect])
            found[aspect] = CHOSEN[flag in flags] if offered else offered
    if not policy.guest_x2apic:
        found[Aspect.X2APIC_MODE] = HIDDEN
    return found


# -- held against what was asked -----------------------------------------------------------------------

UNMET = {
    (Want.REQUIRE, Answer.NO): Code.MISSING,
    (Want.REQUIRE, Answer.UNKNOWN): Code.UNKNOWN,
    (Want.FORBID, Answer.YES): Code.IMPOSED,
    (Want.FORBID, Answer.UNKNOWN): Code.UNKNOWN,
}
WITHOUT = {PV_HAS_NONE.source: Code.NO_APIC, HIDDEN.source: Code.X2APIC_HIDDEN}
"""Reasons of the guest's own why an aspect is not in force."""


def _unmet(policy: Policy, host: Host, found: Mapping[Aspect, Fact]) -> Iterator[Reason]:
    case: _Case | None = None
    for aspect, want, words in policy.asked:
        fact = found[aspect]
        code = UNMET.get((want, fact.answer))
        if code is Code.MISSING:
            code = WITHOUT.get(fact.source, code)
        if code is not None:
            case = case or _case(host)
            text, ways = _explained(code, aspect, case, fact.how)
            yield Reason(code, aspect, words, text, fact.source, ways)


FACTS = {
    Code.MISSING: "'{name}' will not be in force",
    Code.NO_APIC: "'{name}' is of no use to a guest without an APIC",
    Code.X2APIC_HIDDEN: "'{name}' will not be in force",
    Code.IMPOSED: "'{name}' is in force for every such guest of this host",
    Code.UNKNOWN: "whether '{name}' will be in force is unknown, measure it",
}


def _conflicts(policy: Policy) -> Iterator[Reason]:
    required = {aspect: words for aspect, want, words in policy.asked if want is Want.REQUIRE}
    for aspect, want, words in policy.asked:
        if want is Want.FORBID and aspect in required:
            drop = Remedy(RemedyKind.ASK_NOTHING, aspect, f"Ask one thing of '{aspect.title}', not two.")
            yield Reason(
                Code.CONFLICT,
                aspect,
                f"{required[aspect]}, {words}",
                f"'{aspect.title}' is required and forbidden at once",
                "the policy",
                (drop,),
            )


def _defects(policy: Policy, host: Host, flags: MISC | None) -> Iterator[Reason]:
    if not _plain_memory(host, flags) or Code.DEFECT_MEMORY.value in policy.accept:
        return
    words = next(words for aspect, want, words in policy.asked if (aspect, want) == FORBID_ACCESSES)
    yield Reason(
        Code.DEFECT_MEMORY,
        Aspect.APIC_ACCESSES,
        words,
        PLAIN_MEMORY,
        PLAIN_MEMORY_SOURCE,
        (
            _leave(Aspect.APIC_ACCESSES),
            Remedy(
                RemedyKind.ACCEPT,
                Aspect.APIC_ACCESSES,
                f"To test just that, add {Code.DEFECT_MEMORY.value} to accept.",
                Code.DEFECT_MEMORY.value,
            ),
            Remedy(
                RemedyKind.HOST_WITHOUT,
                Aspect.APIC_ACCESSES,
                "Use a host whose processor cannot virtualize APIC accesses.",
            ),
        ),
    )


FORBID_ACCESSES = (Aspect.APIC_ACCESSES, Want.FORBID)


def _plain_memory(host: Host, flags: MISC | None) -> bool:
    return flags is not None and MISC.ASSISTED_XAPIC not in flags and bool(host.assisted_xapic)


# -- remedies ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Case:
    """All that the remedies hang on."""

    per_domain: bool
    apicv_off: bool


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
    yield Remedy(RemedyKind.SHOW_X2APIC, aspect, "Let the guest have x2APIC (guest_x2apic = true).")
    yield _prefer(aspect)


def _prefer(aspect: Aspect) -> Remedy:
    return Remedy(RemedyKind.PREFER, aspect, "Prefer it instead of requiring it.")


def _leave(aspect: Aspect) -> Remedy:
    return Remedy(RemedyKind.ASK_NOTHING, aspect, "Leave it at the host's default.")


def _for_imposed(aspect: Aspect, case: _Case, _how: str) -> Iterator[Remedy]:
    if aspect.value in BY_APICV:
        yield Remedy(RemedyKind.APICV_OFF, aspect, "Boot Xen with apicv=0; that is for all its domains.")
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
            f"Xen {DEVELOPMENT.name} (4.17.0-rc1 to rc3, for tests only) can leave it out per domain.",
        )
    yield Remedy(RemedyKind.HOST_WITHOUT, aspect, f"Use a host whose Xen does not use '{aspect.title}'.")
    yield Remedy(RemedyKind.GUEST_TYPE, aspect, "Make it a PV guest, which has no APIC.", GuestType.PV.value)
    yield _leave(aspect)


def _for_unknown(aspect: Aspect, _case: _Case, how: str) -> Iterator[Remedy]:
    yield Remedy(RemedyKind.MEASURE, aspect, f"Measure it: {how or 'xenapic host --measure'}.")
    yield _leave(aspect)


REMEDIES = {
    Code.MISSING: _for_missing,
    Code.NO_APIC: _for_no_apic,
    Code.X2APIC_HIDDEN: _for_hidden,
    Code.IMPOSED: _for_imposed,
    Code.UNKNOWN: _for_unknown,
}


# -- warnings ------------------------------------------------------------------------------------------


def _warnings(
    policy: Policy, host: Host, guest_type: GuestType, found: Mapping[Aspect, Fact], flags: MISC | None
) -> Iterator[Warning]:
    if guest_type is GuestType.PV:
        yield NO_APIC
    elif flags is None:
        yield HOST_WIDE
        for name, _aspect in ASSISTED:
            if getattr(policy, name) is not None:
                yield Warning(
                    Warn.FLAG_IGNORED, f"{host.version} ignores {name}; what it asks for is so anyway"
                )
    elif _plain_memory(host, flags):
        yield Warning(Warn.DEFECT, f"the guest's APIC page will be plain memory ({Code.DEFECT_MEMORY.value})")
    for aspect, want, words in policy.asked:
        fact = found[aspect]
        if want is Want.PREFER and not fact:
            code = Warn.NOT_HAD if fact.known else Warn.UNKNOWN
            state = "will not be in force" if fact.known else "may or may not be in force"
            yield Warning(code, f"{words}: '{aspect.title}' {state} ({fact.source})")


HOST_WIDE = Warning(
    Warn.HOST_WIDE, "this Xen decides for the whole host; for this domain alone nothing can be changed"
)
NO_APIC = Warning(Warn.NO_APIC, "a PV guest has no local APIC: nothing of this concerns it")
