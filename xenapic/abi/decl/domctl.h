/* Domains: xen/include/public/domctl.h, xen/include/public/arch-x86/xen.h. */

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

struct xen_domctl_getvcpuinfo {
    uint32_t vcpu;
    uint8_t online;
    uint8_t blocked;
    uint8_t running;
    uint64_t cpu_time;
    uint32_t cpu;
};
