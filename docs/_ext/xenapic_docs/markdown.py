"""Write Markdown: tables, labels, and links to the glossary."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from xenapic.apic.controls import Controls
from xenapic.apic.features import feature
from xenapic.glossary import Topic, topics
from xenapic.model.flags import ALTP2M, CDF, EMU

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


DIFFERING = (
    "tpr_shadow",
    "virtualize_apic_accesses",
    "virtualize_x2apic_mode",
    "apic_register_virtualization",
    "virtual_interrupt_delivery",
    "posted_interrupts",
    "cr8_load_exiting",
    "cr8_store_exiting",
)
"""Keys of the controls that differ between situations, in the order in which tables show them."""


def shown(controls: object) -> str:
    """Return the controls that differ between situations, in words."""
    keys = controls.keys if isinstance(controls, Controls) else ()
    return ", ".join(feature(key).short for key in DIFFERING if key in keys) or "none of these"


def mark(yes: object) -> str:
    """Return yes or a dash."""
    return "yes" if yes else "–"


NAMES = frozenset(name.lower() for kind in (CDF, ALTP2M, EMU) for name in kind.__members__) | {"pv", "pvh"}
"""Names of flags and guest types: they keep their small letter at the start of a sentence."""


def sentence(text: str) -> str:
    """Return text with a capital letter, unless it starts with a name that is written small."""
    first = re.match(r"[\w=]*", text)
    word = first[0] if first else ""
    if word in NAMES or re.search(r"[A-Z0-9_=]", word):
        return text
    return f"{text[:1].upper()}{text[1:]}"
