"""Topics about processors."""

from __future__ import annotations

from xenapic.apic.features import FEATURES
from xenapic.apic.processors import IPIV, PROCESSORS
from xenapic.glossary.topic import Source, Topic, TopicKind

__all__ = ["SOURCES"]

EVERYWHERE = {"external_interrupt_exiting", "cr8_load_exiting", "cr8_store_exiting", "msr_bitmaps"}
DIFFERENT = (IPIV | {"avic", "x2avic"}) - EVERYWHERE
"""Controls in which processors differ: worth a reference."""


def _processor(name: str) -> Topic:
    row = PROCESSORS[name]
    names = {feature.key: feature.name for feature in FEATURES}
    offers = ", ".join(text for key, text in names.items() if key in row.offers) or "none of the controls"
    unsure = ", ".join(text for key, text in names.items() if key in row.unknown)
    kind = f"{row.emulated_by}'s model of it" if row.emulated_by else "the real processor"
    text = f"{row.title}, {kind}. Offers: {offers}.{f' Unknown: {unsure}.' if unsure else ''}"
    return Topic(
        name,
        TopicKind.PROCESSOR,
        row.title,
        f"{text} Source: {row.source}.",
        f"{row.notes[:1].upper()}{row.notes[1:]}." if row.notes else "",
        see=tuple(key for key in names if key in row.offers & DIFFERENT),
        aliases=(row.title, *((row.name.partition("@")[0],) if "@" in row.name else ())),
    )


SOURCES = {TopicKind.PROCESSOR: Source(PROCESSORS.keys, _processor)}
