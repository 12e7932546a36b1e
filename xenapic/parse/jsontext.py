"""Parse JSON text strictly: what the standard leaves open, or Python allows in addition, is refused.

Source: RFC 8259. A UTF-8 byte order mark at the start is skipped, as its section 8.1 permits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from xenapic.errors import DocumentInvalid

__all__ = ["load", "step", "within"]

MARK = "\ufeff"
"""The byte order mark."""


class _Wrong:
    """Stands in the parsed document for something that JSON does not allow."""

    def __init__(self, message: str) -> None:
        self.message = message


def load(text: str | bytes) -> object:
    """Parse JSON text; raise `DocumentInvalid` with the line, or the place in the document.

    Refuses NaN and infinite numbers, a key that is twice in one object, and text that is not UTF-8.
    """
    if isinstance(text, bytes):
        text = _decoded(text)
    reader = _Reader()
    try:
        value: object = json.loads(
            text.removeprefix(MARK), object_pairs_hook=reader.object, parse_constant=reader.constant
        )
    except RecursionError:
        raise DocumentInvalid("not JSON that can be read: it is nested too deeply") from None
    except json.JSONDecodeError as error:
        words = error.msg[:1].lower() + error.msg[1:]
        raise DocumentInvalid(f"not JSON: line {error.lineno}, column {error.colno}: {words}") from None
    except ValueError:  # the only other: the interpreter's limit of digits (`sys.set_int_max_str_digits`)
        raise DocumentInvalid("not JSON that can be read: a number has thousands of digits") from None
    if reader.wrong:
        _refuse(value)
    return value


def step(path: str, key: str | int) -> str:
    """Return the path to an item: ``a``, ``a.b``, ``a["b c"]``, ``a[0]``."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if not key.replace("-", "_").isidentifier():
        return f"{path}[{json.dumps(key)}]"
    return f"{path}.{key}" if path else key


@contextmanager
def within(*places: str) -> Iterator[None]:
    """Put places, the outermost first, in front of the path of a `DocumentInvalid` that the block raises."""
    try:
        yield
    except DocumentInvalid as error:
        for place in reversed(places):
            error = error.under(place)
        raise error from None


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentInvalid(
            f"not JSON: line {line} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}"
        ) from None


class _Reader:
    """The hooks for `json.loads`; they see no path, so what is wrong is marked and looked for afterwards."""

    def __init__(self) -> None:
        self.wrong = False

    def constant(self, name: str) -> _Wrong:
        """Mark NaN, Infinity or -Infinity."""
        self.wrong = True
        return _Wrong(f"{name} is not a JSON number")

    def object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Return an object; mark a key that occurs twice."""
        made = dict(pairs)
        if len(made) != len(pairs):
            self.wrong = True
            seen: set[str] = set()
            for key, _value in pairs:
                if key in seen:
                    made[key] = _Wrong("the key occurs twice in this object")
                seen.add(key)
        return made


def _refuse(document: object) -> None:
    """Raise `DocumentInvalid` for the first mark; without recursion, however deep the document is."""
    waiting: list[tuple[str, object]] = [("", document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, _Wrong):
            raise DocumentInvalid(value.message, path)
        items = (
            value.items()
            if isinstance(value, Mapping)
            else enumerate(value)
            if isinstance(value, list)
            else ()
        )
        waiting.extend([(step(path, key), item) for key, item in items][::-1])
