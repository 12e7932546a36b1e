/*
 * x86: the controls for local APICs that a domain can have, and those that it
 * has by default (XEN_X86_APIC_*).
 */
#define XEN_SYSCTL_PHYSCAP_X86_APIC_AVAILABLE_MASK 0x00003f00u
#define XEN_SYSCTL_PHYSCAP_X86_APIC_DEFAULT_MASK   0x003f0000u

