"""What was read from a VMCS: the controls the processor really gets, not a deduction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from xenapic.apic.controls import Controls, ControlWords
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass

__all__ = ["Measurement", "VcpuControls"]


@dataclass(frozen=True, slots=True)
class VcpuControls:
    """The controls in force on a vCPU of a domain."""

    vcpu: int
    apic_base: int
    """The vCPU's IA32_APIC_BASE, from its LAPIC record."""
    words: ControlWords | None
    """None if the vCPU has none; `why_not` gives the reason."""
    why_not: str = ""

    @property
    def state(self) -> ApicState:
        """The state of the vCPU's local APIC."""
        return ApicState.from_apic_base(self.apic_base)

    @property
    def controls(self) -> Controls | None:
        """The controls that affect the APIC; None if the vCPU has none."""
        return self.words.controls if self.words else None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What Xen sets for a vCPU in each state of its local APIC, measured on a domain created for this."""

    states: Mapping[ApicState, ControlWords] = field(default_factory=dict)
    """Empty if this host cannot be measured; `why_not` gives the reason."""
    how: str = ""
    """The method of the measurement, in words."""
    why_not: str = ""
    taken_at: int = 0
    """The time of the measurement: seconds since 1970, UTC."""

    @property
    def done(self) -> bool:
        """Whether anything was measured."""
        return bool(self.states)

    @property
    def controls(self) -> Mapping[ApicState, Controls]:
        """The controls that affect the APIC, by state."""
        return {state: words.controls for state, words in self.states.items()}
