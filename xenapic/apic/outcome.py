"""The terms for an access to the local APIC: what the guest does and what happens to the access.

Sources: Intel SDM volume 3D, "VMX basic exit reasons"; AMD APM volume 2, appendix C.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, IntEnum

from xenapic.apic.registers import MSR_X2APIC_FIRST, SLOT_SIZE, SLOTS
from xenapic.frozen import dataclass

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
    """What happens to an access."""

    STAYS = "stays"
    """The processor completes the access and the guest continues."""
    EXITS_BEFORE = "exits before"
    """Fault-like VM exit: the hypervisor performs the access."""
    EXITS_AFTER = "exits after"
    """Trap-like VM exit: the write has reached the virtual-APIC page and the hypervisor completes it."""
    DEPENDS = "depends"
    """The access stays or exits after, depending on the value written, which was not given."""
    FAULTS = "faults"
    """The guest gets #GP(0) without a VM exit."""
    MEMORY = "memory"
    """The access reads or writes plain memory; there is no APIC behind the address."""
    PHYSICAL = "physical"
    """The access reaches the processor's own APIC. A hypervisor must never allow this."""
    UNKNOWN = "unknown"

    @property
    def leaves(self) -> bool:
        """Whether the access causes a VM exit."""
        return self in (Kind.EXITS_BEFORE, Kind.EXITS_AFTER)


class Completion(Enum):
    """What the processor does to complete an access that stays, by the SDM's name for it."""

    READ = "read of the virtual-APIC page"
    TPR = "TPR virtualization"
    EOI = "EOI virtualization"
    SELF_IPI = "self-IPI virtualization"
    IPI = "IPI virtualization"
    ICR_HIGH = "write of the virtual-APIC page, bytes 2:0 cleared"


class VmxExit(IntEnum):
    """Basic exit reasons of APIC accesses (SDM volume 3D, "VMX basic exit reasons")."""

    CR_ACCESS = 28
    RDMSR = 31
    WRMSR = 32
    TPR_BELOW_THRESHOLD = 43
    APIC_ACCESS = 44
    VIRTUALIZED_EOI = 45
    EPT_VIOLATION = 48
    APIC_WRITE = 56


class SvmExit(IntEnum):
    """#VMEXIT codes of APIC accesses (APM volume 2, appendix C)."""

    CR8_READ = 0x08
    CR8_WRITE = 0x18
    MSR = 0x7C
    NPF = 0x400


class Backing(Enum):
    """What is behind the APIC page where VMX does not virtualize it and EPT decides."""

    MEMORY = "memory"
    """A page of memory is mapped there."""
    ABSENT = "absent"
    """Nothing is mapped: the access causes an EPT violation (a nested page fault on AMD)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happens to an access, and by which mechanism."""

    kind: Kind
    completion: Completion | None = None
    reason: VmxExit | SvmExit | None = None
    """The exit reason; for `Kind.DEPENDS`, the reason if the access exits."""
    may_exit: tuple[VmxExit, ...] = ()
    """Exits that the completion itself can cause: TPR below threshold, virtualized EOI."""
    note: str = ""

    def __str__(self) -> str:
        parts = [self.kind.value]
        if self.completion is not None:
            parts.append(self.completion.value)
        if self.reason is not None:
            parts.append(f"{self.reason.name} ({exit_number(self.reason)})")
        if self.may_exit:
            exits = (f"{reason.name} ({reason.value})" for reason in self.may_exit)
            parts.append("may end in " + ", ".join(exits))
        return "; ".join(filter(None, [*parts, self.note]))


def exit_number(reason: VmxExit | SvmExit) -> str:
    """Return an exit reason's number the way its manual writes it: decimal for VMX, hexadecimal for SVM."""
    return str(reason.value) if isinstance(reason, VmxExit) else f"{reason.value:#x}"


def bits(offsets: Iterable[int]) -> int:
    """Return a word of an `MsrBitmap` with the bits of these registers set."""
    return sum(1 << offset // SLOT_SIZE for offset in set(offsets))


ALL = bits(SLOTS)


@dataclass(frozen=True, slots=True)
class MsrBitmap:
    """The x2APIC MSRs that are intercepted: bit n of a word stands for MSR 800H + n."""

    read: int = ALL
    write: int = ALL

    def intercepts(self, msr: int, operation: Operation) -> bool:
        """Return True if the bitmap makes an access to an MSR exit."""
        word = self.read if operation is Operation.READ else self.write
        return bool(word >> (msr - MSR_X2APIC_FIRST) & 1)


@dataclass(frozen=True, slots=True)
class SvmControls:
    """AMD's counterpart: the features that are turned on in the VMCB."""

    avic: bool = False
    x2avic: bool = False
