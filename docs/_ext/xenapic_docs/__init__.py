"""A Sphinx extension that writes the tables and pictures from the code that decides, before each build."""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from xenapic_docs.fragments import write

__all__ = ["setup"]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension; Sphinx calls this."""
    app.connect("builder-inited", _write_fragments)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write_fragments(app: Sphinx) -> None:
    write(Path(app.srcdir) / "_generated")
