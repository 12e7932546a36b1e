"""A Sphinx extension: before each build it writes the tables and pictures from the code that decides."""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from xenapic.explorer.page import explorer_page
from xenapic_docs.api import examples_as_code, readable_signature, skip_what_has_a_top_name
from xenapic_docs.fragments import write

__all__ = ["setup"]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension; Sphinx calls this."""
    app.connect("builder-inited", _write_fragments)
    app.connect("build-finished", _write_explorer)
    app.connect("autodoc-skip-member", skip_what_has_a_top_name)
    app.connect("autodoc-process-signature", readable_signature)
    app.connect("sphinx-click-process-description", examples_as_code)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write_fragments(app: Sphinx) -> None:
    write(Path(app.srcdir) / "_generated")


def _write_explorer(app: Sphinx, error: Exception | None) -> None:
    """Write the explorer next to the pages: it is a page of its own."""
    if error is None and app.builder.format == "html":
        Path(app.outdir, "explorer.html").write_text(explorer_page(), encoding="utf-8")
