"""Judge a VM exit: which APIC register caused it, and whether acceleration would remove it.

Xen's trace gives the reason of each exit. The register, if it can be known at all, follows from what Xen
records while it handles the exit (`Clues`):

======================================  =========================================================
exit                                    what shows the register
======================================  =========================================================
APIC access (44)                        the emulated access (``IOMEM_READ``/``_WRITE``: address,
                                        direction, value); ``VLAPIC`` when Xen uses its shortcut
                                        for a write of EOI
EPT violation (48), NPF (0x400)         ``NPF``: guest-physical address, and with VMX the
                                        direction; the emulated access
exception (0), EXCP14 (0x4e)            the emulated access (shadow paging)
RDMSR (31), WRMSR (32), MSR (0x7c)      ``MSR_READ``/``MSR_WRITE``: number and value. 4.15 and 4.16
                                        do not record reads that ``guest_rdmsr`` handles, such as
                                        those of all x2APIC registers: the register is unknown
control-register access (28)            ``CR_READ``/``CR_WRITE``: CR8 is the TPR
CR8_READ (0x8), CR8_WRITE (0x18)        the reason
TPR below threshold (43)                the reason
virtualized EOI (45)                    the reason
APIC write (56)                         nothing: unknown
======================================  =========================================================

An exit without clues is not guessed: its cause is `Cause.UNKNOWN`, or its register None.

Sources, in Xen 4.15 to 4.22: ``hvmtrace_io_assist`` (``hvm/emulate.c``), ``ept_handle_violation``,
``vmx_handle_eoi_write``, ``vmx_vmexit_handler`` (``hvm/vmx/vmx.c``), ``svm_do_nested_pgfault``,
``svm_vmexit_handler`` (``hvm/svm/svm.c``), ``hvm_msr_read_intercept`` (``hvm/hvm.c``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from xenapic.apic.access import access, access_cr8
from xenapic.apic.controls import CONTROLS, Controls
from xenapic.apic.features import Technology
from xenapic.apic.outcome import Kind, Operation
from xenapic.apic.registers import (
    MSR_X2APIC_FIRST,
    MSR_X2APIC_LAST,
    PAGE_SIZE,
    SLOT_SIZE,
    Reg,
    offset_of,
    register,
)
from xenapic.apic.state import APIC_DEFAULT_PHYS_BASE, ApicState
from xenapic.model.acceleration import SVM, domain_choice, host_controls, vcpu_apic
from xenapic.model.releases import XEN_RELEASES

__all__ = ["APIC_MSRS", "VALUE_MATTERS", "Cause", "Clues", "ExitKind", "Removable", "judge_exit"]


class Cause(Enum):
    """What the APIC had to do with an exit."""

    ACCESS = "access"
    """The guest used a register of its APIC, or a value that it wrote caused the exit."""
    DELIVERY = "delivery"
    """Xen waited until the guest could take an interrupt."""
    OTHER = "other"
    """Nothing. External interrupts count here: posted interrupts would remove some of them, but no record
    distinguishes these from the host's own."""
    UNKNOWN = "unknown"


