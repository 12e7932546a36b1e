"""A host with everything that xenapic does on one: VMX, key 'v', guests' memory, a guest that obeys, tracing."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import Any

from tests.library.test_exits import DIRECTORY, RING, FakeTrace
from tests.library.test_measure import FakeVcpu, MeasuredXen
from tests.library.test_probe import FakeMachine, obey
from xenapic.abi.library import Library
from xenapic.abi.tracebuffers import DOMID_XEN
from xenapic.live.memory import PAGE
from xenapic.live.owners import this_process
from xenapic.parse.hvm_context import HvmRecord, hvm_records

GUEST, ORPHAN = 3, 5
"""A running guest of somebody else, and a domain whose creator was killed."""
ORPHANS_MARK = replace(this_process(), pid=1 << 21).to_handle()
BOOT = (
    b"(XEN) Xen version\n(XEN) VMX: Supported advanced features:\n(XEN)  - APIC TPR shadow\n"
    b"(XEN) HVM: ASIDs enabled.\n" + b"(XEN) boot\n" * 200
)


class Host(MeasuredXen):
    """The C functions of all libraries, over one list of domains."""

    def __init__(self, real: Library, accepts_flags: bool = False) -> None:
        super().__init__(real)
        self.ring = BOOT
        self.accepts_flags = accepts_flags
        self.trace, self.machine = FakeTrace(real), FakeMachine(real)
        self.trace.domains = self.machine.domains = self.domains
        self.machine.guest = lambda machine: obey(machine) if len(machine.mailbox) else None
        self.foreign_open = 0
        self.guest(GUEST, FakeVcpu(initialised=True))
        self.domains[ORPHAN] = ORPHANS_MARK.bytes
        self.vcpus[ORPHAN] = []

    def close(self) -> None:
        """Close what the fakes have open."""
        for end in self.trace.ends:
            os.close(end)

    @property
    def state(self) -> tuple[Any, ...]:
        """What must be as before: domains with their handles, tracing, mappings, open libraries."""
        others = (GUEST, ORPHAN)
        return (
            {domid: mark if domid in others else b"" for domid, mark in self.domains.items()},
            (self.trace.mask, self.trace.on, self.trace.bound),
            (self.trace.mapped, self.machine.mapped),
            self.foreign_open,
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("xc_tbuf_", "xenevtchn_")) or name in ("xc_sysctl", "xc_get_cpumap_size"):
            return getattr(self.trace, name)
        if name in ("xc_domain_populate_physmap_exact", "xc_domain_unpause"):
            return getattr(self.machine, name)
        return super().__getattr__(name)

    def xc_physinfo(self, xch: Any, info: Any) -> int:
        info.nr_cpus = 1
        return super().xc_physinfo(xch, info)

    def xc_cpupool_getinfo(self, _xch: Any, poolid: int) -> Any:
        if poolid > 1:
            self.ffi.errno = errno.ENOENT
            return self.ffi.NULL
        self._cpus = self.ffi.new("uint8_t[]", b"\x01")
        self._pool = self.ffi.new("struct xen_cpupoolinfo *", {"cpupool_id": 1, "cpumap": self._cpus})
        return self._pool

    def xc_readconsolering(
        self, xch: Any, buffer: Any, count: Any, clear: int, incremental: int, index: Any
    ) -> int:
        answer = super().xc_readconsolering(xch, buffer, count, 0, incremental, index)
        if clear:
            self.first = index[0]
        return answer

    def xc_domain_create(self, xch: Any, pdomid: Any, config: Any) -> int:
        if config.arch.misc_flags and not self.accepts_flags:
            self.ffi.errno = errno.EINVAL
            return -1
        return super().xc_domain_create(xch, pdomid, config)

    def xc_domain_sethandle(self, xch: Any, domid: int, handle: bytes) -> int:
        if domid not in self.domains:
            self.ffi.errno = errno.ESRCH
            return -1
        return super().xc_domain_sethandle(xch, domid, handle)

    def xc_domain_max_vcpus(self, xch: Any, domid: int, count: int) -> int:
        if domid not in self.domains:
            self.ffi.errno = errno.ESRCH
            return -1
        return super().xc_domain_max_vcpus(xch, domid, count)

    def xc_vcpu_getinfo(self, _xch: Any, _domid: int, _vcpu: int, info: Any) -> int:
        info.running, info.cpu = 1, 0
        return 0

    def xc_domain_hvm_getcontext(self, _xch: Any, _domid: int, buffer: Any, size: int) -> int:
        context = b"".join(HvmRecord(code, 0, bytes(24)).to_bytes() for code in (1, 2, 5, 6, 0))
        if buffer != self.ffi.NULL:
            if size < len(context):
                self.ffi.errno = errno.ENOSPC
                return -1
            self.ffi.buffer(buffer)[: len(context)] = context
        return len(context)

    def xc_domain_hvm_getcontext_partial(
        self, xch: Any, domid: int, typecode: int, instance: int, buffer: Any, size: int
    ) -> int:
        if instance >= len(self.vcpus.get(domid, ())):
            self.ffi.errno = errno.ESRCH
            return -1
        return super().xc_domain_hvm_getcontext_partial(xch, domid, typecode, instance, buffer, size)

    def xc_domain_hvm_setcontext(self, _xch: Any, domid: int, buffer: Any, size: int) -> int:
        records = {record.typecode: record for record in hvm_records(bytes(self.ffi.buffer(buffer, size)))}
        if not {2, 5} <= records.keys():
            self.ffi.errno = errno.EINVAL
            return -1
        cpu = self.ffi.from_buffer("struct hvm_hw_cpu *", records[2].data)
        lapic = self.ffi.from_buffer("struct hvm_hw_lapic *", records[5].data)
        vcpu = FakeVcpu(lapic.apic_base_msr, lapic.disabled, cpu.rsp, cpu.rip, True)
        self.vcpus[domid][:1] = [vcpu]
        return 0

    # -- the other libraries --

    def xenforeignmemory_open(self, *_args: Any) -> Any:
        self.foreign_open += 1
        return self.ffi.cast("xenforeignmemory_handle *", 1)

    def xenforeignmemory_close(self, _memory: Any) -> int:
        self.foreign_open -= 1
        return 0

    def xenforeignmemory_map(
        self, memory: Any, domid: int, protection: int, count: int, frames: Any, errors: Any
    ) -> Any:
        first = frames[0] if count else None
        if domid == DOMID_XEN:
            known = (DIRECTORY, 1) if first == DIRECTORY else (RING, self.trace.pages)
            fits = first is not None and known[0] <= first and first + count <= sum(known)
        else:
            fits = first is not None and self.machine.place(first * PAGE, count * PAGE) is not None
        if not fits or (domid != DOMID_XEN and domid not in self.domains):
            self.ffi.errno = errno.EINVAL
            return self.ffi.NULL
        part: Any = self.trace if domid == DOMID_XEN else self.machine
        return part.xenforeignmemory_map(memory, domid, protection, count, frames, errors)

    def xenforeignmemory_unmap(self, _memory: Any, address: Any, _count: int) -> int:
        rings = (self.trace.directory, self.trace.trace)
        if any(ring is not None and address == ring for ring in rings):
            self.trace.mapped -= 1
        else:
            self.machine.mapped -= 1
        return 0
