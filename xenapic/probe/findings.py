"""What the probe guest found. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from xenapic.apic.registers import Reg
from xenapic.apic.state import ApicState

__all__ = ["Access", "Calibration", "Delivery", "DeliveryKind", "Findings", "Move", "Op", "ProbeOutcome"]

GP_FAULT = 13


class Op(Enum):
    """Direction of an access; the names are those of the recordings."""

    READ = "read"
    WRITE = "write"


class ProbeOutcome(Enum):
    """What became of an access."""

    STAYS = "stays"
    """It cost less than half of a known exit: the guest was not left."""
    LEAVES = "leaves"
    FAULTS = "faults"
    """It raised an exception in the guest; whether Xen did, `Findings.left` tells."""


@dataclass(frozen=True, slots=True)
class Access:
    """One kind of access, made as often as there are ``ticks``, with interrupts off."""

    offset: int
    """The register's offset in the xAPIC page, in both modes."""
    op: Op
    value: int
    """What the last read returned (0 when it faulted), or what was written."""
    ticks: tuple[int, ...]
    """TSC ticks of each access, with what it takes to read the TSC (`Calibration.overhead`)."""
    fault: int | None = None
    """Vector of the exception that the last access raised."""
    error_code: int = 0
    """The exception's error code."""

    @property
    def ticks_min(self) -> int:
        """The cheapest access: what the others cost more is somebody else's doing."""
        return min(self.ticks)

    @property
    def ticks_mean(self) -> float:
        """The mean."""
        return sum(self.ticks) / len(self.ticks)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What known things cost in this guest, in TSC ticks: the cheapest of several tries each."""

    overhead: int
    """Reading the TSC twice, and nothing between; large where Xen emulates RDTSC."""
    memory: int
    """A read or a write of plain memory, whichever costs more; `overhead` included."""
    exit: int
    """CPUID, which always leaves the guest; `overhead` included."""

    @property
    def threshold(self) -> int:
        """What an access must cost at least to have left the guest; `overhead` included."""
        return (self.memory + self.exit) // 2

    @property
    def clear(self) -> bool:
        """Whether an exit can be told from none: it costs several times as much."""
        return self.exit - self.overhead > 4 * max(1, abs(self.memory - self.overhead))


class DeliveryKind(Enum):
    """How an interrupt was asked for."""

    SELF_IPI_MSR = "self-ipi-msr"
    """WRMSR of the self-IPI register, 0x83F; only in x2APIC mode."""
    ICR_SELF = "icr-self"
    """The ICR, fixed, shorthand self."""
    ICR_ALL = "icr-all"
    """The ICR, fixed, shorthand all including self."""
    TIMER = "timer"
    """The APIC timer, one shot of about a millisecond."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Whether an interrupt that the guest asked for came once interrupts were on."""

    kind: DeliveryKind
    vector: int
    arrivals: int
    """How often it came; 1 is right."""
    ticks: int
    """TSC ticks from interrupts on to its arrival, or to when the guest gave up."""
    fault: int | None = None
    """Vector of the exception that asking for it raised."""


@dataclass(frozen=True, slots=True)
class Move:
    """An attempt to move the APIC to 0xFED00000 by a write of IA32_APIC_BASE, undone afterwards."""

    asked: int
    """The value written."""
    fault: int | None
    """Vector of the exception that it raised."""
    apic_base: int
    """What IA32_APIC_BASE held afterwards."""
    version: Access
    """A read of the version register after it: at the new place, or as an MSR in x2APIC mode."""


@dataclass(frozen=True, slots=True)
class Findings:
    """All that one run of the probe guest found, in one state of its local APIC."""

    state: ApicState
    cpuid_1_ecx: int
    hypervisor_leaf: int | None
    """Where Xen's CPUID leaves begin: 0x40000000, or 0x40000100 under Viridian; None without any."""
    cpuid_apic: int | None
    """EAX of Xen's leaf 4, with the bits that advertise APIC virtualization."""
    apic_base: int
    """IA32_APIC_BASE as the guest reads it."""
    calibration: Calibration
    accesses: tuple[Access, ...]
    """The accesses of the recordings, in their order: MSRs in x2APIC mode, otherwise at the APIC's base."""
    extra: tuple[Access, ...]
    """All other registers, made the same way, among them reserved, read-only and write-only ones."""
    page: tuple[Access, ...]
    """At 0xFEE00000: version, a pattern over it, version, 0 over it, whatever the state is."""
    msrs: tuple[Access, ...]
    """A few x2APIC MSRs, in every state."""
    deliveries: tuple[Delivery, ...]
    """Interrupts; none are asked for when the APIC is disabled."""
    move: Move

    def left(self, access: Access) -> bool:
        """Tell whether an access left the guest, by its cost; if it faulted, whether Xen raised the fault."""
        return access.ticks_min >= self.calibration.threshold

    def outcome(self, access: Access) -> ProbeOutcome:
        """Tell what became of an access."""
        if access.fault is not None:
            return ProbeOutcome.FAULTS
        return ProbeOutcome.LEAVES if self.left(access) else ProbeOutcome.STAYS

    def cost(self, access: Access) -> float:
        """Return the mean cost of an access in TSC ticks, reading the TSC not included."""
        return max(0.0, access.ticks_mean - self.calibration.overhead)

    @property
    def version(self) -> int:
        """The APIC's version register, read the way the state asks for; 0 of one that is not there."""
        return next(one.value for one in self.accesses if one.offset == Reg.LVR)

    @property
    def page_is_memory(self) -> bool:
        """Whether the page at 0xFEE00000 held what was written over its version register."""
        _, written, again, _ = self.page
        return again.fault is None and again.value == written.value
