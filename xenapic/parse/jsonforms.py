"""How texts, numbers, enums and flag words look in JSON; `xenapic.parse.codec` has the types with parts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntFlag
from math import isfinite
from typing import Any
from uuid import UUID

from xenapic.errors import DocumentInvalid
from xenapic.parse.flagnames import names

__all__ = [
    "MISSING_KEY",
    "SCALARS",
    "Form",
    "Hex",
    "Unsigned",
    "choice",
    "enum",
    "flag_word",
    "hexadecimal",
    "shown",
    "unsigned",
    "wrong",
]

Read = Callable[[Any], Any]
Write = Callable[[Any], Any]
MISSING_KEY = "the key is missing"
SHOWN_CHARACTERS = 40
"""How many characters of a value an error message quotes."""


@dataclass(frozen=True, slots=True)
class Form:
    """How values of one type look in JSON."""

    expects: str
    """For error messages: "text", "a whole number"."""
    read: Read
    write: Write
    accepts: tuple[type, ...] = ()
    """Python types that `write` accepts; needed in a union."""
    keys: Mapping[str, bool] | None = None
    """Keys of a dataclass, and whether each is required."""


@dataclass(frozen=True, slots=True)
class Hex:
    """Metadata of an ``Annotated[int, Hex(n)]``: the number is written as text of n hexadecimal digits."""

    digits: int

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the text."""
        return {"type": "string", "pattern": f"^[0-9a-fA-F]{{1,{self.digits}}}$"}


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Metadata of an ``Annotated[int, Unsigned(n)]``: a whole number of n bits."""

    bits: int

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the number."""
        return {"type": "integer", "minimum": 0, "maximum": (1 << self.bits) - 1}


def wrong(expects: str, value: object) -> DocumentInvalid:
    """Return the error for a value of another type, which it quotes."""
    return DocumentInvalid(f"expected {expects}, got {shown(value)}")


def shown(value: object) -> str:
    """Return a value as an error message quotes it."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        return f"a Python {type(value).__name__}, which JSON does not have"
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


# -- types that JSON has itself ------------------------------------------------------------------------


def _same(value: Any) -> Any:
    return value


def _scalar(kind: type, expects: str) -> Form:
    """Return the form of a type that JSON has itself; a bool is no number."""

    def read(value: Any) -> Any:
        if type(value) is kind:
            return value
        raise wrong(expects, value)

    return Form(expects, read, _same, (kind,))


def _read_text(value: Any) -> str:
    """Accept Unicode text only: JSON can escape half a surrogate pair, which no file or terminal can hold."""
    if type(value) is not str:
        raise wrong("text", value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise wrong("text without unpaired surrogates", value) from None
    return value


def _read_float(value: Any) -> float:
    if type(value) in (int, float):
        try:
            number = float(value)
        except OverflowError:
            raise wrong("a number", value) from None
        if isfinite(number):
            return number
    raise wrong("a number", value)


# -- types that are text in JSON -----------------------------------------------------------------------


def _read_uuid(value: Any) -> UUID:
    if isinstance(value, str):
        with suppress(ValueError):
            return UUID(value)
    raise wrong("a UUID", value)


def _read_time(value: Any) -> datetime:
    if isinstance(value, str):
        with suppress(ValueError):
            time = datetime.fromisoformat(value.replace("Z", "+00:00"))
            if time.tzinfo is not None:
                return time
    raise wrong("a time with its offset", value)


SCALARS: dict[Any, Form] = {
    str: Form("text", _read_text, _same, (str,)),
    int: _scalar(int, "a whole number"),
    bool: _scalar(bool, "true or false"),
    type(None): _scalar(type(None), "null"),
    float: Form("a number", _read_float, _same, (float, int)),
    UUID: Form("a UUID", _read_uuid, str, (UUID,)),
    datetime: Form("a time with its offset", _read_time, datetime.isoformat, (datetime,)),
    object: Form("any value", _same, _same, (object,)),
}


def hexadecimal(digits: int) -> Form:
    """Return the form of an ``Annotated[int, Hex(digits)]``."""
    expects = f"up to {digits} hexadecimal digits"
    allowed = frozenset("0123456789abcdefABCDEF")

    def read(value: Any) -> int:
        if isinstance(value, str) and 0 < len(value) <= digits and allowed.issuperset(value):
            return int(value, 16)
        raise wrong(expects, value)

    return Form(expects, read, lambda value: f"{value:0{digits}x}", (int,))


def unsigned(bits: int) -> Form:
    """Return the form of an ``Annotated[int, Unsigned(bits)]``."""
    expects = f"a whole number from 0 to {(1 << bits) - 1}"
    room = range(1 << bits)

    def read(value: Any) -> int:
        if type(value) is int and value in room:
            return value
        raise wrong(expects, value)

    return Form(expects, read, _same, (int,))


def choice(texts: tuple[str, ...]) -> Form:
    """Return the form of a ``Literal`` of texts."""
    expects = "one of " + ", ".join(map(json.dumps, texts))

    def read(value: Any) -> str:
        if isinstance(value, str) and value in texts:
            return value
        raise wrong(expects, value)

    return Form(expects, read, _same, (str,))


# -- enums and flag words ------------------------------------------------------------------------------


def enum(kind: type[Enum]) -> Form:
    """Return the form of an enum: its value."""
    members = {member.value: member for member in kind}
    types_of_values = {type(value) for value in members}
    expects = "one of " + ", ".join(json.dumps(member.value) for member in kind)

    def read(value: Any) -> Enum:
        if type(value) in types_of_values and value in members:
            return members[value]
        raise wrong(expects, value)

    return Form(expects, read, lambda member: member.value, (kind,))


def flag_word(kind: type[IntFlag], read_names: Read) -> Form:
    """Return the form of a flag word: an object with its value and the names of its bits."""
    expects = "an object with value and names"

    def read(value: Any) -> IntFlag:
        if not isinstance(value, Mapping):
            raise wrong(expects, value)
        for key in ("value", "names"):
            if key not in value:
                raise DocumentInvalid(MISSING_KEY, key)
        number = value["value"]
        if type(number) is not int or number < 0:
            raise wrong("a whole number from 0", number).under("value")
        try:
            read_names(value["names"])
        except DocumentInvalid as error:
            raise error.under("names") from None
        return kind(number)

    return Form(expects, read, lambda word: {"value": int(word), "names": names(word)}, (kind,))
