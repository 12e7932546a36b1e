"""The terms of a policy: aspects, what can be wanted of one, effects, and the policy itself.

An *aspect* is one control of the processor, named as the SDM names it. An *effect* is
what a guest gets from a combination of aspects, for those who do not think in controls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from xenapic.apic.features import feature
from xenapic.apic.outcome import Operation
from xenapic.apic.registers import BITMAPS, Reg
from xenapic.apic.state import ApicState
from xenapic.errors import PolicyInvalid
from xenapic.model.acceleration import PLAIN_MEMORY_CODE

__all__ = ["EFFECTS", "Aspect", "Effect", "Policy", "Want", "effect"]


class Aspect(Enum):
    """What can be asked for or forbidden on its own; the values are keys of `xenapic.apic.features`."""

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
    """In force, or no plan."""
    FORBID = "forbid"
    """Not in force, or no plan."""
    PREFER = "prefer"
    """In force where that can be had; a plan in any case, which says what became of it."""
    DEFAULT = "host default"
    """Whatever the host does."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a guest gets, as the aspects that it takes; each is tested against the access tables."""

    name: str
    text: str
    wants: tuple[tuple[Aspect, Want], ...]
    stays: tuple[tuple[ApicState, int, Operation], ...] = ()
    """Accesses (state, offset, operation) that stay in the guest by it."""
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
        "xAPIC: reads do not leave the guest (but for APR, PPR, remote read and the timer's current count)",
        _require(Aspect.TPR_SHADOW, Aspect.APIC_ACCESSES, Aspect.REGISTERS),
        _stay(ApicState.XAPIC, PAGE_READS, READ),
    ),
    Effect(
        "xapic-eoi-stays",
        "xAPIC: EOI does not leave the guest (but for vectors whose EOI Xen must see)",
        _require(Aspect.TPR_SHADOW, Aspect.APIC_ACCESSES, Aspect.DELIVERY),
        _stay(ApicState.XAPIC, (Reg.EOI,), WRITE),
    ),
    Effect(
        "x2apic-reads-stay",
        "x2APIC: reads do not leave the guest (but for PPR and the timer's two counts)",
        _require(Aspect.TPR_SHADOW, Aspect.X2APIC_MODE, Aspect.REGISTERS),
        _stay(ApicState.X2APIC, MSR_READS, READ),
    ),
    Effect(
        "x2apic-eoi-stays",
        "x2APIC: EOI, TPR and self-IPI do not leave the guest (but for vectors whose EOI Xen must see)",
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
        "all that the host can do",
        tuple((aspect, Want.PREFER) for aspect in Aspect),
    ),
)
"""By what they do for the guest; names are stable."""


def effect(name: str) -> Effect:
    """Return an effect by name; raise `PolicyInvalid` when there is none."""
    for row in EFFECTS:
        if row.name == name:
            return row
    raise PolicyInvalid(f"no effect {name!r}; there are {', '.join(row.name for row in EFFECTS)}")


@dataclass(frozen=True, slots=True)
class Policy:
    """What is wanted. All that is not said is left to the host.

    Raises `PolicyInvalid` for what is no term of a policy.
    """

    aspects: Mapping[Aspect, Want] = field(default_factory=dict)
    effects: tuple[str, ...] = ()
    """Names of `EFFECTS`; what they take is required (or forbidden, preferred) as if said by aspect."""
    assisted_xapic: bool | None = None
    """As in xl.cfg of 4.17-rc; None is the default. The same as *require* / *forbid*
    'virtualize APIC accesses', which is what the flag controls there."""
    assisted_x2apic: bool | None = None
    """As in xl.cfg of 4.17-rc; None is the default. The same as *require* / *forbid*
    'virtualize x2APIC mode'."""
    guest_x2apic: bool = True
    """Whether the guest may enter x2APIC mode. The toolstack takes it away with ``cpuid="host,x2apic=0"``."""
    accept: frozenset[str] = frozenset()
    """Codes of known defects (`ACCEPTABLE`) that the plan may run into, to test them say."""
    asked: tuple[tuple[Aspect, Want, str], ...] = field(init=False, repr=False, compare=False)
    """Each thing that is asked of an aspect, and in which words."""

    def __post_init__(self) -> None:
        for aspect, want in self.aspects.items():
            if not isinstance(aspect, Aspect) or not isinstance(want, Want):
                raise PolicyInvalid(f"aspects maps Aspect to Want, not {aspect!r} to {want!r}")
        for name in self.effects:
            effect(name)
        for name in ("assisted_xapic", "assisted_x2apic"):
            if getattr(self, name) not in (True, False, None):
                raise PolicyInvalid(f"{name} is True, False or None, not {getattr(self, name)!r}")
        for code in self.accept:
            if code not in ACCEPTABLE:
                raise PolicyInvalid(f"no defect {code!r} to accept; there are {', '.join(ACCEPTABLE)}")
        if not isinstance(self.guest_x2apic, bool):
            raise PolicyInvalid(f"guest_x2apic is True or False, not {self.guest_x2apic!r}")
        object.__setattr__(self, "asked", self._asked())

    def _asked(self) -> tuple[tuple[Aspect, Want, str], ...]:
        found: list[tuple[Aspect, Want, str]] = [
            (aspect, want, f"{aspect.value} = {want.value}")
            for aspect, want in self.aspects.items()
            if want is not Want.DEFAULT
        ]
        for name in self.effects:
            found += [(aspect, want, f"effect {name}") for aspect, want in effect(name).wants]
        for name, aspect in ASSISTED:
            value = getattr(self, name)
            if value is not None:
                found.append((aspect, Want.REQUIRE if value else Want.FORBID, f"{name} = {int(value)}"))
        return tuple(found)


ACCEPTABLE = (PLAIN_MEMORY_CODE,)
"""Defects (`xenapic.model.defects`) that hang on createdomain's flags, so that a plan can run into them."""

ASSISTED = (("assisted_xapic", Aspect.APIC_ACCESSES), ("assisted_x2apic", Aspect.X2APIC_MODE))
"""The two historic flags, and the aspect that each controls."""
