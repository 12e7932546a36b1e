"""The probe guest, which measures from inside what APIC accesses cost and do."""
