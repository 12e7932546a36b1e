"""A running Xen: ask, create, measure, read what is in force."""
