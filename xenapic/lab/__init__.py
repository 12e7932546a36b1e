"""A real, unmodified Xen in an emulated machine."""
