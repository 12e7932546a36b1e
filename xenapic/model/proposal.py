"""A reference for an unambiguous interface: one bit per control, and three operations on these bits.

No released Xen has this interface. The module makes the proposal in the documentation exact: these functions
decide which request is refused with which errno and which controls a vCPU runs with. A host whose
``physinfo`` has the bits (`xenapic.model.apicbits`) is planned for, predicted and verified with them.
The tests run every request through them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from errno import EINVAL, ENODEV
from functools import reduce
from itertools import product
from operator import or_

from xenapic.apic.controls import CONTROLS, ENTRY_RULES, Controls
from xenapic.apic.outcome import MsrBitmap, bits
from xenapic.apic.registers import Reg
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.model.acceleration import (
    INTERCEPT_ALL,
    READ_INTERCEPTED,
    WRITE_OPEN,
    HvmLeaf,
    VcpuApic,
    ViridianHints,
    page_backing,
)
from xenapic.model.apicbits import APIC, KNOWN, NOTHING, Offer

__all__ = [
    "APIC",
    "CONTROL",
    "NEEDS",
    "Refused",
    "available",
    "bitmap",
    "broken",
    "default_of",
    "distinct",
    "in_force",
    "leaf",
    "needed",
    "offer",
    "requests",
    "resolve",
    "vcpu",
    "viridian",
]


CONTROL = {
    APIC.TPR_SHADOW: "tpr_shadow",
    APIC.ACCESS_PAGE: "virtualize_apic_accesses",
    APIC.REGISTERS: "apic_register_virtualization",
    APIC.DELIVERY: "virtual_interrupt_delivery",
    APIC.POSTED: "posted_interrupts",
    APIC.X2APIC_MODE: "virtualize_x2apic_mode",
}
"""The control that each bit stands for (`Feature.key`)."""

BIT = {key: bit for bit, key in CONTROL.items()}

NEEDS = {
    bit: APIC(sum(BIT[r.key] for r in ENTRY_RULES if r.value and BIT.get(r.when) is bit and r.key in BIT))
    for bit in APIC
}
"""The bits that must be on for a bit to be on: the rules of VM entry and nothing else."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The refusal of a request by createdomain, early, before it allocates anything."""

    errno: int
    code: str
    """The code of the rule (`xenapic.model.rules`)."""
    rule: str
    bits: APIC

    def __bool__(self) -> bool:
        return False


def available(host: Controls) -> APIC:
    """Return the bits that Xen chose at boot (`host_controls`) and physinfo reports as available."""
    return APIC(sum(bit for bit, key in CONTROL.items() if host.has(key)))


def default_of(offered: APIC) -> APIC:
    """Return the bits that are in force unless a request says otherwise: what a released Xen uses.

    That is all that is available, except x2APIC mode on a host that has neither of the two controls that make
    it save more than the TPR's exits (``vmx_vlapic_msr_changed``).
    """
    return offered if offered & (APIC.REGISTERS | APIC.DELIVERY) else offered & ~APIC.X2APIC_MODE


def offer(host: Controls) -> Offer:
    """Return what physinfo reports on a host."""
    offered = available(host)
    return Offer(offered, default_of(offered))


def resolve(
    offered: APIC,
    on: APIC,
    off: APIC,
    *,
    hvm: bool = True,
    nested: bool = False,
    default: APIC | None = None,
) -> APIC | Refused:
    """Return the bits in force for a domain, or the first rule that refuses the request.

    ``on`` and ``off`` are the two words of createdomain. A bit in neither has the host's ``default`` (by
    default `default_of` what is offered), unless something that it needs is off.
    """
    for refused in broken(offered, on, off, hvm=hvm, nested=nested):
        return refused
    return in_force(Offer(offered, default_of(offered) if default is None else default), on, off)


def in_force(offer: Offer, on: APIC, off: APIC) -> APIC:
    """Return the bits in force for a request that no rule refuses."""
    possible = (offer.default | wanted(on)) & offer.available & ~off
    return APIC(sum(bit for bit in APIC if bit in possible and not needed(bit) & ~possible))


def broken(
    offered: APIC, on: APIC, off: APIC, *, hvm: bool = True, nested: bool = False
) -> Iterator[Refused]:
    """Yield every rule that a request breaks, in Xen's order; EINVAL: no host can serve the request."""
    asked = on | off
    rules = (
        (EINVAL, "misc-flags-unknown", "unknown bits", APIC(int(asked) & ~int(KNOWN))),
        (EINVAL, "control-bits-pv", "a PV domain has no local APIC", NOTHING if hvm else asked),
        (
            EINVAL,
            "control-bits-nested",
            "nested virtualization goes with the host's default only",
            asked if nested else NOTHING,
        ),
        (EINVAL, "control-bits-both", "on and off at once", on & off),
        (
            EINVAL,
            "control-bits-need",
            "on, but something that it needs is off",
            APIC(sum(bit for bit in APIC if bit in on and needed(bit) & off)),
        ),
        (ENODEV, "control-bits-hardware", "on, but the host lacks it", wanted(on) & ~offered & KNOWN),
    )
    return (Refused(*row) for row in rules if row[3])


