"""What happens when a guest accesses its local APIC: the access stays, exits, or misses the APIC.

A guest can reach its APIC in three ways, and different controls govern each: through the page
(`access_page`), the MSRs 800H to 8FFH (`access_msr`) and CR8 (`access_cr8`). `access` picks the
way that fits the APIC's mode. The tables below are the SDM's; no other module decides this.

Sources: Intel SDM volume 3C, "Virtualizing CR8-based TPR accesses", "Virtualizing
memory-mapped APIC accesses" (reads, writes, APIC-write emulation, APIC-write VM exits),
"Virtualizing MSR-based APIC accesses"; AMD APM volume 2, "Nested paging", "MSR intercepts".
"""

from __future__ import annotations

from xenapic.apic.controls import Controls, effective
from xenapic.apic.outcome import (
    Backing,
    Completion,
    Kind,
    MsrBitmap,
    Operation,
    Outcome,
    SvmControls,
    SvmExit,
    VmxExit,
)
from xenapic.apic.registers import (
    BITMAPS,
    DEST_SELF,
    LVT,
    Reg,
    msr_of,
    offset_of,
)
from xenapic.apic.state import ApicState

__all__ = [
    "access",
    "access_cr8",
    "access_msr",
    "access_page",
    "virtualized_reads",
    "virtualized_writes",
]


# -- the page (xAPIC) ------------------------------------------------------------------------------

READS_WITHOUT_REGISTERS = {False: frozenset({Reg.TASKPRI}), True: frozenset({Reg.TASKPRI, Reg.EOI, Reg.ICR})}
"""Without register virtualization, by whether virtual-interrupt delivery is on. Writes are the same."""
WRITES_WITH_REGISTERS = frozenset(
    {
        *(Reg.ID, Reg.TASKPRI, Reg.EOI, Reg.LDR, Reg.DFR, Reg.SPIV, Reg.ESR, Reg.ICR, Reg.ICR2),
        *(*LVT, Reg.TMICT, Reg.TDCR),
    }
)
READS_WITH_REGISTERS = WRITES_WITH_REGISTERS | {Reg.LVR, *BITMAPS}

WIDEST_BITS = 32


def virtualized_reads(controls: Controls) -> frozenset[int]:
    """Return the offsets of the APIC-access page whose reads the processor virtualizes."""
    if not controls.has("tpr_shadow"):
        return frozenset()
    if controls.has("apic_register_virtualization"):
        return READS_WITH_REGISTERS
    return READS_WITHOUT_REGISTERS[controls.has("virtual_interrupt_delivery")]


def virtualized_writes(controls: Controls) -> frozenset[int]:
    """Return the offsets of the APIC-access page whose writes the processor virtualizes."""
    if not controls.has("tpr_shadow"):
        return frozenset()
    if controls.has("apic_register_virtualization"):
        return WRITES_WITH_REGISTERS
    return READS_WITHOUT_REGISTERS[controls.has("virtual_interrupt_delivery")]


def access_page(
    controls: Controls,
    address: int,
    operation: Operation,
    *,
    width: int = WIDEST_BITS,
    value: int | None = None,
    backing: Backing = Backing.ABSENT,
) -> Outcome:
    """Return what happens to an access to the APIC page.

    ``address`` is the byte offset in the page, ``width`` is in bits, ``value`` is what the guest
    writes (None if not given). ``backing`` matters only where the page is not virtualized.
    """
    controls = effective(controls)
    if not controls.has("virtualize_apic_accesses"):
        return _not_virtualized(backing)
    exits = Outcome(Kind.EXITS_BEFORE, reason=VmxExit.APIC_ACCESS)
    last_byte = address % 16 + width // 8 - 1
    if operation is Operation.FETCH or width > WIDEST_BITS or last_byte >= WIDEST_BITS // 8:
        return exits
    offset, at_start = address & ~0xF, address % 16 == 0
    if not at_start and not controls.has("apic_register_virtualization"):
        return exits
    if operation is Operation.READ:
        stays = offset in virtualized_reads(controls)
        return Outcome(Kind.STAYS, Completion.READ) if stays else exits
    return _page_write(controls, address, value) if offset in virtualized_writes(controls) else exits


