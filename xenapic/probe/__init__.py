"""The probe guest: what a guest's accesses to its local APIC cost and do, measured from inside."""
