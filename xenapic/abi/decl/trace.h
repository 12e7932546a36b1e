/* Xen's trace buffers: xen/include/public/{sysctl,trace}.h, tools/include/xenctrl.h. */

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

int xc_sysctl(xc_interface *xch, struct xen_sysctl *sysctl);
int xc_tbuf_enable(xc_interface *xch, unsigned long pages, unsigned long *mfn, unsigned long *size);
int xc_tbuf_disable(xc_interface *xch);
int xc_tbuf_set_size(xc_interface *xch, unsigned long size);
int xc_tbuf_set_cpu_mask(xc_interface *xch, uint8_t *mask);
int xc_tbuf_set_evt_mask(xc_interface *xch, uint32_t mask);
