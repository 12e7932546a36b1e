"""What the processor does with a guest's accesses to its local APIC. Pure: no Xen, no hardware."""
