"""The terms of a policy: aspects, what can be wanted of an aspect, effects, and the policy itself.

An *aspect* is one control of the processor, named as in the SDM. An *effect* is what a guest gets
from a combination of aspects, for people who do not think in controls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from types import NoneType
from typing import NamedTuple

from xenapic.apic.features import feature
from xenapic.apic.outcome import Operation
from xenapic.apic.registers import BITMAPS, Reg
from xenapic.apic.state import ApicState
from xenapic.errors import PolicyInvalid
from xenapic.model.acceleration import PLAIN_MEMORY_CODE
from xenapic.policy.frozenmap import FrozenMap
from xenapic.policy.suggest import no_such

__all__ = ["ACCEPTABLE", "ASSISTED", "EFFECTS", "Aspect", "Demand", "Effect", "Policy", "Want", "effect"]


class Aspect(Enum):
    """A control that can be required or forbidden; the values are keys of `xenapic.apic.features`."""

    TPR_SHADOW = "tpr_shadow"
    APIC_ACCESSES = "virtualize_apic_accesses"
    """In force while the APIC is in xAPIC mode at its default base."""
    REGISTERS = "apic_register_virtualization"
    DELIVERY = "virtual_interrupt_delivery"
    POSTED = "posted_interrupts"
    X2APIC_MODE = "virtualize_x2apic_mode"
    """In force while the APIC is in x2APIC mode."""

    @property
    def title(self) -> str:
        """The SDM's name of the control."""
        return feature(self.value).name


class Want(Enum):
    """What is wanted of an aspect."""

    REQUIRE = "require"
    """The aspect is in force, or there is no plan."""
    FORBID = "forbid"
    """The aspect is not in force, or there is no plan."""
    PREFER = "prefer"
    """In force where possible. There is a plan in any case; it says whether the aspect is in force."""
    DEFAULT = "host default"
    """Whatever the host does."""


class Demand(NamedTuple):
    """What a policy wants of one aspect."""

    aspect: Aspect
    want: Want
    words: str
    """How the policy says it, e.g. ``effect xapic-eoi-stays``."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a guest gets, and which aspects it needs; every effect is tested against the access tables."""

    name: str
    text: str
    wants: tuple[tuple[Aspect, Want], ...]
    stays: tuple[tuple[ApicState, int, Operation], ...] = ()
    """Accesses (state, offset, operation) that stay in the guest thanks to it."""
    leaves: tuple[ApicState, ...] = ()
    """States in which every access that reaches an APIC leaves the guest."""


READ, WRITE = Operation.READ, Operation.WRITE
MSR_READS = (Reg.ID, Reg.LVR, Reg.TASKPRI, Reg.LDR, Reg.SPIV, *BITMAPS, Reg.ESR, Reg.ICR)
PAGE_READS = (*MSR_READS, Reg.DFR, Reg.TMICT)


def _require(*aspects: Aspect) -> tuple[tuple[Aspect, Want], ...]:
    return tuple((aspect, Want.REQUIRE) for aspect in aspects)


def _stay(
    state: ApicState, offsets: Iterable[int], operation: Operation
) -> tuple[tuple[ApicState, int, Operation], ...]:
    return tuple((state, offset, operation) for offset in offsets)


EFFECTS = (
    Effect(
        "xapic-tpr-stays",
        "xAPIC: reads and writes of the TPR do not leave the guest",
        _require(Aspect.TPR_SHADOW, Aspect.APIC_ACCESSES),
        _stay(ApicState.XAPIC, (Reg.TASKPRI,), READ) + _stay(ApicState.XAPIC, (Reg.TASKPRI,), WRITE),
    ),
    Effect(
        "xapic-reads-stay",
        "xAPIC: reads do not leave the guest (except APR, PPR, remote read and the timer's current count)",
        _require(Aspect.TPR_SHADOW, Aspect.APIC_ACCESSES, Aspect.REGISTERS),
        _stay(ApicState.XAPIC, PAGE_READS, READ),
    ),
    Effect(
        "xapic-eoi-stays",
        "xAPIC: EOI does not leave the guest (except for vectors whose EOI Xen must see)",
        _require(Aspect.TPR_SHADOW, Aspect.APIC_ACCESSES, Aspect.DELIVERY),
        _stay(ApicState.XAPIC, (Reg.EOI,), WRITE),
    ),
    Effect(
        "x2apic-reads-stay",
        "x2APIC: reads do not leave the guest (except PPR and the timer's two counts)",
        _require(Aspect.TPR_SHADOW, Aspect.X2APIC_MODE, Aspect.REGISTERS),
        _stay(ApicState.X2APIC, MSR_READS, READ),
    ),
    Effect(
        "x2apic-eoi-stays",
        "x2APIC: EOI, TPR and self-IPI do not leave the guest (except for vectors whose EOI Xen must see)",
        _require(Aspect.TPR_SHADOW, Aspect.X2APIC_MODE, Aspect.DELIVERY),
        _stay(ApicState.X2APIC, (Reg.TASKPRI, Reg.EOI), WRITE),
    ),
    Effect(
        "interrupts-need-no-exit",
        "an interrupt for a running vCPU is delivered without an exit",
        _require(Aspect.DELIVERY, Aspect.POSTED),
    ),
    Effect(
        "nothing-accelerated",
        "every access to the APIC leaves the guest",
        tuple((aspect, Want.FORBID) for aspect in Aspect),
        leaves=(ApicState.XAPIC, ApicState.X2APIC),
    ),
    Effect(
        "everything-possible",
        "every aspect that the host can provide",
        tuple((aspect, Want.PREFER) for aspect in Aspect),
    ),
)
"""Each by what it does for the guest; the names are stable."""


