"""What was read out of a VMCS: the controls a processor is really told, not what follows from anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xenapic.apic.controls import Controls, ControlWords
from xenapic.apic.state import ApicState

__all__ = ["Measurement", "VcpuControls"]


@dataclass(frozen=True, slots=True)
class VcpuControls:
    """What is in force on one vCPU of a domain."""

    vcpu: int
    apic_base: int
    """The vCPU's IA32_APIC_BASE, from its LAPIC record."""
    words: ControlWords | None
    """None when the vCPU has none; `why_not` says why."""
    why_not: str = ""

    @property
    def state(self) -> ApicState:
        """The state of the vCPU's local APIC."""
        return ApicState.from_apic_base(self.apic_base)

    @property
    def controls(self) -> Controls | None:
        """The controls that bear on the APIC; None when the vCPU has none."""
        return self.words.controls if self.words else None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What Xen sets up for a vCPU in each state of its local APIC, measured on a domain made for it."""

    states: Mapping[ApicState, ControlWords] = field(default_factory=dict)
    """Empty when it cannot be measured on this host; `why_not` says why."""
    how: str = ""
    """How it was measured, in words."""
    why_not: str = ""
    taken_at: int = 0
    """When: seconds since 1970, UTC."""

    @property
    def done(self) -> bool:
        """Whether anything was measured."""
        return bool(self.states)

    @property
    def controls(self) -> Mapping[ApicState, Controls]:
        """The controls that bear on the APIC, per state."""
        return {state: words.controls for state, words in self.states.items()}
