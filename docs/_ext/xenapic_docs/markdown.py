"""Write Markdown: tables, labels, and links to the glossary."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from xenapic.apic.controls import Controls
from xenapic.glossary import Topic, topics

Row = Sequence[object]


def table(headers: Row, body: Iterable[Row]) -> str:
    """Return a Markdown table."""
    lines = [headers, ["---"] * len(headers), *body]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def slug(*parts: str) -> str:
    """Return a label for a place in the documentation."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-")


def topic_label(topic: Topic) -> str:
    """Return the label of a topic's place in the glossary."""
    return slug("topic", topic.kind.value, topic.name)


def link(name: str, text: str = "") -> str:
    """Return a link to a topic of the glossary."""
    return f"[{text or f'`{name}`'}](#{topic_label(topics()[name])})"


SHORT = {
    "tpr_shadow": "TPR shadow",
    "virtualize_apic_accesses": "APIC accesses",
    "virtualize_x2apic_mode": "x2APIC mode",
    "apic_register_virtualization": "registers",
    "virtual_interrupt_delivery": "delivery",
    "posted_interrupts": "posted",
    "cr8_load_exiting": "CR8-load exits",
    "cr8_store_exiting": "CR8-store exits",
}
"""How the tables call the controls that differ."""


def shown(controls: object) -> str:
    """Return the controls that differ between situations, in words."""
    keys = controls.keys if isinstance(controls, Controls) else ()
    return ", ".join(SHORT[key] for key in SHORT if key in keys) or "none of these"


def mark(yes: object) -> str:
    """Return yes or nothing."""
    return "yes" if yes else "–"


def sentence(text: str) -> str:
    """Return text with a capital, but for the names that begin small."""
    return text if text.startswith(("xAPIC", "x2APIC", "VM")) else f"{text[:1].upper()}{text[1:]}"
