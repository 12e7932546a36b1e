"""What a recording is to have."""

from __future__ import annotations

from dataclasses import replace

from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.verify.select import selection_of

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What to record, and the names to record it under."""

    processor: str = ""
    """Name in the table of processors; predictions then rest on that row instead of on Xen's log."""
    emulator: str = ""
    states: tuple[ApicState, ...] = tuple(ApicState)
    refusals: bool = False
    """Also send creates that Xen refuses early; each may cost the host a domain number until reboot."""
    probe: bool = True
    """Run the probe guest."""
    pairs: bool = True
    """Run it with two vCPUs, too."""
    levels: bool = True
    """Run an HVM guest with a level-triggered interrupt, too."""
    hints: bool = True
    """Read Viridian's leaves, where each domain can choose its controls."""
    trace: bool = False
    """Also count the probe's VM exits in Xen's trace; its buffers stay allocated until reboot."""
    creates: bool = True
    vmcs: bool = True
    registers: frozenset[int] = frozenset()
    """Offsets of the registers that the probe accesses; empty for all."""
    fetch: bool = False
    """Fetch code from the APIC page in every state, also on Intel: Bochs ends there."""

    requests: tuple[int, ...] = ()
    """The ``misc_flags`` of the domains; empty for one domain for each set that can be in force."""

    def part(self, select: str) -> Settings:
        """Return the settings for the selected part (`xenapic.verify.select`); raise `NameUnknown`."""
        chosen = selection_of(select)
        if not chosen:
            return self
        return replace(
            self,
            states=tuple(state for state in self.states if state in (chosen.states or self.states)),
            creates=chosen.wants("create"),
            vmcs=chosen.wants("vmcs"),
            probe=self.probe and chosen.guests,
            pairs=self.pairs and chosen.wants("interrupt"),
            levels=self.levels and chosen.wants("interrupt"),
            hints=self.probe and chosen.wants("cpuid"),
            trace=self.trace and chosen.wants("exits"),
            registers=chosen.registers,
            requests=chosen.requests,
        )
