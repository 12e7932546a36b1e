"""VM exits: count them in Xen's trace, and tell which of them the APIC caused."""
