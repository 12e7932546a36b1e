"""Types of the cffi modules that ``build_ffi.py`` generates from ``xenapic/abi/decl``.

For type checkers only: no module of this name exists at run time. The build ships a copy as
``xenapic._xenctrl.libxenctrl``, which the code imports under ``TYPE_CHECKING``. A field or function that not
every release has is here all the same; the marks in ``xenapic/abi/decl`` say which releases have it.
"""

from collections.abc import Callable
from typing import Any, Protocol

class XcInterface: ...
class XenToolLogger: ...
class CFile: ...
class XenForeignMemory: ...
class EventChannel: ...

class ArchDomainConfigStruct:
    emulation_flags: int
    misc_flags: int

class Altp2mStruct:
    opts: int
    nr: int

class CreateDomainStruct:
    ssidref: int
    handle: Any
    flags: int
    iommu_opts: int
    max_vcpus: int
    max_evtchn_port: int
    max_grant_frames: int
    max_maptrack_frames: int
    grant_opts: int
    altp2m_opts: int
    altp2m: Altp2mStruct
    vmtrace_size: int
    cpupool_id: int
    arch: ArchDomainConfigStruct

class PhysInfoStruct:
    threads_per_core: int
    cores_per_socket: int
    nr_cpus: int
    max_cpu_id: int
    nr_nodes: int
    max_node_id: int
    cpu_khz: int
    capabilities: int
    arch_capabilities: int
    pad: int
    total_pages: int
    free_pages: int
    scrub_pages: int
    outstanding_pages: int
    max_mfn: int
    hw_cap: list[int]

class DomainInfoStruct:
    domain: int
    pad1: int
    flags: int
    tot_pages: int
    max_pages: int
    outstanding_pages: int
    shr_pages: int
    paged_pages: int
    shared_info_frame: int
    cpu_time: int
    nr_online_vcpus: int
    max_vcpu_id: int
    ssidref: int
    handle: Any
    cpupool: int
    gpaddr_bits: int
    pad2: Any
    arch_config: ArchDomainConfigStruct

class HvmLapicStruct:
    apic_base_msr: int
    disabled: int
    timer_divisor: int
    tdt_msr: int
    pending_esr: int

class CpuPoolInfoStruct:
    cpupool_id: int
    sched_id: int
    n_dom: int
    cpumap: Any

class TraceOpStruct:
    cmd: int
    cpu_mask: Any
    evt_mask: int
    buffer_mfn: int
    size: int

class TraceBufferStruct:
    cons: int
    prod: int

class TraceInfoStruct:
    tbuf_size: int
    mfn_offset: Any

class VcpuInfoStruct:
    vcpu: int
    online: int
    blocked: int
    running: int
    cpu_time: int
    cpu: int

class XcErrorStruct:
    code: int
    message: bytes

