"""Change the text of one file at one place, or say why the place is not as expected."""

from __future__ import annotations

import re

from xenapic.errors import TreeUnexpected
from xenapic.proposal.places import How, Place

__all__ = ["changed", "extent"]


def changed(text: str, place: Place, path: str) -> str:
    """Return a file's text with a place changed; ``path`` is for the message.

    Raises `TreeUnexpected`.
    """
    start, end = extent(text, place.within, path)
    if place.how is How.ABOVE:
        return text[:start] + place.text() + text[start:]
    body = text[start:end]
    pattern = _expected(body, place, path)
    return text[:start] + _edited(body, pattern, place, path) + text[end:]


def extent(text: str, within: str, path: str) -> tuple[int, int]:
    """Return where a function or a struct starts and ends in a file: from its first line to its last.

    Raises `TreeUnexpected` if it is not there exactly once.
    """
    if not within:
        return 0, len(text)
    starts = [
        found.start() for found in re.finditer(_head(within), text, re.M) if _defines(text, found.end())
    ]
    if len(starts) != 1:
        raise TreeUnexpected(path, within, f"defined {len(starts)} times in this file, not once")
    closing = re.compile(r"^\}[^\n]*\n", re.M).search(text, starts[0])
    if closing is None:
        raise TreeUnexpected(path, within, "has no end")
    return starts[0], closing.end()


def _head(within: str) -> str:
    if within.startswith("struct "):
        return rf"^{re.escape(within)}(?=\s*\{{)"
    # The return type may be on the line, and stands in the first column; a call is indented.
    return rf"^(?=[A-Za-z_])(?!#)[^\n;={{}}()]*\b{re.escape(within)}(?=\()"


def _defines(text: str, at: int) -> bool:
    """Return True if what follows a name is a body, and not the end of a declaration."""
    brace, semicolon = text.find("{", at), text.find(";", at)
    return brace >= 0 and not 0 <= semicolon < brace


def _expected(body: str, place: Place, path: str) -> re.Pattern[str]:
    """Return the pattern of the spelling that is in a body the right number of times."""
    times = 1 if place.how is How.DROP else place.times
    counts = {}
    for spelling in place.expect:
        pattern = _flexible(spelling)
        counts[spelling] = len(pattern.findall(body))
        if counts[spelling] == times:
            return pattern
    said = ", ".join(f"{spelling!r} {count} times" for spelling, count in counts.items())
    raise TreeUnexpected(path, place.within, f"has {said}, where {times} was expected")


def _flexible(spelling: str) -> re.Pattern[str]:
    words = r"\s+".join(re.escape(word) for word in spelling.split())
    first = r"(?<!\w)" if re.match(r"\w", spelling) else ""
    last = r"(?!\w)" if re.search(r"\w$", spelling) else ""
    return re.compile(first + words + last)


def _edited(body: str, pattern: re.Pattern[str], place: Place, path: str) -> str:
    put = place.text()
    if place.how is How.SWAP:
        return pattern.sub(lambda match: put.replace("@", match[0]), body)
    match = pattern.search(body)
    assert match is not None  # counted by `_expected`
    line = body.rfind("\n", 0, match.start()) + 1
    after = _next_line(body, match.end())
    if place.how is How.BEFORE:
        return body[:line] + put + body[line:]
    if place.how is How.AFTER:
        return body[:after] + put + body[after:]
    if place.how is How.AFTER_BLOCK:
        after = _block_end(body, line, place, path)
        return body[:after] + put + body[after:]
    for _more in range(place.times - 1):
        after = _next_line(body, after)
    return body[:line] + body[after:]


def _next_line(body: str, at: int) -> int:
    end = body.find("\n", at)
    return len(body) if end < 0 else end + 1


def _block_end(body: str, line: int, place: Place, path: str) -> int:
    indent = re.compile(r"[ \t]*").match(body, line)
    assert indent is not None  # it also matches nothing
    closing = re.compile(rf"^{indent[0]}\}}\n", re.M).search(body, line)
    if closing is None:
        raise TreeUnexpected(path, place.within, f"has no block after {place.expect[0]!r}")
    return closing.end()
