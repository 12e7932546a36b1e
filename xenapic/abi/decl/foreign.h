/* Other domains' memory: tools/include/xenforeignmemory.h. libxenforeignmemory.so.1 is stable. */

typedef struct xenforeignmemory_handle xenforeignmemory_handle;
xenforeignmemory_handle *xenforeignmemory_open(xentoollog_logger *logger, unsigned open_flags);
int xenforeignmemory_close(xenforeignmemory_handle *fmem);
void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages,
                           const xen_pfn_t *arr, int *err);
int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages);
