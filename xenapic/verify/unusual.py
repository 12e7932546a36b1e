"""Check accesses that software rarely makes: by CR8, narrow, unaligned, wide, and to fetch code."""

from __future__ import annotations

from collections.abc import Iterator

from xenapic.apic.access import access, access_cr8, access_page
from xenapic.apic.outcome import Backing, Operation, Outcome, SvmControls
from xenapic.apic.registers import SLOT_SIZE, Reg
from xenapic.apic.state import ApicState
from xenapic.model.acceleration import VcpuApic
from xenapic.model.partial import SimulatedPage
from xenapic.probe.findings import Op
from xenapic.probe.unusual import CR8_PRIORITY
from xenapic.verify.guest_records import AccessRecord, GuestRecord

__all__ = ["by_cr8", "by_page", "expected_values", "operation_of", "page_words"]


def operation_of(made: AccessRecord) -> tuple[Operation, int | None]:
    """Return what was done, and the value that was written."""
    return Operation(made.op.value), made.value if made.op is Op.WRITE else None


def by_page(made: AccessRecord, vcpu: VcpuApic, backing: Backing) -> Outcome:
    """Return what the model predicts for an access to the page at the default base."""
    operation, value = operation_of(made)
    if isinstance(vcpu.controls, SvmControls):
        offset = made.offset // SLOT_SIZE * SLOT_SIZE
        return access(vcpu.controls, ApicState.XAPIC, vcpu.bitmap, offset, operation, backing=backing)
    return access_page(vcpu.controls, made.offset, operation, width=made.width, value=value, backing=backing)


def by_cr8(made: AccessRecord, vcpu: VcpuApic) -> Outcome:
    """Return what the model predicts for MOV from or to CR8."""
    operation, value = operation_of(made)
    return access_cr8(vcpu.controls, operation, value=value)


def page_words(made: AccessRecord) -> str:
    """Return the words for an access to the page."""
    return f"page {made.op.value} {made.offset:03x}, {made.width} bits"


def expected_values(
    guest: GuestRecord, vcpu: VcpuApic, backing: Backing
) -> Iterator[tuple[str, int, AccessRecord]]:
    """Yield each read of a known value: its place in words, the value, and the read."""
    for number, made in enumerate(guest.cr8):
        if made.op is Op.READ:
            yield "CR8 read", CR8_PRIORITY if number else 0, made
    if guest.cr8_in_tpr is not None:
        yield "read 080 (TASKPRI) after CR8", CR8_PRIORITY << 4, guest.cr8_in_tpr
    version = next((made.value for made in guest.accesses if made.offset == Reg.LVR), 0)
    page = SimulatedPage(guest.apic_mode, version)
    for made in guest.unusual:
        outcome = by_page(made, vcpu, backing)
        if made.op is Op.WRITE:
            page.write(outcome, made.offset, made.width, made.value)
        elif made.op is Op.READ:
            value = page.read(outcome, made.offset, made.width)
            if value is not None:
                yield page_words(made), value, made