def _not_virtualized(backing: Backing) -> Outcome:
    """Return what happens where VMX does not virtualize the page and EPT decides."""
    if backing is Backing.MEMORY:
        return Outcome(Kind.MEMORY)
    return Outcome(Kind.EXITS_BEFORE, reason=VmxExit.EPT_VIOLATION)


def _page_write(controls: Controls, address: int, value: int | None) -> Outcome:
    """Return what follows a write that has reached the virtual-APIC page (SDM: APIC-write emulation).

    The processor completes a write that starts where the register does; one of its other bytes exits.
    """
    if address == Reg.TASKPRI:
        return _tpr_write(controls)
    if address == Reg.EOI and controls.has("virtual_interrupt_delivery"):
        return EOI_STAYS
    if address == Reg.ICR and controls.has("virtual_interrupt_delivery"):
        return _icr_write(value)
    if address & ~0xF == Reg.ICR2:
        return Outcome(Kind.STAYS, Completion.ICR_HIGH)
    return Outcome(Kind.EXITS_AFTER, reason=VmxExit.APIC_WRITE)


EOI_STAYS = Outcome(Kind.STAYS, Completion.EOI, may_exit=(VmxExit.VIRTUALIZED_EOI,))


def _tpr_write(controls: Controls) -> Outcome:
    """Return what TPR virtualization does; virtual-interrupt delivery ignores the threshold."""
    threshold = () if controls.has("virtual_interrupt_delivery") else (VmxExit.TPR_BELOW_THRESHOLD,)
    return Outcome(Kind.STAYS, Completion.TPR, may_exit=threshold)


ICR_MUST_BE_ZERO = 0xFFF3B700
"""Bits 31:20, 17:16, 13 (reserved), 15 (level), 12 (pending), 10:8 (delivery mode: fixed)."""
ICR_SHORTHAND = 0xC0000
FIRST_VALID_VECTOR = 16


def is_self_ipi(icr: int) -> bool:
    """Return True if the processor completes this ICR write itself: a fixed, edge-triggered self-IPI."""
    valid = icr & 0xFF >= FIRST_VALID_VECTOR
    return valid and icr & ICR_MUST_BE_ZERO == 0 and icr & ICR_SHORTHAND == DEST_SELF


def _icr_write(value: int | None) -> Outcome:
    if value is None:
        return Outcome(
            Kind.DEPENDS, Completion.SELF_IPI, VmxExit.APIC_WRITE, note="only a fixed self-IPI stays"
        )
    if is_self_ipi(value):
        return Outcome(Kind.STAYS, Completion.SELF_IPI)
    return Outcome(Kind.EXITS_AFTER, reason=VmxExit.APIC_WRITE)


# -- the MSRs (x2APIC) -----------------------------------------------------------------------------


def access_msr(
    controls: Controls, bitmap: MsrBitmap, msr: int, operation: Operation, *, value: int | None = None
) -> Outcome:
    """Return what happens to RDMSR or WRMSR of 800H to 8FFH; ``value`` is EDX:EAX, None if not given.

    Raises ValueError for any other MSR and for `Operation.FETCH`.
    """
    offset = offset_of(msr)
    if operation is Operation.FETCH:
        raise ValueError("an MSR cannot be fetched from")
    if not controls.has("msr_bitmaps") or bitmap.intercepts(msr, operation):
        reason = VmxExit.RDMSR if operation is Operation.READ else VmxExit.WRMSR
        return Outcome(Kind.EXITS_BEFORE, reason=reason)
    controls = effective(controls)
    if controls.has("virtualize_x2apic_mode"):
        virtualized = (
            _msr_read(controls, offset)
            if operation is Operation.READ
            else _msr_write(controls, offset, value)
        )
        if virtualized is not None:
            return virtualized
    return Outcome(Kind.PHYSICAL, note="not intercepted and not virtualized")


def _msr_read(controls: Controls, offset: int) -> Outcome | None:
    """Return the outcome of a virtualized read.

    With register virtualization every MSR in the range can be read, even one that does not exist.
    """
    if offset == Reg.TASKPRI or controls.has("apic_register_virtualization"):
        return Outcome(Kind.STAYS, Completion.READ)
    return None


FAULT = Outcome(Kind.FAULTS, note="#GP(0): reserved bits are set")


