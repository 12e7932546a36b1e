"""Topics about the states of a local APIC."""

from __future__ import annotations

from xenapic.apic.state import ApicState
from xenapic.glossary import prose
from xenapic.glossary.topic import Source, Topic, TopicKind

__all__ = ["SOURCES"]


def _state(name: str) -> Topic:
    words, state = prose.STATES[name], ApicState(name)
    text = f"IA32_APIC_BASE is, for example, {state.apic_base:#x}. {words.text}"
    return Topic(name, TopicKind.STATE, f"APIC state {name}", text, *words[1:])


SOURCES = {TopicKind.STATE: Source(prose.STATES.keys, _state)}
