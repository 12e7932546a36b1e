"""From a kernel to the pages, tables and registers that a PVH domain starts with. It never calls Xen."""
