"""libxenctrl as it is: declarations picked by release, calls that raise. Knows nothing of APICs."""
