"""The Xen releases whose libxenctrl is known, one row each.

libxenctrl is unstable by design: each release has its own soname
(``libxenctrl.so.4.17``) and may lay structures out differently. Releases with the
same declarations share a *generation*; ``build_ffi.py`` refuses to
build when releases of one generation differ.

To add a release: add its row, mark what it changed in ``xenapic/abi/decl``, add its
layout to ``tests/data/abi``.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RELEASES", "Release", "release", "soname"]


@dataclass(frozen=True, order=True)
class Release:
    """A Xen release, ordered by its number."""

    number: tuple[int, int]
    """Major and minor version: what Xen calls a release, e.g. ``(4, 17)``."""
    generation: str
    """Name of the generated module in ``xenapic._xenctrl`` that declares its ABI."""

    def __str__(self) -> str:
        return "{}.{}".format(*self.number)


RELEASES = (
    Release((4, 15), "xen_4_15"),
    Release((4, 16), "xen_4_16"),
    Release((4, 17), "xen_4_17"),
    Release((4, 18), "xen_4_18"),
    Release((4, 19), "xen_4_19"),
    Release((4, 20), "xen_4_19"),
    Release((4, 21), "xen_4_21"),
    Release((4, 22), "xen_4_21"),
)
"""Every release whose ABI is known, oldest first."""


def release(text: str) -> Release | None:
    """Return the row for ``"4.17"``, or None when that release is not known."""
    return next((row for row in RELEASES if str(row) == text), None)


def soname(row: Release) -> str:
    """Return the ``DT_SONAME`` of the release's libxenctrl."""
    return f"libxenctrl.so.{row}"
