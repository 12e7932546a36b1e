/* What several subjects share: xen/include/public/xen.h, tools/include/xenctrl.h, xentoollog.h. */

typedef uint16_t domid_t;
typedef uint8_t xen_domain_handle_t[16];
typedef unsigned long xen_pfn_t;

typedef struct xc_interface_core xc_interface;
typedef struct xentoollog_logger xentoollog_logger;
