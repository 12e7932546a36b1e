"""Document each object once: under ``xenapic`` if it has a name there, else under its module."""

from __future__ import annotations

from sphinx.application import Sphinx

import xenapic


def skip_what_has_a_top_name(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Return True for a module's member that a page documents as ``xenapic.NAME``; None leaves the choice to Sphinx."""
    if what == "module" and name in (*xenapic.__all__, "open") and getattr(xenapic, name) is obj:
        return True
    return None
