"""Sphinx configuration; the tables come out of the code that decides, so they cannot differ."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE))

project = "xenapic"
copyright = "2026, the xenapic authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
default_role = "py:obj"
html_theme = "furo"
html_title = "xenapic"
exclude_patterns = ["_build", "_generated"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
myst_enable_extensions = ["colon_fence", "deflist"]
suppress_warnings = ["ref.python"]

import pictures  # noqa: E402
import spec_tables  # noqa: E402
import tables  # noqa: E402

tables.write(HERE / "_generated")
spec_tables.write(HERE / "_generated" / "spec")
pictures.write(HERE / "_generated" / "spec")