def effect(name: str) -> Effect:
    """Return an effect by name; raise `PolicyInvalid` when there is none."""
    for row in EFFECTS:
        if row.name == name:
            return row
    raise PolicyInvalid(no_such("effect", name, [row.name for row in EFFECTS]))


@dataclass(frozen=True, slots=True)
class Policy:
    """What a guest's owner wants of APIC acceleration; whatever is not named is left to the host.

    A policy is hashable, and it copies what it is given: later changes of a mapping or a list do not
    reach it. Raises `PolicyInvalid` for an unknown term or a value of the wrong type.
    """

    aspects: Mapping[Aspect, Want] = field(default_factory=dict)
    effects: tuple[str, ...] = ()
    """Names of `EFFECTS`; each stands for what it asks of its aspects."""
    assisted_xapic: bool | None = None
    """As in xl.cfg of 4.17-rc; None is the default. The same as *require* / *forbid*
    'virtualize APIC accesses', the control that the flag switches there."""
    assisted_x2apic: bool | None = None
    """As in xl.cfg of 4.17-rc; None is the default. The same as *require* / *forbid*
    'virtualize x2APIC mode'."""
    guest_x2apic: bool = True
    """Whether the guest may enter x2APIC mode. The toolstack takes it away with ``cpuid="host,x2apic=0"``."""
    accept: frozenset[str] = frozenset()
    """Codes of known defects (`ACCEPTABLE`) that the plan may run into, for example to test them."""
    also: tuple[tuple[Aspect, Want], ...] = ()
    """More wants, for aspects that `aspects` names already: a policy can contradict itself, and says so."""
    asked: tuple[Demand, ...] = field(init=False, repr=False, compare=False)
    """Everything that is asked of an aspect, with the words that ask it."""

    def __post_init__(self) -> None:
        put = partial(object.__setattr__, self)
        first, more = _sorted_wants(self.aspects, self.also)
        put("aspects", FrozenMap(first))
        put("also", more)
        put("effects", _names("effects", self.effects))
        put("accept", frozenset(_names("accept", self.accept)))
        for name in self.effects:
            effect(name)
        for name in ("assisted_xapic", "assisted_x2apic"):
            if not isinstance(getattr(self, name), (bool, NoneType)):
                raise PolicyInvalid(f"{name} is True, False or None, not {getattr(self, name)!r}")
        for code in self.accept:
            if code not in ACCEPTABLE:
                raise PolicyInvalid(no_such("defect to accept", code, ACCEPTABLE))
        if not isinstance(self.guest_x2apic, bool):
            raise PolicyInvalid(f"guest_x2apic is True or False, not {self.guest_x2apic!r}")
        put("asked", tuple(self._demands()))

    def override(self, wants: Iterable[tuple[Aspect, Want]]) -> Policy:
        """Return a policy in which these wants replace its own for the same aspects (not its effects)."""
        given = tuple(wants)
        named = {aspect for aspect, _want in given}
        kept = {aspect: want for aspect, want in self.aspects.items() if aspect not in named}
        more = (*(pair for pair in self.also if pair[0] not in named), *given)
        return replace(self, aspects=kept, also=more)

    def _demands(self) -> Iterator[Demand]:
        for aspect, want in (*self.aspects.items(), *self.also):
            if want is not Want.DEFAULT:
                yield Demand(aspect, want, f"{aspect.value} = {want.value}")
        for name in self.effects:
            for aspect, want in effect(name).wants:
                yield Demand(aspect, want, f"effect {name}")
        for name, aspect in ASSISTED:
            value = getattr(self, name)
            if value is not None:
                yield Demand(aspect, Want.REQUIRE if value else Want.FORBID, f"{name} = {int(value)}")


Pair = tuple[Aspect, Want]


def _sorted_wants(aspects: object, also: object) -> tuple[dict[Aspect, Want], tuple[Pair, ...]]:
    """Return the first want of each aspect, and the others without repetitions."""
    if not isinstance(aspects, Mapping):
        raise PolicyInvalid(f"aspects maps Aspect to Want, not {aspects!r}")
    if not isinstance(also, Iterable):
        raise PolicyInvalid(f"also is a list of pairs of Aspect and Want, not {also!r}")
    first: dict[Aspect, Want] = {}
    more: dict[Pair, None] = {}
    for aspect, want in map(_pair, (*aspects.items(), *also)):
        if first.setdefault(aspect, want) is not want:
            more[aspect, want] = None
    return first, tuple(more)


def _pair(given: object) -> Pair:
    match given:
        case (Aspect() as aspect, Want() as want):
            return aspect, want
    raise PolicyInvalid(f"aspects maps Aspect to Want, not {given!r}")


def _names(key: str, given: object) -> tuple[str, ...]:
    names = () if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    if (not names and given) or not all(isinstance(name, str) for name in names):
        raise PolicyInvalid(f"{key} is a list of names, not {given!r}")
    return names


ACCEPTABLE = (PLAIN_MEMORY_CODE,)
"""Defects (`xenapic.model.defects`) that depend on createdomain's flags: a plan can run into them."""

ASSISTED = (("assisted_xapic", Aspect.APIC_ACCESSES), ("assisted_x2apic", Aspect.X2APIC_MODE))
"""The two flags of 4.17-rc, and the aspect that each switches."""
