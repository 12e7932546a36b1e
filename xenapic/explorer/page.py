"""Put the explorer's page together: one HTML file that loads nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files

from xenapic import __version__
from xenapic.explorer.data import explorer_data
from xenapic.model.host import Host
from xenapic.verify.page import COLOURS

__all__ = ["explorer_page"]


def explorer_page(hosts: Mapping[str, Host] | None = None) -> str:
    """Return the page; it offers ``hosts`` by their titles, and begins with the first of them."""
    style = _part("css").replace(
        "@COLOURS@", " ".join(f"--{name}: {colour};" for name, colour in COLOURS.items())
    )
    parts = {
        "@STYLE@": style.strip(),
        "@SCRIPT@": _part("js").strip(),
        "@VERSION@": __version__,
        "@DATA@": _json(explorer_data(hosts)),
    }
    page = _part("html")
    for mark, text in parts.items():
        page = page.replace(mark, text, 1)
    return page


def _part(kind: str) -> str:
    return files("xenapic.explorer").joinpath(f"page/explorer.{kind}").read_text(encoding="utf-8")


def _json(value: object) -> str:
    """Return JSON that can stand in a script element, whatever its texts hold."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
