"""Draw SVG: the frame of a picture, text, and the colours of the outcomes."""

from __future__ import annotations

from collections.abc import Iterable
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
    """Return a picture with what a screen reader says of it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="spec-picture" viewBox="0 0 {width:g} {height:g}" '
        f'role="img" aria-labelledby="{name}-title {name}-desc" font-family="sans-serif" fill="currentColor" '
        f'style="max-width:100%;height:auto;color:inherit">\n'
        f'<title id="{name}-title">{escape(title)}</title>\n<desc id="{name}-desc">{escape(desc)}</desc>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def text(x: float, y: float, words: str, size: float = 11, **attributes: str) -> str:
    """Return a line of text."""
    more = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in attributes.items())
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}"{more}>{escape(words)}</text>'
