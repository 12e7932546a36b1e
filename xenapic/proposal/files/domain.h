/* Is a control for local APICs (XEN_X86_APIC_*) in force for an HVM domain? */
#define apic_accel(d, what) \
    (!!((d)->arch.hvm.apic_accel & XEN_X86_APIC_ ## what))

struct domain;
struct xen_domctl_createdomain;

uint32_t apic_accel_available(void);
uint32_t apic_accel_default(void);
int apic_accel_check(const struct xen_domctl_createdomain *config);
void apic_accel_init(struct domain *d, uint32_t misc_flags);

