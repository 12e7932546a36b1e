"""Topics about which no table says more than `xenapic.glossary.prose`: terms; and the settings of xl.cfg."""

from __future__ import annotations

from collections.abc import Iterator

from xenapic.glossary import prose
from xenapic.glossary.topic import Source, Topic, TopicKind, from_prose
from xenapic.toolstack.keys import FIRST, KEYS

__all__ = ["SOURCES"]

IN_FILE = " (xl.cfg)"
ROWS = {row.name + IN_FILE: row for row in KEYS if row.field}
"""Those that decide the create request; what others are called, too, has the file's name in its own."""
ASSISTED = from_prose(TopicKind.SETTING, prose.SETTINGS, prose.ALSO)


def _names() -> Iterator[str]:
    yield from ASSISTED.names()
    yield from ROWS


def _setting(name: str) -> Topic:
    if name in prose.SETTINGS:
        return ASSISTED.topic(name)
    row = ROWS[name]
    since = f" Since Xen {row.since[0]}.{row.since[1]}." if row.since > FIRST else ""
    return Topic(
        name,
        TopicKind.SETTING,
        f"{row.name}= in an xl.cfg",
        f"{row.text[:1].upper()}{row.text[1:]}.{since}",
        f"It decides the create request's {row.field}. 'xenapic plan FILE' checks a whole file.",
        xen="tools/xl/xl_parse.c; tools/libs/light/libxl_create.c",
        aliases=(row.name,),
    )


SOURCES = {
    TopicKind.TERM: from_prose(TopicKind.TERM, prose.TERMS, prose.ALSO),
    TopicKind.SETTING: Source(_names, _setting),
}