def wanted(on: APIC) -> APIC:
    """Return the bits that are on, and those that they need."""
    return reduce(or_, (needed(bit) for bit in APIC if bit in on), on)


def requests() -> Iterator[tuple[APIC, APIC]]:
    """Yield every request: each bit at its default, on or off; 729 pairs of *on* and *off*."""
    for wants in product((0, 1, 2), repeat=len(APIC)):
        pairs = list(zip(APIC, wants, strict=True))
        yield APIC(sum(b for b, w in pairs if w == 1)), APIC(sum(b for b, w in pairs if w == 2))


def distinct(offer: Offer) -> Mapping[APIC, tuple[APIC, APIC]]:
    """Return each set of bits that can be in force on a host, with a shortest request for it."""
    results: dict[APIC, tuple[APIC, APIC]] = {}
    for on, off in sorted(requests(), key=lambda pair: (int(pair[0] | pair[1]).bit_count(), pair)):
        answer = resolve(offer.available, on, off, default=offer.default)
        if isinstance(answer, APIC):
            results.setdefault(answer, (on, off))
    return results


def needed(bit: APIC) -> APIC:
    """Return every bit that a bit needs, directly or indirectly."""
    bits = NEEDS[bit]
    for other in APIC:
        if other in NEEDS[bit]:
            bits |= needed(other)
    return bits


TPR_OPEN = bits((Reg.TASKPRI,))


def bitmap(effective: APIC) -> MsrBitmap:
    """Return the bitmap for x2APIC mode. With REGISTERS and DELIVERY it is that of a released Xen."""
    everything = INTERCEPT_ALL.read
    return MsrBitmap(
        READ_INTERCEPTED if APIC.REGISTERS in effective else everything & ~TPR_OPEN,
        everything & ~(WRITE_OPEN if APIC.DELIVERY in effective else TPR_OPEN),
    )


MODE = APIC.ACCESS_PAGE | APIC.X2APIC_MODE


def _mode(effective: APIC, state: ApicState) -> APIC:
    """Return which of the two controls that exclude each other is 1 in a state, as a released Xen decides it.

    Without x2APIC mode, APIC accesses stay virtualized in the x2APIC state: the page would be plain memory.
    """
    if state is ApicState.X2APIC and APIC.X2APIC_MODE in effective:
        return APIC.X2APIC_MODE
    return effective & APIC.ACCESS_PAGE if state in (ApicState.XAPIC, ApicState.X2APIC) else NOTHING


def vcpu(host: Controls, effective: APIC, state: ApicState) -> VcpuApic:
    """Return the settings of a vCPU whose APIC is in a state.

    The APIC page is mapped only in a domain with ``ACCESS_PAGE``.
    """
    mode = _mode(effective, state)
    keys = {key for bit, key in CONTROL.items() if bit in (effective & ~MODE) | mode}
    if "tpr_shadow" not in keys:
        keys |= {"cr8_load_exiting", "cr8_store_exiting"}
    kept = [key for key in CONTROLS if host.has(key) and key not in BIT and not key.startswith("cr8_")]
    return VcpuApic(
        state,
        Controls.of(*kept, *keys),
        bitmap(effective) if APIC.X2APIC_MODE in mode else INTERCEPT_ALL,
        page_backing(APIC.ACCESS_PAGE in effective, state),
    )


def leaf(effective: APIC) -> HvmLeaf:
    """Return the bits of CPUID leaf base + 4, which describe the domain and not the host."""
    bits = HvmLeaf(0)
    if APIC.ACCESS_PAGE | APIC.REGISTERS in effective:
        bits |= HvmLeaf.APIC_ACCESS_VIRT
    if APIC.X2APIC_MODE | APIC.REGISTERS | APIC.DELIVERY in effective:
        bits |= HvmLeaf.X2APIC_VIRT
    return bits


def viridian(effective: APIC) -> ViridianHints:
    """Return Viridian's hints for the domain; the one about MSRs follows the cost of EOI, ICR and TPR."""
    return ViridianHints(APIC.DELIVERY not in effective, APIC.ACCESS_PAGE in effective)
