"""Write ``xenapic/_xenctrl/xen_*.py``: one cffi module (out-of-line, ABI level) per ABI generation.

The declarations stand here once. A line that not every release has ends in a
mark: ``//@ >=4.16`` (first release that has it), ``//@ <4.21`` (first that no
longer has it), or both. Which releases share a generation is a table in
``xenapic/abi/generations.py``; it is checked here.

Sources: Xen's ``xen/include/public/{domctl,sysctl,trace,version}.h``,
``arch-x86/{xen,hvm/save}.h``, ``tools/include/{xenctrl,xenevtchn,xenforeignmemory,xentoollog}.h``
of each release. ``tests/abi`` holds the result against the real headers.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import cffi

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))
from xenapic.abi.generations import RELEASES, Release  # noqa: E402  (a pure table)

PACKAGE = "xenapic._xenctrl"

DECLARATIONS = """
typedef uint16_t domid_t;
typedef uint8_t xen_domain_handle_t[16];
typedef unsigned long xen_pfn_t;

struct xen_arch_domainconfig {
    uint32_t emulation_flags;
    uint32_t misc_flags;
};

struct xen_domctl_createdomain {
    uint32_t ssidref;
    xen_domain_handle_t handle;
    uint32_t flags;
    uint32_t iommu_opts;
    uint32_t max_vcpus;
    uint32_t max_evtchn_port;
    int32_t max_grant_frames;
    int32_t max_maptrack_frames;
    uint32_t grant_opts;                                //@ >=4.16
    uint32_t altp2m_opts;                               //@ >=4.19 <4.21
    struct { uint16_t opts; uint16_t nr; } altp2m;      //@ >=4.21
    uint32_t vmtrace_size;
    uint32_t cpupool_id;                                //@ >=4.17
    struct xen_arch_domainconfig arch;
};

struct xen_sysctl_physinfo {
    uint32_t threads_per_core;
    uint32_t cores_per_socket;
    uint32_t nr_cpus;
    uint32_t max_cpu_id;
    uint32_t nr_nodes;
    uint32_t max_node_id;
    uint32_t cpu_khz;
    uint32_t capabilities;
    uint32_t arch_capabilities;                         //@ >=4.17
    uint32_t pad;                                       //@ >=4.17
    uint64_t total_pages;
    uint64_t free_pages;
    uint64_t scrub_pages;
    uint64_t outstanding_pages;
    uint64_t max_mfn;
    uint32_t hw_cap[8];
};

struct xen_domctl_getdomaininfo {
    domid_t domain;
    uint16_t pad1;                                      //@ >=4.16
    uint32_t flags;
    uint64_t tot_pages;
    uint64_t max_pages;
    uint64_t outstanding_pages;
    uint64_t shr_pages;
    uint64_t paged_pages;
    uint64_t shared_info_frame;
    uint64_t cpu_time;
    uint32_t nr_online_vcpus;
    uint32_t max_vcpu_id;
    uint32_t ssidref;
    xen_domain_handle_t handle;
    uint32_t cpupool;
    uint8_t gpaddr_bits;                                //@ >=4.16
    uint8_t pad2[7];                                    //@ >=4.16
    struct xen_arch_domainconfig arch_config;
};

struct hvm_save_descriptor {
    uint16_t typecode;
    uint16_t instance;
    uint32_t length;
};

struct hvm_hw_cpu {
    uint8_t fpu_regs[512];
    uint64_t rax, rbx, rcx, rdx, rbp, rsi, rdi, rsp;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip, rflags;
    uint64_t cr0, cr2, cr3, cr4;
    uint64_t dr0, dr1, dr2, dr3, dr6, dr7;
    uint32_t cs_sel, ds_sel, es_sel, fs_sel, gs_sel, ss_sel, tr_sel, ldtr_sel;
    uint32_t cs_limit, ds_limit, es_limit, fs_limit, gs_limit, ss_limit, tr_limit, ldtr_limit;
    uint32_t idtr_limit, gdtr_limit;
    uint64_t cs_base, ds_base, es_base, fs_base, gs_base, ss_base, tr_base, ldtr_base;
    uint64_t idtr_base, gdtr_base;
    uint32_t cs_arbytes, ds_arbytes, es_arbytes, fs_arbytes, gs_arbytes, ss_arbytes, tr_arbytes, ldtr_arbytes;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t shadow_gs;
    uint64_t msr_flags, msr_lstar, msr_star, msr_cstar, msr_syscall_mask, msr_efer, msr_tsc_aux;
    uint64_t tsc;
    uint32_t pending_event;
    uint32_t error_code;
    uint32_t flags;
    uint32_t pad0;
};

