"""The syntax of xl's domain configuration files, as ``libxlu`` reads it.

Assignments ``name = value``, one a line or parted by ``;``; a value is a number, a string in
single or double quotes, or a list of such in brackets; ``#`` starts a comment. No expressions.
Source: ``tools/libs/util/libxlu_cfg_l.l`` and ``libxlu_cfg_y.y``; the same in 4.15 to 4.22.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

from xenapic.errors import PolicyInvalid

__all__ = ["XlValue", "parse_xl_cfg"]

XlValue: TypeAlias = "str | list[XlValue]"
"""A number keeps its text."""

TOKEN = re.compile(
    r"""[ \t]+ | \#[^\n]* | (?P<end>[\n;]) | (?P<name>[a-z][._0-9a-z]*) | (?P<number>[0-9][0-9a-fx]*)
    | '(?P<single>(?:[^'\\\n]|\\.)*)' | "(?P<double>(?:[^"\\\n]|\\.)*)" | (?P<sign>\+=|[\[\],=])""",
    re.VERBOSE,
)
ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|(.))")
PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

Token = tuple[str, str, int]
"""Kind, text, line."""


def parse_xl_cfg(text: str) -> dict[str, XlValue]:
    """Return the settings by name, of a name given twice the last; raise `PolicyInvalid` with the line."""
    tokens = [*_tokens(text), ("end", "", text.count("\n") + 1)]
    settings: dict[str, XlValue] = {}
    at = 0
    while at < len(tokens):
        if tokens[at][0] == "end":
            at += 1
            continue
        name, sign = tokens[at], tokens[at + 1]
        if name[0] != "name" or sign[1] not in ("=", "+="):
            raise _error(name, "a setting is name = value")
        value, at = _value(tokens, at + 2)
        if tokens[at][0] != "end":
            raise _error(tokens[at], "the setting does not end here")
        settings[name[1]] = _joined(settings.get(name[1]), value) if sign[1] == "+=" else value
    return settings


def _joined(before: XlValue | None, value: XlValue) -> XlValue:
    if isinstance(before, list) and isinstance(value, list):
        return [*before, *value]
    if isinstance(before, str) and isinstance(value, str):
        return before + value
    return value


def _tokens(text: str) -> Iterator[Token]:
    at, line = 0, 1
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise PolicyInvalid(f"line {line}: cannot be read as xl.cfg: {text[at : at + 20]!r}")
        if match.lastgroup is not None:
            yield match.lastgroup, match[match.lastgroup], line
        line += match[0].count("\n")
        at = match.end()


def _value(tokens: list[Token], at: int) -> tuple[XlValue, int]:
    kind, text, _line = tokens[at]
    if kind == "number":
        return text, at + 1
    if kind in ("single", "double"):
        return ESCAPE.sub(_unescaped, text), at + 1
    if text == "[":
        return _list(tokens, at + 1)
    raise _error(tokens[at], "a value is a number, a string in quotes or a list")


def _list(tokens: list[Token], at: int) -> tuple[XlValue, int]:
    items: list[XlValue] = []
    while True:
        at = _past_lines(tokens, at)
        if tokens[at][1] == "]":
            return items, at + 1
        item, at = _value(tokens, at)
        items.append(item)
        at = _past_lines(tokens, at)
        if tokens[at][1] == ",":
            at += 1
        elif tokens[at][1] != "]":
            raise _error(tokens[at], "a list goes on with , or ends with ]")


def _past_lines(tokens: list[Token], at: int) -> int:
    while tokens[at][:2] == ("end", "\n"):
        at += 1
    return at


def _unescaped(match: re.Match[str]) -> str:
    if match[1]:
        return chr(int(match[1], 16))
    if match[2]:
        return chr(int(match[2], 8))
    return PLAIN.get(match[3], match[3])


def _error(token: Token, text: str) -> PolicyInvalid:
    return PolicyInvalid(f"line {token[2]}: {text}: {token[1] or 'end of the file'!r}")
