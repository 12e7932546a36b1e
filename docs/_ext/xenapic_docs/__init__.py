"""A Sphinx extension: before each build it writes the tables and pictures from the code that decides."""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from xenapic_docs.api import examples_as_code, readable_signature, skip_what_has_a_top_name
from xenapic_docs.fragments import write

__all__ = ["setup"]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension; Sphinx calls this."""
    app.connect("builder-inited", _write_fragments)
    app.connect("autodoc-skip-member", skip_what_has_a_top_name)
    app.connect("autodoc-process-signature", readable_signature)
    app.connect("sphinx-click-process-description", examples_as_code)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write_fragments(app: Sphinx) -> None:
    write(Path(app.srcdir) / "_generated")