class LibXenCtrl(Protocol):
    def xc_interface_open(
        self, logger: XenToolLogger, dombuild_logger: XenToolLogger, open_flags: int, /
    ) -> XcInterface: ...
    def xc_interface_close(self, xch: XcInterface, /) -> int: ...
    def xc_get_last_error(self, handle: XcInterface, /) -> XcErrorStruct: ...
    def xc_clear_last_error(self, xch: XcInterface, /) -> None: ...
    def xc_error_code_to_desc(self, code: int, /) -> bytes: ...
    def xc_version(self, xch: XcInterface, cmd: int, arg: Any, /) -> int: ...
    def xc_physinfo(self, xch: XcInterface, info: PhysInfoStruct, /) -> int: ...
    def xc_cpupool_getinfo(self, xch: XcInterface, poolid: int, /) -> CpuPoolInfoStruct: ...
    def xc_get_cpumap_size(self, xch: XcInterface, /) -> int: ...
    def xc_cpupool_infofree(self, xch: XcInterface, info: CpuPoolInfoStruct, /) -> None: ...
    def xc_readconsolering(
        self, xch: XcInterface, buffer: Any, pnr_chars: Any, clear: int, incremental: int, pindex: Any, /
    ) -> int: ...
    def xc_send_debug_keys(self, xch: XcInterface, keys: bytes, /) -> int: ...
    def xc_domain_create(self, xch: XcInterface, pdomid: Any, config: CreateDomainStruct, /) -> int: ...
    def xc_domain_destroy(self, xch: XcInterface, domid: int, /) -> int: ...
    def xc_domain_pause(self, xch: XcInterface, domid: int, /) -> int: ...
    def xc_domain_unpause(self, xch: XcInterface, domid: int, /) -> int: ...
    def xc_domain_max_vcpus(self, xch: XcInterface, domid: int, max: int, /) -> int: ...
    def xc_domain_setmaxmem(self, xch: XcInterface, domid: int, max_memkb: int, /) -> int: ...
    def xc_domain_set_tsc_info(
        self,
        xch: XcInterface,
        domid: int,
        tsc_mode: int,
        elapsed_nsec: int,
        gtsc_khz: int,
        incarnation: int,
        /,
    ) -> int: ...
    def xc_domain_sethandle(self, xch: XcInterface, domid: int, handle: bytes, /) -> int: ...
    def xc_domain_getinfolist(
        self, xch: XcInterface, first_domain: int, max_domains: int, info: Any, /
    ) -> int: ...
    def xc_domain_getinfo_single(self, xch: XcInterface, domid: int, info: DomainInfoStruct, /) -> int: ...
    def xc_domain_hvm_getcontext(self, xch: XcInterface, domid: int, ctxt_buf: Any, size: int, /) -> int: ...
    def xc_domain_hvm_getcontext_partial(
        self, xch: XcInterface, domid: int, typecode: int, instance: int, ctxt_buf: Any, size: int, /
    ) -> int: ...
    def xc_domain_hvm_setcontext(self, xch: XcInterface, domid: int, hvm_ctxt: Any, size: int, /) -> int: ...
    def xc_domain_populate_physmap_exact(
        self,
        xch: XcInterface,
        domid: int,
        nr_extents: int,
        extent_order: int,
        mem_flags: int,
        extent_start: Any,
        /,
    ) -> int: ...
    def xc_vcpu_getinfo(self, xch: XcInterface, domid: int, vcpu: int, info: VcpuInfoStruct, /) -> int: ...
    def xc_sysctl(self, xch: XcInterface, sysctl: Any, /) -> int: ...
    def xc_tbuf_enable(self, xch: XcInterface, pages: int, mfn: Any, size: Any, /) -> int: ...
    def xc_tbuf_disable(self, xch: XcInterface, /) -> int: ...
    def xc_tbuf_set_size(self, xch: XcInterface, size: int, /) -> int: ...
    def xc_tbuf_set_cpu_mask(self, xch: XcInterface, mask: Any, /) -> int: ...
    def xc_tbuf_set_evt_mask(self, xch: XcInterface, mask: int, /) -> int: ...

class LibXenForeignMemory(Protocol):
    def xenforeignmemory_open(self, logger: XenToolLogger, open_flags: int, /) -> XenForeignMemory: ...
    def xenforeignmemory_close(self, fmem: XenForeignMemory, /) -> int: ...
    def xenforeignmemory_map(
        self, fmem: XenForeignMemory, dom: int, prot: int, pages: int, arr: Any, err: Any, /
    ) -> Any: ...
    def xenforeignmemory_unmap(self, fmem: XenForeignMemory, addr: Any, pages: int, /) -> int: ...

class LibXenEvtchn(Protocol):
    def xenevtchn_open(self, logger: Any, open_flags: int, /) -> EventChannel: ...
    def xenevtchn_close(self, xce: EventChannel, /) -> int: ...
    def xenevtchn_fd(self, xce: EventChannel, /) -> int: ...
    def xenevtchn_bind_virq(self, xce: EventChannel, virq: int, /) -> int: ...
    def xenevtchn_pending(self, xce: EventChannel, /) -> int: ...
    def xenevtchn_unmask(self, xce: EventChannel, port: int, /) -> int: ...

class LibXenToolLog(Protocol):
    def xtl_createlogger_stdiostream(self, f: CFile, min_level: int, flags: int, /) -> XenToolLogger: ...
    def xtl_logger_destroy(self, logger: XenToolLogger, /) -> None: ...

class LibC(Protocol):
    def open_memstream(self, text: Any, size: Any, /) -> CFile: ...
    def rewind(self, stream: CFile, /) -> None: ...
    def fclose(self, stream: CFile, /) -> int: ...
    def free(self, memory: Any, /) -> None: ...

class FFI:
    NULL: Any
    errno: int
    def new(self, cdecl: str, init: object = ..., /) -> Any: ...
    def new_allocator(self, *, should_clear_after_alloc: bool = ...) -> Callable[..., Any]: ...
    def string(self, cdata: Any, maxlen: int = ...) -> bytes: ...
    def buffer(self, cdata: Any, size: int = ...) -> Any: ...
    def from_buffer(self, cdecl: str, python_buffer: Any, /) -> Any: ...
    def memmove(self, dest: Any, src: Any, n: int, /) -> None: ...
    def dlopen(self, name: str | None, flags: int = ..., /) -> Any: ...
    def cast(self, cdecl: str, source: object, /) -> Any: ...
    def typeof(self, cdecl: str, /) -> Any: ...
    def sizeof(self, cdecl: Any, /) -> int: ...
    def offsetof(self, cdecl: Any, *path: Any) -> int: ...
