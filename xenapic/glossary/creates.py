"""Topics about creates: the rules by which Xen refuses one, and its error numbers."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from functools import lru_cache

from xenapic.errors import errno_name
from xenapic.glossary import prose
from xenapic.glossary.topic import Source, Topic, TopicKind, joined
from xenapic.model.conditions import FIRST, NEVER, Rule
from xenapic.model.releases import DEVELOPMENT
from xenapic.model.rules import RULES

__all__ = ["SOURCES", "span"]


def span(rule: Rule) -> str:
    """Return the releases that have a rule."""
    if rule.needs_interface:
        return DEVELOPMENT.name
    if rule.needs_bits:
        return "none: the proposal"
    since = "since {}.{}".format(*rule.since) if rule.since != FIRST else ""
    until = "before {}.{}".format(*rule.until) if rule.until != NEVER else ""
    return joined(since, until) or "all"


@lru_cache(maxsize=1)
def _by_code() -> dict[str, list[Rule]]:
    by_code: dict[str, list[Rule]] = {}
    for rule in RULES:
        by_code.setdefault(rule.code, []).append(rule)
    return by_code


NO_CALL = "Refused before Xen is called."
LATE = "The refusal is late: it can crash the host."


def _rule(name: str) -> Topic:
    if name in prose.OWN_CODES:
        words = prose.OWN_CODES[name]
        title = f"refused: {name}"
        return Topic(
            name, TopicKind.CREATE_RULE, title, words.text, "Refused before Xen is called.", see=words.see
        )
    rules = _by_code()[name]
    answers = tuple(dict.fromkeys(errno_name(rule.errno) for rule in rules if rule.errno is not None))
    late = any(rule.late for rule in rules)
    return Topic(
        name,
        TopicKind.CREATE_RULE,
        f"refused: {name} ({rules[0].field})",
        " ".join(f"{_sentence(rule.rule)} (Releases: {span(rule)}.)" for rule in rules),
        joined(
            f"Xen answers {' or '.join(answers)}." if answers else "Xen might accept it; xenapic refuses it.",
            LATE if late else "",
            *dict.fromkeys(rule.remedy for rule in rules),
        ),
        xen="; ".join(dict.fromkeys(rule.source for rule in rules)),
        see=(*answers, *(("late",) if late else ())),
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _names() -> Iterator[str]:
    yield from _by_code()
    yield from prose.OWN_CODES


def _errno(name: str) -> Topic:
    codes = dict.fromkeys(
        row.code for row in RULES if row.errno is not None and errno_name(row.errno) == name
    )
    number = getattr(errno, name)
    return Topic(
        name,
        TopicKind.ERRNO,
        f"errno {number}, {os.strerror(number)}",
        joined(prose.ERRNOS[name], f"From a create, one of: {', '.join(codes)}." if codes else ""),
        "A release build of Xen does not log the reason." if codes else "",
        see=tuple(codes),
        aliases=(f"errno {number}", *(("ENOTSUP",) if number == errno.EOPNOTSUPP else ())),
    )


SOURCES = {
    TopicKind.CREATE_RULE: Source(_names, _rule),
    TopicKind.ERRNO: Source(prose.ERRNOS.keys, _errno),
}
