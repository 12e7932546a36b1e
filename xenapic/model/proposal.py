"""A reference for an unambiguous interface: one bit per control, and three operations on these bits.

No Xen has this interface. The module makes the proposal in the documentation exact: these functions
decide which request is refused with which errno and which controls a vCPU runs with.
The tests run every request through them.
"""

from __future__ import annotations

from enum import IntFlag
from errno import EINVAL, ENODEV
from functools import reduce
from operator import or_

from xenapic.apic.controls import CONTROLS, ENTRY_RULES, Controls
from xenapic.apic.outcome import MsrBitmap, bits
from xenapic.apic.registers import Reg
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.model.acceleration import (
    INTERCEPT_ALL,
    WRITE_OPEN,
    HvmLeaf,
    VcpuApic,
    ViridianHints,
    page_backing,
)
from xenapic.model.emulation import X2APIC_READABLE

__all__ = ["APIC", "CONTROL", "NEEDS", "Refused", "available", "leaf", "resolve", "vcpu", "viridian"]


class APIC(IntFlag):
    """``XEN_X86_APIC_*``: one bit per aspect, with the same numbers in every word."""

    TPR_SHADOW = 1 << 0
    ACCESS_PAGE = 1 << 1
    REGISTERS = 1 << 2
    DELIVERY = 1 << 3
    POSTED = 1 << 4
    X2APIC_MODE = 1 << 5


CONTROL = {
    APIC.TPR_SHADOW: "tpr_shadow",
    APIC.ACCESS_PAGE: "virtualize_apic_accesses",
    APIC.REGISTERS: "apic_register_virtualization",
    APIC.DELIVERY: "virtual_interrupt_delivery",
    APIC.POSTED: "posted_interrupts",
    APIC.X2APIC_MODE: "virtualize_x2apic_mode",
}
"""The control that each bit stands for (`Feature.key`)."""

NOTHING = APIC(0)
KNOWN = APIC(sum(CONTROL))
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
    rule: str
    bits: APIC

    def __bool__(self) -> bool:
        return False


def available(host: Controls) -> APIC:
    """Return the bits that Xen chose at boot (`host_controls`) and physinfo reports as available."""
    return APIC(sum(bit for bit, key in CONTROL.items() if host.has(key)))


def resolve(offered: APIC, on: APIC, off: APIC, *, hvm: bool = True) -> APIC | Refused:
    """Return the bits in force for a domain, or the first rule that refuses the request.

    ``on`` and ``off`` are the two words of createdomain. A bit in neither has the host's default: it is
    on if it is available and nothing that it needs is off.
    """
    unknown = APIC(int(on | off) & ~int(KNOWN))
    if unknown:
        return Refused(EINVAL, "unknown bits", unknown)
    if not hvm and on | off:
        return Refused(EINVAL, "a PV domain has no local APIC", on | off)
    if on & off:
        return Refused(EINVAL, "on and off at once", on & off)
    chain = NOTHING
    for bit in APIC:
        if bit in on and needed(bit) & off:
            chain |= bit
    if chain:
        return Refused(EINVAL, "on, but something that it needs is off", chain)
    wanted = reduce(or_, (needed(bit) for bit in APIC if bit in on), on)
    if wanted & ~offered:
        return Refused(ENODEV, "on, but the host lacks it", wanted & ~offered)
    return APIC(sum(bit for bit in APIC if bit in offered & ~off and not needed(bit) & (off | ~offered)))


def needed(bit: APIC) -> APIC:
    """Return every bit that a bit needs, directly or indirectly."""
    bits = NEEDS[bit]
    for other in APIC:
        if other in NEEDS[bit]:
            bits |= needed(other)
    return bits


NOT_OPENED = {Reg.PROCPRI, Reg.ICR, Reg.TMICT, Reg.TMCCT}
"""PPR and the timer's counts, which Xen computes, and the ICR, whose high half Xen stores elsewhere."""
READ_OPEN = bits(X2APIC_READABLE - NOT_OPENED)
TPR_OPEN = bits((Reg.TASKPRI,))


def _bitmap(effective: APIC) -> MsrBitmap:
    read = READ_OPEN if APIC.REGISTERS in effective else TPR_OPEN
    write = WRITE_OPEN if APIC.DELIVERY in effective else TPR_OPEN
    return MsrBitmap(INTERCEPT_ALL.read & ~read, INTERCEPT_ALL.write & ~write)


MODE = APIC.ACCESS_PAGE | APIC.X2APIC_MODE


def vcpu(host: Controls, effective: APIC, state: ApicState) -> VcpuApic:
    """Return the settings of a vCPU whose APIC is in a state.

    The APIC page is mapped only in a domain with ``ACCESS_PAGE``.
    """
    mode = NOTHING
    if state is ApicState.XAPIC:
        mode = effective & APIC.ACCESS_PAGE
    elif state is ApicState.X2APIC:
        mode = effective & APIC.X2APIC_MODE
    keys = {key for bit, key in CONTROL.items() if bit in (effective & ~MODE) | mode}
    if "tpr_shadow" not in keys:
        keys |= {"cr8_load_exiting", "cr8_store_exiting"}
    kept = [key for key in CONTROLS if host.has(key) and key not in BIT and not key.startswith("cr8_")]
    return VcpuApic(
        state,
        Controls.of(*kept, *keys),
        _bitmap(effective) if APIC.X2APIC_MODE in mode else INTERCEPT_ALL,
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
