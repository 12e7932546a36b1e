"""A running Xen: ask it, create domains, measure, read what is in force."""