struct hvm_hw_lapic {
    uint64_t apic_base_msr;
    uint32_t disabled;
    uint32_t timer_divisor;
    uint64_t tdt_msr;
    uint32_t pending_esr;                               //@ >=4.18
};

struct hvm_hw_lapic_regs {
    uint8_t data[1024];
};

struct xen_cpupoolinfo {
    uint32_t cpupool_id;
    uint32_t sched_id;
    uint32_t n_dom;
    uint8_t *cpumap;
};

struct xenctl_bitmap {
    uint64_t bitmap;
    uint32_t nr_bits;
};

struct xen_sysctl_tbuf_op {
    uint32_t cmd;
    struct xenctl_bitmap cpu_mask;
    uint32_t evt_mask;
    uint64_t buffer_mfn;
    uint32_t size;
};

struct xen_sysctl {
    uint32_t cmd;
    uint32_t interface_version;
    union { struct xen_sysctl_tbuf_op tbuf_op; uint8_t pad[128]; } u;
};

struct t_buf {
    uint32_t cons;
    uint32_t prod;
};

struct t_info {
    uint16_t tbuf_size;
    uint16_t mfn_offset[];
};

struct xen_domctl_getvcpuinfo {
    uint32_t vcpu;
    uint8_t online;
    uint8_t blocked;
    uint8_t running;
    uint64_t cpu_time;
    uint32_t cpu;
};

struct xc_error {
    int code;
    char message[1024];
};

typedef struct xc_interface_core xc_interface;
typedef struct xentoollog_logger xentoollog_logger;

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild_logger,
                                unsigned open_flags);
int xc_interface_close(xc_interface *xch);
const struct xc_error *xc_get_last_error(xc_interface *handle);
void xc_clear_last_error(xc_interface *xch);
const char *xc_error_code_to_desc(int code);

int xc_version(xc_interface *xch, int cmd, void *arg);
int xc_physinfo(xc_interface *xch, struct xen_sysctl_physinfo *info);
struct xen_cpupoolinfo *xc_cpupool_getinfo(xc_interface *xch, uint32_t poolid);
int xc_get_cpumap_size(xc_interface *xch);
void xc_cpupool_infofree(xc_interface *xch, struct xen_cpupoolinfo *info);
int xc_readconsolering(xc_interface *xch, char *buffer, unsigned int *pnr_chars,
                       int clear, int incremental, uint32_t *pindex);
int xc_send_debug_keys(xc_interface *xch, const char *keys);

int xc_domain_create(xc_interface *xch, uint32_t *pdomid, struct xen_domctl_createdomain *config);
int xc_domain_destroy(xc_interface *xch, uint32_t domid);
int xc_domain_pause(xc_interface *xch, uint32_t domid);
int xc_domain_unpause(xc_interface *xch, uint32_t domid);
int xc_domain_max_vcpus(xc_interface *xch, uint32_t domid, unsigned int max);
int xc_domain_setmaxmem(xc_interface *xch, uint32_t domid, uint64_t max_memkb);
int xc_domain_set_tsc_info(xc_interface *xch, uint32_t domid, uint32_t tsc_mode, uint64_t elapsed_nsec,
                           uint32_t gtsc_khz, uint32_t incarnation);
int xc_domain_sethandle(xc_interface *xch, uint32_t domid, xen_domain_handle_t handle);
int xc_domain_getinfolist(xc_interface *xch, uint32_t first_domain, unsigned int max_domains,
                          struct xen_domctl_getdomaininfo *info);
int xc_domain_getinfo_single(xc_interface *xch, uint32_t domid, struct xen_domctl_getdomaininfo *info);   //@ >=4.18
int xc_domain_hvm_getcontext(xc_interface *xch, uint32_t domid, uint8_t *ctxt_buf, uint32_t size);
int xc_domain_hvm_getcontext_partial(xc_interface *xch, uint32_t domid, uint16_t typecode, uint16_t instance,
                                     void *ctxt_buf, uint32_t size);