class Removable(Enum):
    """Whether the exit would not occur if Xen could use all of Intel's APIC acceleration."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Clues:
    """What Xen recorded about an exit while handling it; None where it recorded nothing."""

    technology: Technology
    reason: int
    address: int | None = None
    """Guest-physical address of the first emulated access to memory."""
    page_fault: int | None = None
    """Guest-physical address that the EPT or nested page tables did not allow."""
    operation: Operation | None = None
    msr: int | None = None
    control_register: int | None = None
    value: int | None = None
    """The value written, by a memory access or WRMSR."""
    eoi: bool = False
    """Xen used its shortcut for a write of EOI."""


@dataclass(frozen=True, slots=True)
class ExitKind:
    """A kind of exit: those with one reason at one register."""

    technology: Technology
    reason: int
    """Basic exit reason (VMX) or exit code (SVM)."""
    cause: Cause
    register: str | None = None
    """Xen's symbol (`xenapic.apic.registers.Register`), ``"040H"`` for a reserved slot, or the name of
    another MSR that concerns the APIC; None for an unknown register or none."""
    operation: Operation | None = None
    removable: Removable = Removable.NO


# -- what acceleration could do ------------------------------------------------------------------------

EVERYTHING = Controls.of(*CONTROLS)
NEWEST = XEN_RELEASES[-1]
HOST = host_controls(NEWEST, EVERYTHING)
CHOICE = domain_choice(NEWEST, HOST, 0)
FULL = {state: vcpu_apic(HOST, CHOICE, state) for state in (ApicState.XAPIC, ApicState.X2APIC)}
"""What the newest Xen sets up on a processor with every feature."""

VERDICTS = {Kind.STAYS: Removable.YES, Kind.DEPENDS: Removable.UNKNOWN, Kind.UNKNOWN: Removable.UNKNOWN}
"""Accesses of all other kinds exit, or never reach the APIC: acceleration removes nothing."""


def _removable(state: ApicState, address: int, operation: Operation | None, value: int | None) -> Removable:
    if operation is None or address % SLOT_SIZE:  # the width of the access is not recorded
        return Removable.UNKNOWN
    full = FULL[state]
    outcome = access(full.controls, state, full.bitmap, address, operation, value=value)
    return VERDICTS.get(outcome.kind, Removable.NO)


VALUE_MATTERS = (Reg.TASKPRI, Reg.EOI, Reg.ICR, Reg.SELF_IPI)
"""Registers for which the value written decides whether the write stays, exits or faults."""


# -- judging one exit ---------------------------------------------------------------------------------

OTHER_MSRS = {
    0x1B: ("APIC_BASE", Removable.NO),
    0x6E0: ("TSC_DEADLINE", Removable.NO),
    0x40000070: ("HV_X64_MSR_EOI", Removable.UNKNOWN),
    0x40000071: ("HV_X64_MSR_ICR", Removable.UNKNOWN),
    0x40000072: ("HV_X64_MSR_TPR", Removable.UNKNOWN),
}
"""MSRs outside 800H to 8FFH that concern the APIC. Acceleration changes which of Viridian's MSRs a guest is
advised to use; whether it follows the advice is unknown."""
APIC_MSRS = frozenset((*range(MSR_X2APIC_FIRST, MSR_X2APIC_LAST + 1), *OTHER_MSRS))


def _symbol(offset: int) -> str:
    return register(offset).symbol or f"{offset:03X}H"


def judge_exit(clues: Clues) -> ExitKind:
    """Return the kind of an exit, as far as its records show it."""
    rule = RULES.get((clues.technology, clues.reason))
    if rule is None:
        return ExitKind(clues.technology, clues.reason, Cause.OTHER)
    return rule(clues)


def _kind(
    clues: Clues,
    cause: Cause,
    symbol: str | None = None,
    operation: Operation | None = None,
    removable: Removable = Removable.UNKNOWN,
) -> ExitKind:
    return ExitKind(clues.technology, clues.reason, cause, symbol, operation, removable)


def _other(clues: Clues) -> ExitKind:
    return ExitKind(clues.technology, clues.reason, Cause.OTHER)


def _in_page(address: int | None) -> int | None:
    """Return the offset in the page at the default base, None outside it; no other base is recognised."""
    if address is None or not 0 <= address - APIC_DEFAULT_PHYS_BASE < PAGE_SIZE:
        return None
    return address - APIC_DEFAULT_PHYS_BASE


def _at(clues: Clues, address: int) -> ExitKind:
    """Judge an access to the page by its offset."""
    if clues.technology is Technology.SVM:
        removable = Removable.UNKNOWN  # AVIC might remove it, but no Xen uses AVIC, and it is not modelled
    else:
        removable = _removable(ApicState.XAPIC, address, clues.operation, clues.value)
    return _kind(clues, Cause.ACCESS, _symbol(address - address % SLOT_SIZE), clues.operation, removable)


def _apic_access(clues: Clues) -> ExitKind:
    if clues.eoi:
        clues.operation = Operation.WRITE
        return _at(clues, Reg.EOI)
    offset = _in_page(clues.address)
    return _kind(clues, Cause.ACCESS) if offset is None else _at(clues, offset)


def _page_fault(clues: Clues) -> ExitKind:
    for address in (clues.address, clues.page_fault):
        offset = _in_page(address)
        if offset is not None:
            return _at(clues, offset)
    if clues.page_fault is None and clues.address is None:
        return _kind(clues, Cause.UNKNOWN)
    return _other(clues)


def _exception(clues: Clues) -> ExitKind:
    offset = _in_page(clues.address)
    return _other(clues) if offset is None else _at(clues, offset)


MSR_OPERATION = {31: Operation.READ, 32: Operation.WRITE}


def _msr(clues: Clues) -> ExitKind:
    if clues.msr is None:
        operation = MSR_OPERATION.get(clues.reason) if clues.technology is Technology.VMX else None
        return _kind(clues, Cause.UNKNOWN, None, operation)
    if clues.msr in OTHER_MSRS:
        symbol, removable = OTHER_MSRS[clues.msr]
        return _kind(clues, Cause.ACCESS, symbol, clues.operation, removable)
    if clues.msr not in APIC_MSRS:
        return _other(clues)
    offset, removable = offset_of(clues.msr), Removable.UNKNOWN
    if clues.technology is Technology.VMX:
        removable = _removable(ApicState.X2APIC, offset, clues.operation, clues.value)
    return _kind(clues, Cause.ACCESS, _symbol(offset), clues.operation, removable)


def _control_register(clues: Clues) -> ExitKind:
    if clues.control_register is None:
        return _kind(clues, Cause.UNKNOWN)
    if clues.control_register != 8 or clues.operation is None:
        return _other(clues)
    return _cr8(clues, clues.operation)


def _cr8(clues: Clues, operation: Operation) -> ExitKind:
    controls = FULL[ApicState.XAPIC].controls if clues.technology is Technology.VMX else SVM
    kind = access_cr8(controls, operation).kind
    return _kind(clues, Cause.ACCESS, Reg.TASKPRI.name, operation, VERDICTS.get(kind, Removable.NO))


def _fixed(
    cause: Cause,
    symbol: str | None = None,
    operation: Operation | None = None,
    removable: Removable = Removable.UNKNOWN,
) -> Callable[[Clues], ExitKind]:
    return lambda clues: _kind(clues, cause, symbol, operation, removable)


VMX, SVM_TECHNOLOGY = Technology.VMX, Technology.SVM

RULES: dict[tuple[Technology, int], Callable[[Clues], ExitKind]] = {
    (VMX, 0): _exception,
    (VMX, 7): _fixed(Cause.DELIVERY),
    (VMX, 28): _control_register,
    (VMX, 31): _msr,
    (VMX, 32): _msr,
    # With virtual-interrupt delivery the processor ignores the threshold.
    (VMX, 43): _fixed(Cause.ACCESS, Reg.TASKPRI.name, Operation.WRITE, Removable.YES),
    (VMX, 44): _apic_access,
    # Xen requests this exit, for an interrupt whose end it must see.
    (VMX, 45): _fixed(Cause.ACCESS, Reg.EOI.name, Operation.WRITE, Removable.NO),
    (VMX, 48): _page_fault,
    # With virtual-interrupt delivery these exits remain; without it, some of them may be EOI.
    (VMX, 56): _fixed(Cause.ACCESS, None, Operation.WRITE),
    (SVM_TECHNOLOGY, 0x08): lambda clues: _cr8(clues, Operation.READ),
    (SVM_TECHNOLOGY, 0x18): lambda clues: _cr8(clues, Operation.WRITE),
    (SVM_TECHNOLOGY, 0x4E): _exception,
    (SVM_TECHNOLOGY, 0x64): _fixed(Cause.DELIVERY),
    (SVM_TECHNOLOGY, 0x7C): _msr,
    (SVM_TECHNOLOGY, 0x400): _page_fault,
    (SVM_TECHNOLOGY, 0x401): _fixed(Cause.ACCESS, Reg.ICR.name, Operation.WRITE),
    (SVM_TECHNOLOGY, 0x402): _fixed(Cause.ACCESS),
}
"""How an exit is judged; a reason that is not in this table has nothing to do with the APIC."""
