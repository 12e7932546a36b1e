"""Draw SVG: the frame of a picture, text, and the colours of the outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

from xenapic.apic.outcome import Kind


@dataclass(frozen=True)
class Style:
    """How an outcome is shown."""

    letter: str
    colour: str
    ink: str
    words: str


STYLES = {
    Kind.STAYS: Style("S", "#009E73", "#000", "stays in the guest"),
    Kind.DEPENDS: Style("D", "#56B4E9", "#000", "depends on the value: stays, or exits after"),
    Kind.EXITS_AFTER: Style("A", "#F0E442", "#000", "exits after the write (trap-like)"),
    Kind.EXITS_BEFORE: Style("X", "#D55E00", "#000", "exits before (fault-like)"),
    Kind.MEMORY: Style("M", "#CC79A7", "#000", "plain memory, no APIC"),
    Kind.PHYSICAL: Style("P", "#000000", "#fff", "the processor's own APIC"),
    Kind.FAULTS: Style("F", "#0072B2", "#fff", "#GP(0) without an exit"),
    Kind.UNKNOWN: Style("?", "#999999", "#000", "unknown"),
}


def svg(name: str, width: float, height: float, title: str, desc: str, body: Iterable[str]) -> str:
    """Return a picture with its title and description for a screen reader."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="spec-picture" viewBox="0 0 {width:g} {height:g}" '
        f'role="img" aria-labelledby="{name}-title {name}-desc" font-family="sans-serif" fill="currentColor" '
        f'style="width:100%;max-width:{width:g}px;height:auto;color:inherit">\n'
        f'<title id="{name}-title">{escape(title)}</title>\n<desc id="{name}-desc">{escape(desc)}</desc>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def text(x: float, y: float, words: str, size: float = 11, **attributes: str) -> str:
    """Return a line of text."""
    more = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in attributes.items())
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}"{more}>{escape(words)}</text>'


ARROW = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="currentColor"/></marker></defs>'
)
"""The definition that every picture with arrows needs."""


def arrow(x1: float, y1: float, x2: float, y2: float) -> Iterator[str]:
    """Draw a straight arrow; the picture must contain `ARROW` too."""
    yield (
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="currentColor" stroke-width="1.2" '
        'marker-end="url(#tip)"/>'
    )
