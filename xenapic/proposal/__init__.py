"""The proposal in Xen's own source: what changes where, as data, and the patch series for somebody's tree."""
