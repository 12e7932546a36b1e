"""libxenctrl: declarations for each release, and calls that raise. This package knows nothing about APICs."""
