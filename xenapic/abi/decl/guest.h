/* A domain's CPUID: tools/include/xenguest.h (4.16: xenctrl.h). libxenguest.so.4.N is unstable, as libxenctrl
   is; these prototypes are the same in each point release from 4.16.0 to 4.22.0. 4.15 has none of them. */

struct xen_cpuid_leaf {
    uint32_t leaf, subleaf;
    uint32_t a, b, c, d;
};
typedef struct xen_cpuid_leaf xen_cpuid_leaf_t;
typedef struct xen_msr_entry xen_msr_entry_t;
typedef struct xc_cpu_policy xc_cpu_policy_t;
xc_cpu_policy_t *xc_cpu_policy_init(void); //@ >=4.16
void xc_cpu_policy_destroy(xc_cpu_policy_t *policy); //@ >=4.16
int xc_cpu_policy_get_domain(xc_interface *xch, uint32_t domid, xc_cpu_policy_t *policy); //@ >=4.16
int xc_cpu_policy_set_domain(xc_interface *xch, uint32_t domid, xc_cpu_policy_t *policy); //@ >=4.16
int xc_cpu_policy_get_size(xc_interface *xch, uint32_t *nr_leaves, uint32_t *nr_msrs); //@ >=4.16
int xc_cpu_policy_serialise(xc_interface *xch, const xc_cpu_policy_t *policy, xen_cpuid_leaf_t *leaves, uint32_t *nr_leaves, xen_msr_entry_t *msrs, uint32_t *nr_msrs); //@ >=4.16
int xc_cpu_policy_update_cpuid(xc_interface *xch, xc_cpu_policy_t *policy, const xen_cpuid_leaf_t *leaves, uint32_t nr); //@ >=4.16
