"""The kinds of configurations, and the ways to know what a toolstack makes of them."""

from __future__ import annotations

from enum import Enum

__all__ = ["Evidence", "Syntax"]


class Evidence(Enum):
    """How it is known what this release's toolstack does."""

    EXECUTED = "executed"
    """Its real xl was run and recorded."""
    SOURCE = "source"
    """Read in its source; not run."""


class Syntax(Enum):
    """The kind of configuration."""

    XL_CFG = "xl.cfg"
    LIBVIRT = "libvirt"
    """A domain's XML."""
