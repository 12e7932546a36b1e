"""Put a vCPU into a state before it runs: its registers, and the state of its local APIC."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from xenapic.apic.state import ApicState
from xenapic.errors import CallFailed
from xenapic.live.domain import Domain
from xenapic.parse.hvm_context import HvmRecord, hvm_records

__all__ = [
    "FLAT_REGISTERS",
    "HVM_SAVE_CPU",
    "HVM_SAVE_END",
    "HVM_SAVE_HEADER",
    "HVM_SAVE_LAPIC",
    "HVM_SAVE_LAPIC_REGS",
    "records_of",
    "set_first_vcpu",
]

HVM_SAVE_END, HVM_SAVE_HEADER, HVM_SAVE_CPU, HVM_SAVE_LAPIC, HVM_SAVE_LAPIC_REGS = 0, 1, 2, 5, 6
"""``HVM_SAVE_CODE`` of the records (``xen/include/public/arch-x86/hvm/save.h``)."""

VLAPIC_HW_DISABLED = 1
"""``VLAPIC_HW_DISABLED`` (``xen/arch/x86/include/asm/hvm/vlapic.h``): bit of ``hvm_hw_lapic.disabled``.
Xen looks at this bit, not at bit 11 of the base, when it chooses the controls
(``vmx_vlapic_msr_changed``), so both must agree."""

CR0_PE, CR0_ET = 1 << 0, 1 << 4
"""Protected mode without paging: Xen requires PE and ET to be consistent, also of a vCPU that never runs, and
real mode would need more memory on processors without unrestricted guests."""

FLAT_REGISTERS: Mapping[str, int] = {
    "cr0": CR0_PE | CR0_ET,
    "rflags": 1 << 1,
    "dr6": 0xFFFF0FF0,
    "dr7": 0x400,
    "cs_arbytes": 0xC9B,
    "cs_limit": 0xFFFFFFFF,
    **{f"{segment}_arbytes": 0xC93 for segment in ("ds", "es", "fs", "gs", "ss")},
    **{f"{segment}_limit": 0xFFFFFFFF for segment in ("ds", "es", "fs", "gs", "ss")},
    "tr_arbytes": 0x8B,
    "tr_limit": 0x67,
    "ldtr_arbytes": 0x82,
}
"""``struct hvm_hw_cpu`` for flat 32-bit code with interrupts off, without paging."""


def set_first_vcpu(domain: Domain, registers: Mapping[str, int], state: ApicState) -> None:
    """Load vCPU 0 of an HVM-type domain that has not run: ``registers`` are fields of ``struct hvm_hw_cpu``.

    Raises `CallFailed`, with EINVAL when Xen considers the registers invalid, and EPROTO when the state that
    it answers makes no sense.
    """
    records = records_of(domain)
    context = (
        records[HVM_SAVE_HEADER, 0],
        HvmRecord(HVM_SAVE_CPU, 0, domain.handle.hvm.cpu_record(registers)),
        HvmRecord(HVM_SAVE_LAPIC, 0, _lapic(domain, state)),
        *(record for (code, vcpu), record in records.items() if (code, vcpu) == (HVM_SAVE_LAPIC_REGS, 0)),
        HvmRecord(HVM_SAVE_END, 0, b""),
    )
    domain.set_hvm_context(b"".join(record.to_bytes() for record in context))


def records_of(domain: Domain) -> dict[tuple[int, int], HvmRecord]:
    """Return the records of a domain's saved state, by type and vCPU; there is a header.

    Raises `CallFailed`, with EPROTO for an answer that makes no sense.
    """
    try:
        records = {(record.typecode, record.instance): record for record in hvm_records(domain.hvm_context())}
    except ValueError as error:
        raise CallFailed("xc_domain_hvm_getcontext", errno.EPROTO, str(error)) from error
    if (HVM_SAVE_HEADER, 0) not in records:
        raise CallFailed("xc_domain_hvm_getcontext", errno.EPROTO, "read the header of the HVM context")
    return records


def _lapic(domain: Domain, state: ApicState) -> bytes:
    """Return the LAPIC record that Xen made, with another APIC_BASE.

    Keeping the timer's divisor is essential: Xen accepts 0, and divides by it when the guest reads the
    count of a running timer. The host then crashes with #DE (4.17.7 and 4.20.3, on AMD).
    """
    fresh = domain.handle.hvm.lapic(domain.domid, 0)
    if fresh.timer_divisor == 0:
        raise CallFailed(
            "xc_domain_hvm_getcontext_partial", errno.EPROTO, "read the divisor of the APIC timer"
        )
    disabled = VLAPIC_HW_DISABLED if state is ApicState.DISABLED else 0
    disabled |= fresh.disabled & ~VLAPIC_HW_DISABLED
    return domain.handle.hvm.lapic_record(
        {
            "apic_base_msr": state.apic_base,
            "disabled": disabled,
            "timer_divisor": fresh.timer_divisor,
            "tdt_msr": fresh.tdt_msr,
        }
    )
