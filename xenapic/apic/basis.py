"""Where the manual says what happens to an access: the section that decides an outcome. Pure data.

Sources: Intel SDM volume 3C; AMD APM volume 2.
"""

from __future__ import annotations

from xenapic.apic.outcome import Completion, Kind, Operation, Outcome, SvmExit, VmxExit
from xenapic.apic.state import ApicState

__all__ = ["basis"]

READS, WRITES = "Reads from the APIC-access page", "Writes to the APIC-access page"
MSRS = "SDM volume 3C, Virtualizing MSR-based APIC accesses"
COMPLETED = {
    Completion.TPR: "TPR virtualization",
    Completion.EOI: "EOI virtualization",
    Completion.SELF_IPI: "Self-IPI virtualization",
    Completion.IPI: "IPI virtualization",
    Completion.ICR_HIGH: "APIC-write emulation",
}
"""The section about what completes an access, next to the one that virtualizes it."""
EXITS = {
    VmxExit.RDMSR: "SDM volume 3C, MSR-bitmap address; Instructions that cause VM exits conditionally: RDMSR",
    VmxExit.WRMSR: "SDM volume 3C, MSR-bitmap address; Instructions that cause VM exits conditionally: WRMSR",
    VmxExit.EPT_VIOLATION: "SDM volume 3C, EPT violations (shadow paging: a page fault)",
    SvmExit.MSR: "APM volume 2, MSR intercepts",
    SvmExit.NPF: "APM volume 2, Nested paging (shadow paging: a page fault)",
}
"""By the exit that decides, before anything is virtualized."""
EPT = "SDM volume 3C, Translation and access rights of EPT: VMX does not virtualize the page in this state"


def basis(outcome: Outcome, state: ApicState, operation: Operation) -> str:
    """Return the section of the manual that an outcome rests on; empty where it rests on an unknown fact."""
    if outcome.kind in (Kind.UNKNOWN, Kind.PHYSICAL):
        return ""
    if outcome.kind is Kind.MEMORY:
        return EPT
    if outcome.reason in EXITS:
        return EXITS[outcome.reason]
    if state is ApicState.X2APIC:
        section = MSRS
    else:
        way = READS if operation is Operation.READ else WRITES
        section = f"SDM volume 3C, Virtualizing memory-mapped APIC accesses: {way}"
    if outcome.kind is Kind.EXITS_AFTER:
        return f"{section}; APIC-write VM exits"
    completed = COMPLETED.get(outcome.completion) if outcome.completion else None
    return f"{section}; {completed}" if completed else section
