"""A policy in TOML."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from xenapic.errors import PolicyInvalid
from xenapic.policy.mapping import ReadPolicy, Trouble, read_mapping

__all__ = ["from_toml"]


def from_toml(text: str) -> ReadPolicy:
    """Read a policy from TOML; raise `PolicyInvalid` with every error and its line."""
    table = _parsed(text).get("apic")
    if not isinstance(table, Mapping):
        raise PolicyInvalid("a policy in TOML has a table [apic]")
    result = read_mapping(table)
    if isinstance(result, ReadPolicy):
        return result
    raise PolicyInvalid.of(
        [_with_line(text, trouble) for trouble in sorted(result, key=lambda each: _line(text, each) or 0)]
    )


def _parsed(text: str) -> dict[str, Any]:
    library = _library()
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
        places = (Trouble(key, "", f"a policy has no {key!r}, only the table [apic]") for key in others)
        raise PolicyInvalid.of([_with_line(text, place) for place in places])
    return document


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


def _with_line(text: str, trouble: Trouble) -> str:
    line = _line(text, trouble)
    return f"line {line}: {trouble.text}" if line else trouble.text


def _line(text: str, trouble: Trouble) -> int | None:
    """Return the line of a key, or of an item of its list; None where it cannot be found."""
    name = re.escape(trouble.key)
    start = r"^[ \t]*(?:apic[ \t]*\.[ \t]*|\[[ \t]*)?"
    key = re.search(rf"{start}[\"']?{name}[\"']?[ \t]*[=.\]]", text, re.MULTILINE)
    if key is None:
        return None
    item = re.compile(rf"""(["']){re.escape(trouble.item)}\1""").search(text, key.end())
    return text.count("\n", 0, item.start() if item and trouble.item else key.start()) + 1
