
/*
 * The processor's controls for local APICs.  A bit that is in neither mask of
 * misc_flags has the host's default (XEN_SYSCTL_PHYSCAP_X86_APIC_*).  Reading
 * back, XEN_X86_APIC_ON_MASK has what is in force.
 *
 *  - EINVAL: both on and off; on, while a bit that it needs is off; a PV
 *    domain; nested virtualization
 *  - ENODEV: on, and the bit or one that it needs is not available
 */
#define XEN_X86_APIC_TPR_SHADOW  (1u << 0) /* use TPR shadow */
#define XEN_X86_APIC_ACCESS_PAGE (1u << 1) /* virtualize APIC accesses */
#define XEN_X86_APIC_REGISTERS   (1u << 2) /* APIC-register virtualization */
#define XEN_X86_APIC_DELIVERY    (1u << 3) /* virtual-interrupt delivery */
#define XEN_X86_APIC_POSTED      (1u << 4) /* process posted interrupts */
#define XEN_X86_APIC_X2APIC_MODE (1u << 5) /* virtualize x2APIC mode */
#define XEN_X86_APIC_ALL         0x3fu
#define XEN_X86_APIC_ON_MASK     0x00003f00u
#define XEN_X86_APIC_OFF_MASK    0x003f0000u
