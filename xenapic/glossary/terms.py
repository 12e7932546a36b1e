"""Topics about which no table says more than `xenapic.glossary.prose`: terms and settings of xl.cfg."""

from __future__ import annotations

from xenapic.glossary import prose
from xenapic.glossary.topic import TopicKind, from_prose

__all__ = ["SOURCES"]

SOURCES = {
    TopicKind.TERM: from_prose(TopicKind.TERM, prose.TERMS, prose.ALSO),
    TopicKind.SETTING: from_prose(TopicKind.SETTING, prose.SETTINGS, prose.ALSO),
}
