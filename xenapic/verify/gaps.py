"""What an emulator does not do as the processor that it stands for, where a verification would blame Xen."""

from __future__ import annotations

from collections.abc import Callable

from xenapic.apic.controls import Controls
from xenapic.apic.registers import Reg
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.model.acceleration import VcpuApic
from xenapic.probe.findings import Op

__all__ = ["GAPS", "NO_GUEST", "Gap", "gap_of", "no_guest"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Accesses that an emulator lets exit, although the processor would complete them, or in another way."""

    emulator: str
    """The start of its name in recordings."""
    states: frozenset[ApicState]
    op: Op
    offsets: frozenset[int]
    when: Callable[[Controls], bool]
    why: str


def _delivery_alone(controls: Controls) -> bool:
    return controls.has("virtual_interrupt_delivery") and not controls.has("apic_register_virtualization")


GAPS = (
    Gap(
        "bochs",
        frozenset({ApicState.XAPIC}),
        Op.READ,
        frozenset({Reg.EOI, Reg.ICR}),
        _delivery_alone,
        "Bochs 2.7 and 3.0 do not virtualize reads of EOI and ICR without APIC-register virtualization",
    ),
    Gap(
        "bochs",
        frozenset({ApicState.XAPIC, ApicState.X2APIC}),
        Op.WRITE,
        frozenset({Reg.EOI + 1, Reg.EOI + 2, Reg.EOI + 3}),
        _delivery_alone,
        "Bochs 3.0 lets a write behind the first byte of EOI exit afterwards, as one of that byte",
    ),
)
"""Seen on a Xen that runs guests with such controls; no released Xen does."""

NO_GUEST = (
    "Bochs up to 3.0 starts no guest with posted interrupts: it wants a page-aligned descriptor, "
    "the processor one that is aligned to 64 bytes; 'xenapic lab build --for-bochs' suits both"
)


def no_guest(emulator: str, controls: object) -> str:
    """Return why no guest with these controls can start in an emulator; empty if it can."""
    posted = isinstance(controls, Controls) and controls.has("posted_interrupts")
    return NO_GUEST if posted and emulator.startswith("bochs") else ""


def gap_of(emulator: str, vcpu: VcpuApic, op: Op, offset: int) -> Gap | None:
    """Return the gap that explains why an access left the guest; None if none does."""
    controls = vcpu.controls
    for gap in GAPS:
        here = emulator.startswith(gap.emulator) and vcpu.state in gap.states and op is gap.op
        if here and offset in gap.offsets and isinstance(controls, Controls) and gap.when(controls):
            return gap
    return None
