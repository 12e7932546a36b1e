"""VM exits: what Xen records of them, what they had to do with the APIC, and how many there are."""
