"""What is asked of APIC acceleration, turned into a plan or a reasoned refusal. Pure: Xen is never called."""
