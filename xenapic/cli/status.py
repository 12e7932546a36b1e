"""The exit statuses of the command."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Status"]


class Status(IntEnum):
    """Exit statuses; scripts may rely on them."""

    FINE = 0
    REFUSED = 1
    """Refused, or failed."""
    USAGE = 2
    """Wrong usage."""
    UNAVAILABLE = 3
    """Xen cannot be used from here: no Xen, no privilege, or no libxenctrl that fits."""
