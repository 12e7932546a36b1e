"""A host with everything that xenapic does on one: VMX, key 'v', guests' memory, a guest that obeys, tracing."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import Any

from tests.library.fakeguest import (
    BOUND,
    CONSOLE_EVTCHN,
    CONSOLE_FRAME,
    CONSOLE_PFN,
    PORT,
    SHUTDOWN,
    FakeGuest,
)
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
        self.booted: dict[int, FakeGuest] = {}
        """The domains that were offered a console."""
        self.obeys = True
        self.policy: list[int] = []
        self.leaf_1, self.seen_leaf_1 = 0xF6FA3203, dict[int, int]()
        """ECX of the CPUID leaf that a domain gets, and what it was set to, by domain."""
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
            (self.trace.mask, self.trace.on, self.trace.bound, any(g.bound for g in self.booted.values())),
            (self.trace.mapped, self.machine.mapped),
            self.foreign_open,
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("xc_tbuf_", "xenevtchn_")) or name in ("xc_sysctl", "xc_get_cpumap_size"):
            return getattr(self.trace, name)
        if name == "xc_domain_populate_physmap_exact":
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
        sizes = {1: 24, **self._sizes(), 6: 24, 0: 0}
        context = b"".join(HvmRecord(code, 0, bytes(size)).to_bytes() for code, size in sizes.items())
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
        if any(code not in records or len(records[code].data) < size for code, size in self._sizes().items()):
            self.ffi.errno = errno.EINVAL
            return -1
        cpu = self.ffi.from_buffer("struct hvm_hw_cpu *", records[2].data)
        lapic = self.ffi.from_buffer("struct hvm_hw_lapic *", records[5].data)
        vcpu = FakeVcpu(lapic.apic_base_msr, lapic.disabled, cpu.rsp, cpu.rip, True)
        self.vcpus[domid][:1] = [vcpu]
        return 0

    def _sizes(self) -> dict[int, int]:
        """Return the sizes of the records that the fake reads: past their end there may be no memory."""
        return {2: self.ffi.sizeof("struct hvm_hw_cpu"), 5: self.ffi.sizeof("struct hvm_hw_lapic")}

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

    # -- a guest with a console --

    def _refuse(self, number: int) -> int:
        self.ffi.errno = number
        return -1

    def _offered(self, domid: int) -> FakeGuest:
        def page() -> Any:
            return self.ffi.buffer(self.machine.place(CONSOLE_FRAME * PAGE, PAGE), PAGE)

        return self.booted.setdefault(domid, FakeGuest(page))

    def boot_others_guest(self) -> None:
        """Make `GUEST` one that another program has booted and released."""
        self.machine.blocks[CONSOLE_FRAME] = self.ffi.new("char[]", PAGE + 1)
        guest = self._offered(GUEST)
        guest.parameters = {CONSOLE_PFN: CONSOLE_FRAME, CONSOLE_EVTCHN: PORT}
        guest.run(obeys=True)

    def xc_domain_populate_physmap(
        self, _xch: Any, domid: int, count: int, order: int, _flags: int, frames: Any
    ) -> int:
        if domid not in self.domains:
            return self._refuse(errno.ESRCH)
        self.machine.blocks[frames[0]] = self.ffi.new("char[]", (count << order) * PAGE + 1)
        return count

    def xc_evtchn_alloc_unbound(self, _xch: Any, domid: int, remote: int) -> int:
        assert remote == 0
        self._offered(domid)
        return PORT

    def xc_hvm_param_set(self, _xch: Any, domid: int, number: int, value: int) -> int:
        self._offered(domid).parameters[number] = value
        return 0

    def xc_hvm_param_get(self, _xch: Any, domid: int, number: int, value: Any) -> int:
        value[0] = self.booted[domid].parameters.get(number, 0) if domid in self.booted else 0
        return 0

    # The policy of a domain is its leaf 1; leaf 0 comes before.

    def xc_cpu_policy_init(self) -> Any:
        self.policy = [0, 0]
        return self.ffi.cast("xc_cpu_policy_t *", 1)

    def xc_cpu_policy_destroy(self, _policy: Any) -> None:
        self.policy = []

    def xc_cpu_policy_get_size(self, _xch: Any, leaves: Any, msrs: Any) -> int:
        leaves[0], msrs[0] = 5, 1
        return 0

    def xc_cpu_policy_get_domain(self, _xch: Any, domid: int, _policy: Any) -> int:
        if domid not in self.domains:
            return self._refuse(errno.ESRCH)
        self.policy = [0xD, self.leaf_1]
        return 0

    def xc_cpu_policy_serialise(
        self, _xch: Any, _policy: Any, leaves: Any, count: Any, _msrs: Any, _none: Any
    ) -> int:
        if count[0] < len(self.policy):
            return self._refuse(errno.ENOBUFS)
        for number, word in enumerate(self.policy):
            leaves[number].leaf, leaves[number].subleaf, leaves[number].c = number, 0xFFFFFFFF, word
        count[0] = len(self.policy)
        return 0

    def xc_cpu_policy_update_cpuid(self, _xch: Any, _policy: Any, leaves: Any, count: int) -> int:
        for number in range(count):
            if leaves[number].leaf > 1:
                return self._refuse(errno.ERANGE)
            self.policy[leaves[number].leaf] = leaves[number].c
        return 0

    def xc_cpu_policy_set_domain(self, _xch: Any, domid: int, _policy: Any) -> int:
        if domid not in self.domains:
            return self._refuse(errno.ESRCH)
        self.seen_leaf_1[domid] = self.policy[1]
        return 0

    def xc_domain_unpause(self, xch: Any, domid: int) -> int:
        guest = self.booted.get(domid)
        if guest is not None and CONSOLE_PFN in guest.parameters:
            guest.run(obeys=self.obeys)
            return 0
        return self.machine.xc_domain_unpause(xch, domid)

    def xc_domain_getinfolist(self, xch: Any, first: int, room: int, infos: Any) -> int:
        found = super().xc_domain_getinfolist(xch, first, room, infos)
        for number in range(max(found, 0)):
            guest = self.booted.get(infos[number].domain)
            if guest is not None and guest.ended:
                infos[number].flags |= SHUTDOWN  # and the reason 0: it powered off
        return found

    def xc_domain_destroy(self, xch: Any, domid: int) -> int:
        self.booted.pop(domid, None)
        return super().xc_domain_destroy(xch, domid)

    def xenevtchn_bind_interdomain(self, _channel: Any, domid: int, port: int) -> int:
        guest = self.booted.get(domid)
        if guest is None or port != PORT or guest.bound:
            return self._refuse(errno.EINVAL)
        guest.bound = True
        return BOUND

    def xenevtchn_notify(self, _channel: Any, port: int) -> int:
        if port != BOUND:
            return self._refuse(errno.EINVAL)
        for guest in self.booted.values():
            if guest.bound:
                guest.notice()
        return 0

    def xenevtchn_close(self, channel: Any) -> int:
        for guest in self.booted.values():
            guest.bound = False
        return int(self.trace.xenevtchn_close(channel))
