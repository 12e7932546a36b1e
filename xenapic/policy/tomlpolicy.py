"""A policy in TOML."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from itertools import islice
from typing import Any

from xenapic.errors import PolicyInvalid
from xenapic.policy.mapping import MOST_ERRORS, ReadPolicy, Trouble, read_mapping

__all__ = ["from_toml"]


def from_toml(text: str) -> ReadPolicy:
    """Read a policy from TOML; raise `PolicyInvalid` with every error and its line."""
    table = _parsed(text).get("apic")
    if not isinstance(table, Mapping):
        raise PolicyInvalid("a policy in TOML has a table [apic]")
    result = read_mapping(table)
    if isinstance(result, ReadPolicy):
        return result
    raise PolicyInvalid.of(_Lines(text).problems(result))


def _parsed(text: str) -> dict[str, Any]:
    library = _library()
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > MOST_DOTS:
            raise PolicyInvalid(f"line {number}: the TOML is nested too deeply")
    try:
        document: dict[str, Any] = library.loads(text)
    except library.TOMLDecodeError as error:
        raise PolicyInvalid(f"{_placed(str(error))} (read as TOML)") from None
    except RecursionError:
        raise PolicyInvalid("the TOML is nested too deeply") from None
    except ValueError as error:  # a number with more digits than Python converts
        raise PolicyInvalid(f"not TOML: {error}") from None
    others = [key for key in document if key != "apic"]
    if others:
        troubles = (Trouble(key, "", f"a policy has no {key!r}, only the table [apic]") for key in others)
        raise PolicyInvalid.of(_Lines(text).problems(islice(troubles, MOST_ERRORS)))
    return document


MOST_DOTS = 1000
"""In a line; the time that Python takes for a dotted key grows with the square of its length."""


def _library() -> Any:
    """Return the module that reads TOML: Python's own since 3.11, tomli before."""
    name = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise PolicyInvalid(
            f"Python {sys.version_info[0]}.{sys.version_info[1]} cannot read TOML: install tomli "
            "(pip install tomli; Debian: python3-tomli), or write the policy as an xl.cfg"
        ) from None


def _placed(message: str) -> str:
    """Return a decoder's message with its line first: ``Invalid value (at line 2, column 5)``."""
    match = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    if match is None:
        return message
    return f"line {match[2]}, column {match[3]}: {match[1]}" if match[2] else f"end of the file: {match[1]}"


# -- lines -------------------------------------------------------------------------------------------

KEY = re.compile(
    r"""^[ \t]*(?:apic[ \t]*\.[ \t]*|\[[ \t]*)?(["']?)([^"'=.\]\s]+)\1[ \t]*[=.\]]""", re.MULTILINE
)
"""The beginning of a line that sets a key or begins a table."""


class _Lines:
    """The lines of a text by key."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.ends: dict[str, int] = {}
        """Where each key ends."""
        for match in KEY.finditer(text):
            self.ends.setdefault(match[2], match.end())

    def number(self, trouble: Trouble) -> int:
        """Return the line of a key, or of an item of its list; 0 where it cannot be found."""
        end = self.ends.get(trouble.key)
        if end is None:
            return 0
        item = trouble.item and re.compile(rf"""(["']){re.escape(trouble.item)}\1""").search(self.text, end)
        return self.text.count("\n", 0, item.start() if item else end) + 1

    def problems(self, troubles: Iterable[Trouble]) -> list[str]:
        """Return the texts of errors with their lines, in the order of the lines."""
        placed = sorted((self.number(trouble), trouble.text) for trouble in troubles)
        return [f"line {line}: {text}" if line else text for line, text in placed]
