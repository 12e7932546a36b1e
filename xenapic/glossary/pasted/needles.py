"""Words that a line must have for a pattern to match: looking for them is much cheaper than matching."""

from __future__ import annotations

__all__ = ["needles"]

SHORTEST = 3
"""Characters of a word below which it is in most lines."""
OPTIONAL = "?*{"
ENDS_LITERAL = frozenset(".^$+()[]{}|?*")
CLASSES = frozenset("dDsSwWbBAZ")


def needles(pattern: str) -> tuple[str, ...]:
    """Return a word for each alternative of a pattern, in lower case; nothing if one has no such word.

    A text without any of the words does not match, apart from its case.
    """
    words = [_longest(alternative) for alternative in _alternatives(pattern)]
    return tuple(dict.fromkeys(words)) if all(len(word) >= SHORTEST for word in words) else ()


def _alternatives(pattern: str) -> list[str]:
    """Split a pattern at the bars that are in no group and in no set."""
    parts, depth, start, at = [], 0, 0, 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 1
        elif char == "[":
            at = _end_of_set(pattern, at)
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "|" and depth == 0:
            parts.append(pattern[start:at])
            start = at + 1
        at += 1
    return [*parts, pattern[start:]]


def _end_of_set(pattern: str, at: int) -> int:
    """Return the place of the bracket that ends the set of characters that starts here."""
    at += 2 if pattern[at + 1] in "^]" else 1
    while pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    return at


def _longest(alternative: str) -> str:
    """Return the longest piece outside of groups that must be in a text as it is, in lower case."""
    pieces, word = [""], ""
    depth = at = 0
    while at < len(alternative):
        char, literal = alternative[at], False
        if char == "\\":
            at += 1
            char = alternative[at]
            literal = char not in CLASSES
        elif char == "[":
            at = _end_of_set(alternative, at)
        elif char == "{":
            at = alternative.index("}", at)
        else:
            literal = char not in ENDS_LITERAL
        depth += (char == "(" and not literal) - (char == ")" and not literal)
        if literal and not depth:
            word += char
        else:
            pieces.append(word[:-1] if char in OPTIONAL and not literal else word)
            word = ""
        at += 1
    return max([*pieces, word], key=len).casefold()
