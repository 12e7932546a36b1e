"""The measurements of the probe guest, as values."""

from __future__ import annotations

from enum import Enum

from xenapic.apic.registers import Reg
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass

__all__ = [
    "PERIODS",
    "Access",
    "Calibration",
    "Delivery",
    "DeliveryKind",
    "Findings",
    "Move",
    "Op",
    "ProbeOutcome",
]

PERIODS = 3
"""How many interrupts of a periodic timer the guest waits for."""


class Op(Enum):
    """Direction of an access, in the words of recordings."""

    READ = "read"
    WRITE = "write"
    FETCH = "fetch"


class ProbeOutcome(Enum):
    """Outcome of an access."""

    STAYS = "stays"
    """It cost less than half of a known exit, so the guest was not left."""
    LEAVES = "leaves"
    FAULTS = "faults"
    """It raised an exception in the guest; `Findings.left` tells whether Xen raised it."""


@dataclass(frozen=True, slots=True)
class Access:
    """An access made several times, with interrupts off; ``ticks`` has one number for each try."""

    offset: int
    """Offset of the register in the xAPIC page, in both modes."""
    op: Op
    value: int
    """What the last read returned (0 when it faulted), or what was written."""
    ticks: tuple[int, ...]
    """TSC ticks of each try, including the overhead of reading the TSC (`Calibration.overhead`)."""
    fault: int | None = None
    """Vector of the exception that the last access raised."""
    error_code: int = 0
    """The exception's error code."""
    width: int = 32
    """In bits, of an access to the page."""

    @property
    def ticks_min(self) -> int:
        """Ticks of the cheapest try; the others were disturbed."""
        return min(self.ticks)

    @property
    def ticks_mean(self) -> float:
        """Mean of all tries."""
        return sum(self.ticks) / len(self.ticks)


@dataclass(frozen=True, slots=True)
class Calibration:
    """The cost of known operations in this guest, in TSC ticks; each is the cheapest of several tries."""

    overhead: int
    """Reading the TSC twice, with nothing between; large where Xen emulates RDTSC."""
    memory: int
    """A read or a write of plain memory, whichever costs more; includes `overhead`."""
    exit: int
    """CPUID, which always exits; includes `overhead`."""

    @property
    def threshold(self) -> int:
        """An access that costs at least this much has left the guest; includes `overhead`."""
        return (self.memory + self.exit) // 2

    @property
    def clear(self) -> bool:
        """Whether an exit costs several times as much as plain memory, so that the cost is conclusive."""
        return self.exit - self.overhead > 4 * max(1, abs(self.memory - self.overhead))


class DeliveryKind(Enum):
    """How the guest requested an interrupt."""

    SELF_IPI_MSR = "self-ipi-msr"
    """WRMSR of the self-IPI register, 0x83F; only in x2APIC mode."""
    ICR_SELF = "icr-self"
    """The ICR, fixed, shorthand self."""
    ICR_ALL = "icr-all"
    """The ICR, fixed, shorthand all including self."""
    TIMER = "timer"
    """The APIC timer, one-shot, about a millisecond."""
    TIMER_PERIODIC = "timer-periodic"
    """The same, again and again."""
    TSC_DEADLINE = "tsc-deadline"
    """The APIC timer, when the TSC reaches a value."""

    @property
    def repeats(self) -> bool:
        """Whether it goes on arriving: `PERIODS` times or more."""
        return self is DeliveryKind.TIMER_PERIODIC


@dataclass(frozen=True, slots=True)
class Delivery:
    """An interrupt that the guest requested, and how often it arrived once interrupts were on."""

    kind: DeliveryKind
    vector: int
    arrivals: int
    """How often it arrived; 1 is correct, `PERIODS` or more for one that repeats."""
    ticks: int
    """TSC ticks from when interrupts were on until it arrived, or until the guest gave up."""
    fault: int | None = None
    """Vector of the exception that the request raised."""


@dataclass(frozen=True, slots=True)
class Move:
    """An attempt to move the APIC to 0xFED00000 by a write of IA32_APIC_BASE, undone afterwards."""

    asked: int
    """The value written."""
    fault: int | None
    """Vector of the exception that it raised."""
    apic_base: int
    """IA32_APIC_BASE afterwards."""
    version: Access
    """A read of the version register afterwards: at the new address, or by MSR in x2APIC mode."""


@dataclass(frozen=True, slots=True)
class Findings:
    """All measurements of one run of the probe guest, in one state of its local APIC."""

    state: ApicState
    cpuid_1_ecx: int
    hypervisor_leaf: int | None
    """Number of Xen's first CPUID leaf: 0x40000000, or 0x40000100 with Viridian; None if there is none."""
    cpuid_apic: int | None
    """EAX of Xen's leaf 4, whose bits advertise APIC virtualization."""
    apic_base: int
    """IA32_APIC_BASE as the guest reads it."""
    calibration: Calibration
    accesses: tuple[Access, ...]
    """The accesses of recordings, in order: by MSR in x2APIC mode, otherwise at the APIC's base."""
    extra: tuple[Access, ...]
    """Accesses to all other registers in the same way, including reserved, read-only and write-only ones."""
    page: tuple[Access, ...]
    """At 0xFEE00000, whatever the state: read the version, overwrite it, read it, write 0 over it."""
    msrs: tuple[Access, ...]
    """A few accesses to x2APIC MSRs, whatever the state."""
    cr8: tuple[Access, ...]
    """MOV from CR8, to CR8 with a reserved bit, to CR8 (2), and from CR8; ``offset`` is TASKPRI's."""
    cr8_in_tpr: Access | None
    """A read of TASKPRI, as the state requires, while CR8 is 2; None when the APIC is disabled."""
    unusual: tuple[Access, ...]
    """Accesses to the page at 0xFEE00000 in other widths, at other places, across registers, and a fetch."""
    deliveries: tuple[Delivery, ...]
    """Interrupts; the guest requests none when the APIC is disabled."""
    move: Move

    def left(self, access: Access) -> bool:
        """Return True if an access left the guest, by its cost; if it faulted, if Xen raised the fault."""
        return access.ticks_min >= self.calibration.threshold

    def outcome(self, access: Access) -> ProbeOutcome:
        """Return the outcome of an access."""
        if access.fault is not None:
            return ProbeOutcome.FAULTS
        return ProbeOutcome.LEAVES if self.left(access) else ProbeOutcome.STAYS

    def cost(self, access: Access) -> float:
        """Return the mean cost of an access in TSC ticks, without the overhead of reading the TSC."""
        return max(0.0, access.ticks_mean - self.calibration.overhead)

    @property
    def version(self) -> int:
        """The APIC's version register, read as the state requires; 0 if no APIC answers."""
        return next(access.value for access in self.accesses if access.offset == Reg.LVR)

    @property
    def page_is_memory(self) -> bool:
        """Whether the page at 0xFEE00000 kept what was written over its version register."""
        _, written, again, _ = self.page
        return again.fault is None and again.value == written.value
