"""Topics about processors."""

from __future__ import annotations

from xenapic.apic.features import FEATURES
from xenapic.apic.processors import IPIV, PROCESSORS
from xenapic.glossary.topic import Source, Topic, TopicKind

__all__ = ["SOURCES", "by_trade"]

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
    if row.signatures:
        text += f" CPUID signature: {', '.join(row.signatures)} (family, model and stepping in hexadecimal)."
    return Topic(
        name,
        TopicKind.PROCESSOR,
        row.title,
        f"{text} Source: {row.source}.",
        f"{row.notes[:1].upper()}{row.notes[1:]}." if row.notes else "",
        see=tuple(key for key in names if key in row.offers & DIFFERENT),
        aliases=(row.title, *((row.name.partition("@")[0],) if "@" in row.name else ())),
    )


def by_trade(text: str) -> list[Topic]:
    """Return the processors that a CPUID signature or a name in the trade means; none if it means none."""
    from xenapic.apic.lookup import look_up

    match = look_up(text)
    if match is None:
        return []
    topics = [_processor(row.name) for row in match.rows]
    if len(topics) > 1:
        said = f"{match.said}; which of these it is, is open: {', '.join(row.name for row in match.rows)}"
    else:
        said = match.said
    return [topic._replace(text=f"{said}. {topic.text}") for topic in topics]


SOURCES = {TopicKind.PROCESSOR: Source(PROCESSORS.keys, _processor)}
