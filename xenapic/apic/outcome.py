"""The terms for an access to the local APIC: what the guest does, and what happens to the access.

Sources: Intel SDM volume 3D, "VMX basic exit reasons"; AMD APM volume 2, appendix C.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum

from xenapic.apic.registers import MSR_X2APIC_FIRST, SLOT_SIZE, SLOTS

__all__ = [
    "Backing",
    "Completion",
    "Kind",
    "MsrBitmap",
    "Operation",
    "Outcome",
    "SvmControls",
    "SvmExit",
    "VmxExit",
    "bits",
    "exit_number",
]


class Operation(Enum):
    """What the guest does."""

    READ = "read"
    WRITE = "write"
    FETCH = "fetch"


class Kind(Enum):
    """What becomes of an access."""

    STAYS = "stays"
    """Completed by the processor; the guest goes on."""
    EXITS_BEFORE = "exits before"
    """Fault-like VM exit: the hypervisor does the access."""
    EXITS_AFTER = "exits after"
    """Trap-like VM exit: the write has reached the virtual-APIC page, the hypervisor completes it."""
    DEPENDS = "depends"
    """On the value written, which was not given: stays or exits after."""
    FAULTS = "faults"
    """The guest gets #GP(0) without a VM exit."""
    MEMORY = "memory"
    """Reads or writes plain memory: no APIC is behind it."""
    PHYSICAL = "physical"
    """Reaches the processor's own APIC: the hypervisor must never let this happen."""
    UNKNOWN = "unknown"

    @property
    def leaves(self) -> bool:
        """Whether the guest is left."""
        return self in (Kind.EXITS_BEFORE, Kind.EXITS_AFTER)


class Completion(Enum):
    """What the processor does to complete an access that stays (SDM: the virtualization of that name)."""

    READ = "read of the virtual-APIC page"
    TPR = "TPR virtualization"
    EOI = "EOI virtualization"
    SELF_IPI = "self-IPI virtualization"
    IPI = "IPI virtualization"
    ICR_HIGH = "write of the virtual-APIC page, bytes 2:0 cleared"


class VmxExit(IntEnum):
    """Basic exit reasons that APIC accesses end in (SDM volume 3D, "VMX basic exit reasons")."""

    CR_ACCESS = 28
    RDMSR = 31
    WRMSR = 32
    TPR_BELOW_THRESHOLD = 43
    APIC_ACCESS = 44
    VIRTUALIZED_EOI = 45
    EPT_VIOLATION = 48
    APIC_WRITE = 56


class SvmExit(IntEnum):
    """#VMEXIT codes that APIC accesses end in (APM volume 2, appendix C)."""

    CR8_READ = 0x08
    CR8_WRITE = 0x18
    MSR = 0x7C
    NPF = 0x400


class Backing(Enum):
    """What lies behind the APIC page where VMX takes no notice of it: EPT decides."""

    MEMORY = "memory"
    """A page of memory is mapped there."""
    ABSENT = "absent"
    """Nothing is mapped: the access ends in an EPT violation (a nested page fault on AMD)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of an access, and by what."""

    kind: Kind
    completion: Completion | None = None
    reason: VmxExit | SvmExit | None = None
    """Why the guest is left; for `Kind.DEPENDS` why it would be."""
    may_exit: tuple[VmxExit, ...] = ()
    """Exits that the completion can end in: TPR below threshold, virtualized EOI."""
    note: str = ""

    def __str__(self) -> str:
        parts = [self.kind.value]
        if self.completion is not None:
            parts.append(self.completion.value)
        if self.reason is not None:
            parts.append(f"{self.reason.name} ({exit_number(self.reason)})")
        if self.may_exit:
            parts.append("may end in " + ", ".join(f"{one.name} ({one.value})" for one in self.may_exit))
        return "; ".join(filter(None, [*parts, self.note]))


def exit_number(reason: VmxExit | SvmExit) -> str:
    """Return an exit reason's number as its manual writes it: decimal for VMX, hexadecimal for SVM."""
    return str(reason.value) if isinstance(reason, VmxExit) else f"{reason.value:#x}"


def bits(offsets: Iterable[int]) -> int:
    """Return the word of an `MsrBitmap` in which the MSRs of these registers are set."""
    return sum(1 << offset // SLOT_SIZE for offset in set(offsets))


ALL = bits(SLOTS)


@dataclass(frozen=True, slots=True)
class MsrBitmap:
    """Which x2APIC MSRs are intercepted: bit n of a word stands for MSR 800H + n."""

    read: int = ALL
    write: int = ALL

    def intercepts(self, msr: int, operation: Operation) -> bool:
        """Tell whether an access to an MSR exits by the bitmap."""
        word = self.read if operation is Operation.READ else self.write
        return bool(word >> (msr - MSR_X2APIC_FIRST) & 1)


@dataclass(frozen=True, slots=True)
class SvmControls:
    """AMD's part: which of the two is switched on in the VMCB."""

    avic: bool = False
    x2avic: bool = False