def _msr_write(controls: Controls, offset: int, value: int | None) -> Outcome | None:
    delivery = controls.has("virtual_interrupt_delivery")
    if offset == Reg.TASKPRI:
        return FAULT if (value or 0) >> 8 else _tpr_write(controls)
    if offset == Reg.EOI and delivery:
        return FAULT if value else EOI_STAYS
    if offset == Reg.SELF_IPI and delivery:
        return _self_ipi_write(value)
    if offset == Reg.ICR and controls.has("ipi_virtualization"):
        return Outcome(
            Kind.DEPENDS, Completion.IPI, VmxExit.APIC_WRITE, note="no Xen turns on IPI virtualization"
        )
    return None


def _self_ipi_write(value: int | None) -> Outcome:
    if value is None:
        return Outcome(
            Kind.DEPENDS, Completion.SELF_IPI, VmxExit.APIC_WRITE, note="exits for vectors 0 to 15"
        )
    if value >> 8:
        return FAULT
    if value < FIRST_VALID_VECTOR:
        return Outcome(Kind.EXITS_AFTER, reason=VmxExit.APIC_WRITE)
    return Outcome(Kind.STAYS, Completion.SELF_IPI)


# -- CR8, and which way a mode uses --------------------------------------------------------------------


def access_cr8(
    controls: Controls | SvmControls, operation: Operation, *, value: int | None = None
) -> Outcome:
    """Return what happens to MOV from CR8 (read) or to CR8 (write of ``value``, None if not given).

    On AMD the access reaches V_TPR in the VMCB, because no Xen intercepts it (``construct_vmcb``). With VMX
    an exit comes before the fault for reserved bits (SDM volume 3C, "Relative Priority of Faults and VM
    Exits"), and Xen ignores these bits (``hvm_mov_to_cr``).
    """
    reserved = operation is Operation.WRITE and (value or 0) >> 4
    if isinstance(controls, SvmControls):
        return FAULT if reserved else Outcome(Kind.STAYS, note="V_TPR in the VMCB")
    exiting = "cr8_store_exiting" if operation is Operation.READ else "cr8_load_exiting"
    if controls.has(exiting):
        return Outcome(Kind.EXITS_BEFORE, reason=VmxExit.CR_ACCESS)
    if reserved:
        return FAULT
    if not controls.has("tpr_shadow"):
        return Outcome(Kind.PHYSICAL, note="neither intercepted nor shadowed")
    return Outcome(Kind.STAYS, Completion.READ) if operation is Operation.READ else _tpr_write(controls)


NOT_MODELLED = Outcome(Kind.UNKNOWN, note="AVIC is on, which no released Xen does: see APM volume 2, 15.29")


def access(
    controls: Controls | SvmControls,
    state: ApicState,
    bitmap: MsrBitmap,
    offset: int,
    operation: Operation,
    *,
    width: int = WIDEST_BITS,
    value: int | None = None,
    backing: Backing = Backing.ABSENT,
) -> Outcome:
    """Return what happens to an access made the way that fits the state: by MSR in x2APIC mode, else by page.

    ``offset`` is the register's byte offset in the page in both modes. In the state *relocated*
    the access goes to the relocated page, in the state *disabled* to the default page.
    """
    if isinstance(controls, SvmControls):
        return _access_svm(controls, state, bitmap, offset, operation, backing)
    if state is ApicState.X2APIC:
        return access_msr(controls, bitmap, msr_of(offset), operation, value=value)
    if state is ApicState.RELOCATED:
        return _not_virtualized(backing)  # the APIC-access page is not at this address
    return access_page(controls, offset, operation, width=width, value=value, backing=backing)


def _access_svm(
    controls: SvmControls,
    state: ApicState,
    bitmap: MsrBitmap,
    offset: int,
    operation: Operation,
    backing: Backing,
) -> Outcome:
    x2apic = state is ApicState.X2APIC
    if controls.x2avic if x2apic else controls.avic:
        return NOT_MODELLED
    if x2apic:
        if bitmap.intercepts(msr_of(offset), operation):
            return Outcome(Kind.EXITS_BEFORE, reason=SvmExit.MSR)
        return Outcome(Kind.PHYSICAL, note="not intercepted")
    if backing is Backing.MEMORY:
        return Outcome(Kind.MEMORY)
    return Outcome(Kind.EXITS_BEFORE, reason=SvmExit.NPF)
