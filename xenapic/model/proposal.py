"""An interface without the ambiguity, as a reference: one bit for each control, three things to ask of it.

No Xen has it. It is here so that the proposal in the documentation is exact: which request is
refused with which errno, and which controls a vCPU runs with, come from these functions.
The tests run every request through them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from errno import EINVAL, ENODEV
from functools import reduce
from operator import or_

from xenapic.apic.controls import CONTROLS, ENTRY_RULES, Controls
from xenapic.apic.outcome import MsrBitmap, bits
from xenapic.apic.registers import Reg
from xenapic.apic.state import ApicState
from xenapic.model.acceleration import INTERCEPT_ALL, HvmLeaf, VcpuApic, ViridianHints, page_backing
from xenapic.model.emulation import X2APIC_READABLE

__all__ = ["APIC", "CONTROL", "NEEDS", "Refused", "available", "leaf", "resolve", "vcpu", "viridian"]


class APIC(IntFlag):
    """``XEN_X86_APIC_*``: one bit for each aspect; the same numbers in every word."""

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
"""The one control that each bit is (`Feature.key`)."""

NOTHING = APIC(0)
KNOWN = APIC(sum(CONTROL))
BIT = {key: bit for bit, key in CONTROL.items()}

NEEDS = {
    bit: APIC(sum(BIT[r.key] for r in ENTRY_RULES if r.value and BIT.get(r.when) is bit and r.key in BIT))
    for bit in APIC
}
"""What must be on for a bit to be on: VM entry's rules and nothing else."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that createdomain refuses, early, before anything is allocated."""

    errno: int
    rule: str
    bits: APIC

    def __bool__(self) -> bool:
        return False


def available(host: Controls) -> APIC:
    """Return what Xen took at boot (`host_controls`): what physinfo reports as available."""
    return APIC(sum(bit for bit, key in CONTROL.items() if host.has(key)))


def resolve(offered: APIC, on: APIC, off: APIC, *, hvm: bool = True) -> APIC | Refused:
    """Return what is in force for a domain, or why the request is refused; the rules in their order.

    ``on`` and ``off`` are createdomain's two words; what is in neither is the host's default: on where
    it is available and nothing that it needs is off.
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
        return Refused(EINVAL, "on, and something that it needs is off", chain)
    wanted = reduce(or_, (needed(bit) for bit in APIC if bit in on), on)
    if wanted & ~offered:
        return Refused(ENODEV, "on, and the host cannot", wanted & ~offered)
    return APIC(sum(bit for bit in APIC if bit in offered & ~off and not needed(bit) & (off | ~offered)))


def needed(bit: APIC) -> APIC:
    """Return everything that a bit needs, directly or not."""
    found = NEEDS[bit]
    for other in APIC:
        if other in NEEDS[bit]:
            found |= needed(other)
    return found


NOT_OPENED = {Reg.PROCPRI, Reg.ICR, Reg.TMICT, Reg.TMCCT}
"""PPR and the timer's counts, which Xen computes; the ICR, whose high half Xen keeps at another place."""
READ_OPEN = bits(X2APIC_READABLE - NOT_OPENED)
WRITE_OPEN = bits((Reg.TASKPRI, Reg.EOI, Reg.SELF_IPI))
TPR_OPEN = bits((Reg.TASKPRI,))


def _bitmap(effective: APIC) -> MsrBitmap:
    read = READ_OPEN if APIC.REGISTERS in effective else TPR_OPEN
    write = WRITE_OPEN if APIC.DELIVERY in effective else TPR_OPEN
    return MsrBitmap(INTERCEPT_ALL.read & ~read, INTERCEPT_ALL.write & ~write)


MODE = APIC.ACCESS_PAGE | APIC.X2APIC_MODE


def vcpu(host: Controls, effective: APIC, state: ApicState) -> VcpuApic:
    """Return what the processor is told for a vCPU in a state.

    The page is mapped only in a domain that has ``ACCESS_PAGE``.
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
    """Return the bits of CPUID leaf base + 4, of the domain and not of the host."""
    bits = HvmLeaf(0)
    if APIC.ACCESS_PAGE | APIC.REGISTERS in effective:
        bits |= HvmLeaf.APIC_ACCESS_VIRT
    if APIC.X2APIC_MODE | APIC.REGISTERS | APIC.DELIVERY in effective:
        bits |= HvmLeaf.X2APIC_VIRT
    return bits


def viridian(effective: APIC) -> ViridianHints:
    """Return Viridian's hints, of the domain; that about MSRs goes by what EOI, ICR and TPR really cost."""
    return ViridianHints(APIC.DELIVERY not in effective, APIC.ACCESS_PAGE in effective)
