"""APIC acceleration in Xen: ask, plan, create, see, verify."""
