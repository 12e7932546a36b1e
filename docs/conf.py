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
exclude_patterns = ["_build", "_ext", "_generated"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
myst_enable_extensions = ["colon_fence", "deflist"]
suppress_warnings = ["ref.python"]
