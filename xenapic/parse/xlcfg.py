"""The syntax of xl's domain configuration files, as ``libxlu`` reads it.

Assignments ``name = value``, one on a line or separated by ``;``; a value is a number, a string in
single or double quotes, or a list of such in brackets; ``#`` starts a comment. No expressions.
Source: ``tools/libs/util/libxlu_cfg_l.l``, ``libxlu_cfg_y.y`` and ``libxlu_cfg.c``; the same in 4.15 to
4.22. Compared with Debian's libxlutil of 4.17 by the test suite where that is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from xenapic.errors import PolicyInvalid

__all__ = ["XlSetting", "XlValue", "c_number", "parse_xl_cfg", "read_xl_cfg"]

XlValue: TypeAlias = "str | list[XlValue]"
"""A number keeps its text."""

TOKEN = re.compile(
    r"""[ \t]+ | (?P<end>;|\n|\#[^\n]*\n) | (?P<name>[a-z][._0-9a-z]*) | (?P<number>[0-9][0-9a-fx]*)
    | (?P<string>'(?:[^'\\\n]|\\[^\n])*'|"(?:[^"\\\n]|\\[^\n])*") | (?P<sign>\+=|[\[\],=])""",
    re.VERBOSE,
)
PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
BLANK = " \\t\\n\\v\\f\\r"
"""What C's isspace() accepts."""
DECIMAL = re.compile(rf"[{BLANK}]*[+-]?[0-9]+")
NUMBER = re.compile(rf"[{BLANK}]*([+-]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[0-7]*|[1-9][0-9]*)")
LONG = range(-(1 << 63), 1 << 63)
LONG_DIGITS = 19
MAX_DEPTH = 4996
"""Brackets that bison's stack (YYMAXDEPTH 10000, two entries for each) has room for."""

Token = tuple[str, str, int]
"""Kind, text, line."""


class XlSetting(NamedTuple):
    """A setting of a file: of a name set twice the last."""

    value: XlValue
    line: int
    """The line where it was set last."""
    added: bool = False
    """Whether it was set with ``+=``; xl reads no number from such a setting."""


def parse_xl_cfg(text: str) -> dict[str, XlValue]:
    """Return the values by name, of a name given twice the last; raise `PolicyInvalid` with the line."""
    return {name: setting.value for name, setting in read_xl_cfg(text).items()}


def read_xl_cfg(text: str) -> dict[str, XlSetting]:
    """Return the settings by name, of a name given twice the last; raise `PolicyInvalid` with the line."""
    tokens = [*_tokens(text), ("end", "", text.count("\n") + 1)]
    settings: dict[str, XlSetting] = {}
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
        added = sign[1] == "+="
        if added and name[1] in settings:
            value = _joined(settings[name[1]].value, value, name)
        settings[name[1]] = XlSetting(value, name[2], added)
    return settings


def c_number(text: str, binary: bool = False) -> int | None:
    """Return the number that ``strtol`` with base 0 reads from a complete text; None when it reads none.

    Blanks before it are allowed, a sign, 0x and 0 for other bases; not blanks after it, nor a number that
    does not fit into 64 bits. With ``binary`` 0b is a base too, as in programs built with glibc 2.38 or newer
    (Debian's libxlutil of 4.20, not that of 4.17).
    """
    match = NUMBER.fullmatch(text)
    if match is None:
        return None
    digits = match[2].lower()
    if digits.startswith("0b") and not binary:
        return None
    base = {"0x": 16, "0b": 2}.get(digits[:2], 8 if digits.startswith("0") else 10)
    if base == 10 and len(digits) > LONG_DIGITS:
        return None
    number = int(digits, base)
    number = -number if match[1] == "-" else number
    return number if number in LONG else None


def _joined(before: XlValue, value: XlValue, name: Token) -> XlValue:
    if isinstance(before, list) and isinstance(value, list):
        return [*before, *value]
    if isinstance(before, str) and isinstance(value, str):
        return before + value
    raise _error(name, "+= cannot join a list and a single value")


def _tokens(text: str) -> Iterator[Token]:
    at, line = 0, 1
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            if at == len(text) - 1:
                return  # flex's end of file swallows one stray character
            raise PolicyInvalid(f"line {line}: cannot be read as xl.cfg: {text[at : at + 20]!r}")
        kind = match.lastgroup
        if kind is not None:
            yield kind, match[kind], line
        line += match[0].count("\n")
        at = match.end()


def _value(tokens: list[Token], at: int) -> tuple[XlValue, int]:
    if tokens[at][1] == "[" and tokens[at][0] == "sign":
        return _list(tokens, at + 1)
    return _atom(tokens[at]), at + 1


def _atom(token: Token) -> str:
    kind, text, line = token
    if kind == "number":
        return text
    if kind == "string":
        return _unquoted(text, line)
    raise _error(token, "a value is a number, a string in quotes or a list")


def _list(tokens: list[Token], at: int) -> tuple[XlValue, int]:
    """Read a list after its bracket; nested ones without recursion, since bison's stack is deep too."""
    items: list[XlValue] = []
    outer: list[list[XlValue]] = []
    after_value = False
    while True:
        at = _past_lines(tokens, at)
        token = tokens[at]
        kind, text = ("", "") if token[0] == "string" else (token[0], token[1])
        at += 1
        if text == "]":
            if not outer:
                return items, at
            outer[-1].append(items)
            items, after_value = outer.pop(), True
        elif after_value:
            if text != ",":
                raise _error(token, "a list goes on with , or ends with ]")
            after_value = False
        elif kind == "sign" and text == "[":
            outer.append(items)
            items = []
            if len(outer) >= MAX_DEPTH:
                raise _error(token, f"lists may be nested {MAX_DEPTH} deep")
        else:
            items.append(_atom(token))
            after_value = True


def _past_lines(tokens: list[Token], at: int) -> int:
    while tokens[at][0] == "end" and tokens[at][1].endswith("\n"):
        at += 1
    return at


def _unquoted(text: str, line: int) -> str:
    """Return a string without its quotes and escapes, as ``xlu__cfgl_dequote`` has it."""
    pieces: list[str] = []
    end = len(text) - 1
    at = 1
    if "\0" in text:
        raise PolicyInvalid(f"line {line}: a NUL byte inside a string makes xl abort")
    while at < end:
        if text[at] != "\\":
            stop = text.find("\\", at, end)
            stop = end if stop < 0 else stop
            pieces.append(text[at:stop])
            at = stop
            continue
        letter = text[at + 1]
        at += 2
        if letter in "01234567":
            at += _dropped(text[at : at + 3], line)
        elif letter in PLAIN or letter in "\\'\"":
            pieces.append(PLAIN.get(letter, letter))
        else:
            raise PolicyInvalid(f"line {line}: xl refuses the escape \\{letter} in a string")
    return "".join(pieces)


def _dropped(following: str, line: int) -> int:
    r"""Return how many characters an octal escape takes after its first digit; libxlu drops its value.

    It wants two more of what ``strtoul`` with base 10 reads, and takes at most three.
    """
    match = DECIMAL.match(following)
    if match is None or match.end() < 2:
        raise PolicyInvalid(f"line {line}: xl refuses an octal escape of fewer than three digits")
    return match.end()


def _error(token: Token, text: str) -> PolicyInvalid:
    return PolicyInvalid(f"line {token[2]}: {text}: {token[1] or 'end of the file'!r}")
