"""Records what a real xl hands to ``xc_domain_create``, and compares it with our derivation."""
