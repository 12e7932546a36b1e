"""Which APICs accept an inter-processor interrupt, as Xen decides it.

Source: ``vlapic_match_dest``, ``vlapic_match_logical_addr`` and ``vlapic_lowest_prio``
(``xen/arch/x86/hvm/vlapic.c``), the same in 4.15 to 4.22. Each target is matched in its own mode, whatever
the sender's is: the broadcast destination of xAPIC mode, FFH, reaches no APIC in x2APIC mode, and FFFFFFFFH
none in xAPIC mode.
"""

from __future__ import annotations

from collections.abc import Sequence

from xenapic.apic.registers import DEST_ALLINC, DEST_SELF
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass

__all__ = ["ALL_BUT_SELF", "LOGICAL", "LOWEST_PRIORITY", "Receiver", "broadcast", "receivers", "x2apic_ldr"]

LOGICAL, LOWEST_PRIORITY = 1 << 11, 1 << 8
"""Bits of the ICR: destination mode, and delivery mode."""
SHORTHAND = 3 << 18
ALL_BUT_SELF = SHORTHAND
DELIVERY_MODE = 7 << 8


@dataclass(frozen=True, slots=True)
class Receiver:
    """An APIC that may accept an interrupt; its destination format is flat, and software has enabled it."""

    state: ApicState
    identity: int
    """The APIC ID."""
    logical: int
    """The logical ID in xAPIC mode, 8 bits."""
    priority: int = 0
    """The processor priority (PPR)."""

    def accepts(self, destination: int, *, logical: bool) -> bool:
        """Return True if a destination, as the sender wrote it, means this APIC."""
        x2apic = self.state is ApicState.X2APIC
        if not logical:
            return destination in (self.identity, broadcast(self.state))
        if not x2apic:
            return bool(destination & 0xFF & self.logical)
        own = x2apic_ldr(self.identity)
        return own >> 16 == destination >> 16 and bool(own & destination & 0xFFFF)


def broadcast(state: ApicState) -> int:
    """Return the physical destination that means every APIC in a state."""
    return 0xFFFFFFFF if state is ApicState.X2APIC else 0xFF


def x2apic_ldr(identity: int) -> int:
    """Return the logical destination register of an APIC in x2APIC mode."""
    return (identity & ~0xF) << 12 | 1 << (identity & 0xF)


def receivers(icr: int, destination: int, sender: int, apics: Sequence[Receiver]) -> frozenset[int]:
    """Return which of the APICs, by their places, a fixed interrupt reaches, or one of which gets it.

    Of a lowest-priority interrupt exactly one APIC of those that are returned gets it.
    """
    matched = [
        number
        for number, apic in enumerate(apics)
        if _matches(icr & SHORTHAND, number == sender)
        or (not icr & SHORTHAND and apic.accepts(destination, logical=bool(icr & LOGICAL)))
    ]
    if icr & DELIVERY_MODE == LOWEST_PRIORITY and matched:
        lowest = min(apics[number].priority for number in matched)
        matched = [number for number in matched if apics[number].priority == lowest]
    return frozenset(matched)


def _matches(shorthand: int, is_sender: bool) -> bool:
    if shorthand == DEST_SELF:
        return is_sender
    return shorthand == DEST_ALLINC or (shorthand == ALL_BUT_SELF and not is_sender)
