"""Record what only a Xen with one bit per control has different answers to: Viridian's hints, a moved APIC.

Both need a domain for each set of controls that can be in force; `xenapic.verify.record` creates them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from xenapic.apic.registers import Reg
from xenapic.apic.state import ApicState
from xenapic.live.domain import Domain
from xenapic.live.vcpu import (
    FLAT_REGISTERS,
    HVM_SAVE_CPU,
    HVM_SAVE_END,
    HVM_SAVE_HEADER,
    HVM_SAVE_LAPIC,
    HVM_SAVE_LAPIC_REGS,
    records_of,
    set_first_vcpu,
)
from xenapic.parse.hvm_context import HvmRecord
from xenapic.probe.run import probe_hints
from xenapic.verify.recording import HintsRecord, RestoredRecord

__all__ = ["Create", "record_hints", "record_restored"]

Create = Callable[[int], AbstractContextManager[Domain]]
"""Creates an owned domain with these ``misc_flags``, and one vCPU."""

HVM_PARAM_VIRIDIAN, HVMPV_BASE_FREQ = 9, 1
"""``xen/include/public/hvm/params.h``; the base is what all other groups need."""


def record_hints(create: Create, misc_flags: int, seconds: float) -> HintsRecord:
    """Return what Viridian's leaves tell a guest about its APIC; raise the errors of `probe_hints`."""
    with create(misc_flags) as domain:
        domain.handle.hvm.set_parameter(domain.domid, HVM_PARAM_VIRIDIAN, HVMPV_BASE_FREQ)
        words = probe_hints(domain, seconds)
    return HintsRecord(misc_flags) if words is None else HintsRecord(misc_flags, *words)


REGISTERS = {
    Reg.TASKPRI: 0x20,
    Reg.SPIV: 0x1FF,
    Reg.LVTT: 0x200E4,
    Reg.LVT0: 0x10700,
    Reg.LVTERR: 0xFE,
    Reg.TMICT: 0x123456,
    Reg.TDCR: 0xA,
    Reg.ISR4: 1 << 1,
    Reg.TMR4: 1 << 1,
    Reg.IRR1: 1 << 17,
    Reg.ICR: 0x0C0000E3,
}
"""Values that a register page can have: among others an interrupt in service, and one that waits."""


def record_restored(create: Create, misc_flags: tuple[int, ...], state: ApicState) -> list[RestoredRecord]:
    """Save an APIC in a domain for which nothing is asked, and restore it under each request.

    Each record says which bytes of Xen's two records then differ from those in another domain for which
    nothing is asked. Raises `CallFailed`.
    """
    with create(0) as domain:
        set_first_vcpu(domain, FLAT_REGISTERS, state)
        page = bytearray(records_of(domain)[HVM_SAVE_LAPIC_REGS, 0].data)
        for register, value in REGISTERS.items():
            page[register : register + 4] = value.to_bytes(4, "little")
        saved = _restored(domain, records_of(domain)[HVM_SAVE_LAPIC, 0].data, bytes(page))
    with create(0) as domain:
        expected = _restored(domain, *saved)
    made = []
    for word in misc_flags:
        with create(word) as domain:
            found = _restored(domain, *saved)
        made.append(RestoredRecord(word, state, _differs(expected, found), sum(map(len, found))))
    return made


def _restored(domain: Domain, lapic: bytes, page: bytes) -> tuple[bytes, bytes]:
    """Load both records of an APIC into a domain's vCPU; return what Xen has then."""
    cpu = domain.handle.hvm.cpu_record(FLAT_REGISTERS)
    context = (
        records_of(domain)[HVM_SAVE_HEADER, 0],
        HvmRecord(HVM_SAVE_CPU, 0, cpu),
        HvmRecord(HVM_SAVE_LAPIC, 0, lapic),
        HvmRecord(HVM_SAVE_LAPIC_REGS, 0, page),
        HvmRecord(HVM_SAVE_END, 0, b""),
    )
    domain.set_hvm_context(b"".join(record.to_bytes() for record in context))
    records = records_of(domain)
    return records[HVM_SAVE_LAPIC, 0].data, records[HVM_SAVE_LAPIC_REGS, 0].data


def _differs(expected: tuple[bytes, bytes], found: tuple[bytes, bytes]) -> tuple[int, ...]:
    """Return where the register page differs, by offset; -1 if the other record does."""
    first, page = (
        [at for at, (one, other) in enumerate(zip(*pair, strict=True)) if one != other]
        for pair in zip(expected, found, strict=True)
    )
    return (*((-1,) if first else ()), *page)
