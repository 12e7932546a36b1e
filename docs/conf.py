"""Sphinx configuration. `xenapic_docs` writes the tables and pictures from the code that decides."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "xenapic"
copyright = "2026, the xenapic authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click", "xenapic_docs"]
default_role = "py:obj"
html_theme = "furo"
html_title = "xenapic"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
smartquotes = False
exclude_patterns = ["_build", "_ext", "_generated"]
autodoc_member_order = "bysource"
autodoc_default_options = {"undoc-members": True}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 90
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
suppress_warnings = ["ref.python"]