int xc_domain_hvm_setcontext(xc_interface *xch, uint32_t domid, uint8_t *hvm_ctxt, uint32_t size);
int xc_domain_populate_physmap_exact(xc_interface *xch, uint32_t domid, unsigned long nr_extents,
                                     unsigned int extent_order, unsigned int mem_flags, xen_pfn_t *extent_start);

int xc_vcpu_getinfo(xc_interface *xch, uint32_t domid, uint32_t vcpu, struct xen_domctl_getvcpuinfo *info);

int xc_sysctl(xc_interface *xch, struct xen_sysctl *sysctl);
int xc_tbuf_enable(xc_interface *xch, unsigned long pages, unsigned long *mfn, unsigned long *size);
int xc_tbuf_disable(xc_interface *xch);
int xc_tbuf_set_size(xc_interface *xch, unsigned long size);
int xc_tbuf_set_cpu_mask(xc_interface *xch, uint8_t *mask);
int xc_tbuf_set_evt_mask(xc_interface *xch, uint32_t mask);

/* libxenevtchn.so.1: stable */
typedef struct xenevtchn_handle xenevtchn_handle;
xenevtchn_handle *xenevtchn_open(xentoollog_logger *logger, unsigned open_flags);
int xenevtchn_close(xenevtchn_handle *xce);
int xenevtchn_fd(xenevtchn_handle *xce);
int xenevtchn_bind_virq(xenevtchn_handle *xce, unsigned int virq);
int xenevtchn_pending(xenevtchn_handle *xce);
int xenevtchn_unmask(xenevtchn_handle *xce, uint32_t port);

/* libxentoollog.so.1: stable */
xentoollog_logger *xtl_createlogger_stdiostream(void *f, int min_level, unsigned flags);
void xtl_logger_destroy(xentoollog_logger *logger);

/* libxenforeignmemory.so.1: stable */
typedef struct xenforeignmemory_handle xenforeignmemory_handle;
xenforeignmemory_handle *xenforeignmemory_open(xentoollog_logger *logger, unsigned open_flags);
int xenforeignmemory_close(xenforeignmemory_handle *fmem);
void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages,
                           const xen_pfn_t *arr, int *err);
int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages);

/* the C library */
void *fdopen(int fd, const char *mode);
int fclose(void *stream);
"""  # noqa: E501

MARK = re.compile(r"\s*//@(?P<bounds>(?:\s+(?:>=|<)4\.\d+)+)$")


def declarations(release: Release) -> str:
    """Return the C declarations that hold for one release."""
    kept = []
    for line in DECLARATIONS.splitlines():
        mark = MARK.search(line)
        if mark is None:
            kept.append(line)
        elif all(_holds(bound, release) for bound in mark["bounds"].split()):
            kept.append(line[: mark.start()])
    return "\n".join(kept)


def _holds(bound: str, release: Release) -> bool:
    major, minor = bound.lstrip("<>=").split(".")
    reached = release.number >= (int(major), int(minor))
    return reached if bound.startswith(">=") else not reached


def generations() -> dict[str, str]:
    """Return module name to declarations; raise ValueError when the table of generations is untrue."""
    found: dict[str, str] = {}
    for release in RELEASES:
        text = declarations(release)
        if found.setdefault(release.generation, text) != text:
            raise ValueError(f"Xen {release} differs from the others of {release.generation}")
    if len(set(found.values())) != len(found):
        raise ValueError("two generations have the same declarations")
    return found


def generate(into: Path = ROOT / "xenapic" / "_xenctrl") -> list[Path]:
    """Write a module per generation and return their paths; nothing is compiled, nothing needs Xen."""
    written = []
    for name, text in generations().items():
        ffi = cffi.FFI()
        ffi.cdef(text)
        ffi.set_source(f"{PACKAGE}.{name}", None)
        path = into / f"{name}.py"
        ffi.emit_python_code(str(path))
        written.append(path)
    return written


if __name__ == "__main__":
    for made in generate():
        print(made.relative_to(ROOT))
