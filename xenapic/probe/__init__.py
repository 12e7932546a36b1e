"""What APIC accesses cost and do: seen from inside by a probe guest, from outside in Xen's trace."""
