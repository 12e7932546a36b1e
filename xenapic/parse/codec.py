"""Write frozen dataclasses as JSON and read them back, driven by their type hints.

========================================  ==================================================
type                                      JSON
========================================  ==================================================
dataclass                                 object, one key for each field, in their order
``Mapping[K, V]``                         object; keys are text, enum values or whole numbers
``tuple[T, ...]``                         list
enum                                      its value
flag word (`enum.IntFlag`)                ``{"value": 3, "names": ["hvm", "hap"]}``
`UUID`, `datetime`                        text; a time as in RFC 3339, with its offset
``Literal["a", "b"]``                     one of these texts
``Annotated[int, Hex(8)]``                text of 8 hexadecimal digits
``str``, ``int``, ``float``, ``bool``     themselves
``object``                                any JSON value, as it is
``A | B``                                 whichever fits; of dataclasses, the one with most of the keys
========================================  ==================================================

A class with a class variable ``SCHEMA`` is a *document*: its object begins with the key ``schema``, and the
reader refuses any other schema. The reader skips keys that the class does not have. A missing key takes the
field's default; without a default it is an error. Every error is a `DocumentInvalid` that names the place.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import datetime
from enum import Enum, IntFlag
from functools import cache
from math import isfinite
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from xenapic.errors import DocumentInvalid
from xenapic.parse.flagnames import names

__all__ = ["Hex", "decode", "encode", "load"]

Read = Callable[[Any], Any]
Write = Callable[[Any], Any]
NUMBER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
MISSING_KEY = "the key is missing"
SHOWN_CHARACTERS = 40
"""Of a value that an error message quotes."""


@dataclass(frozen=True, slots=True)
class Hex:
    """Metadata of an ``Annotated[int, Hex(n)]``: the number is written as text of n hexadecimal digits."""

    digits: int

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the text."""
        return {"type": "string", "pattern": f"^[0-9a-fA-F]{{1,{self.digits}}}$"}


def encode(value: object) -> dict[str, Any]:
    """Return the JSON object of a dataclass."""
    kind: Any = type(value)
    written: dict[str, Any] = _form(kind).write(value)
    return written


def decode(kind: Any, data: object) -> Any:
    """Read a dataclass, or one of a union of dataclasses, from a JSON object; raise `DocumentInvalid`."""
    return _form(kind).read(data)


def load(text: str | bytes) -> object:
    """Parse JSON text; raise `DocumentInvalid` when it is none."""
    try:
        value: object = json.loads(text)
    except RecursionError:
        raise DocumentInvalid("not JSON that can be read: it is nested too deeply") from None
    except ValueError as error:
        raise DocumentInvalid(f"not JSON: {error}") from None
    return value


# -- forms --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Form:
    """How values of one type look in JSON."""

    expects: str
    """For error messages: "text", "a whole number"."""
    read: Read
    write: Write
    takes: tuple[type, ...] = ()
    """Python types that `write` takes; needed in a union."""
    keys: Mapping[str, bool] | None = None
    """Of a dataclass: its keys, and whether each must be there."""


@cache
def _form(kind: Any) -> _Form:
    """Return the form of a type hint; raise TypeError for one that has none."""
    if kind in SCALARS:
        return SCALARS[kind]
    origin = get_origin(kind)
    if origin is not None:
        return _generic(kind, origin)
    if isinstance(kind, type) and is_dataclass(kind):
        return _of_dataclass(kind)
    if isinstance(kind, type) and issubclass(kind, IntFlag):
        return _of_flags(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _of_enum(kind)
    raise TypeError(f"no JSON form for {kind!r}")


def _generic(kind: Any, origin: Any) -> _Form:
    arguments = get_args(kind)
    if origin in (Union, types.UnionType):
        return _of_union(tuple(map(_form, arguments)))
    if origin is Annotated:
        hexadecimal = next((extra for extra in arguments[1:] if isinstance(extra, Hex)), None)
        return _form(arguments[0]) if hexadecimal is None else _of_hex(hexadecimal.digits)
    if origin is Literal:
        return _of_choice(arguments)
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return _of_list(_form(arguments[0]))
    if issubclass(origin, Mapping):
        return _of_mapping(arguments[0], _form(arguments[1]))
    raise TypeError(f"no JSON form for {kind!r}")


# -- what a value is called in an error ------------------------------------------------------------------


def _wrong(expects: str, value: object) -> DocumentInvalid:
    return DocumentInvalid(f"expected {expects}, got {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        return f"a Python {type(value).__name__}, which JSON does not have"
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def _place(key: object) -> str:
    text = str(key)
    return text if text.replace("-", "_").isidentifier() else f"[{json.dumps(text)}]"


# -- scalars -------------------------------------------------------------------------------------------


def _scalar(kind: type, expects: str, *also: type) -> _Form:
    """Return the form of a type that JSON has itself; a bool is no number."""
    exact = (kind, *also)

    def read(value: Any) -> Any:
        if type(value) in exact:
            return value
        raise _wrong(expects, value)

    return _Form(expects, read, _same, exact)


def _same(value: Any) -> Any:
    return value


def _read_float(value: Any) -> float:
    if type(value) in (int, float):
        try:
            number = float(value)
        except OverflowError:
            raise _wrong("a number", value) from None
        if isfinite(number):
            return number
    raise _wrong("a number", value)


def _read_uuid(value: Any) -> UUID:
    if isinstance(value, str):
        with suppress(ValueError):
            return UUID(value)
    raise _wrong("a UUID", value)


def _read_time(value: Any) -> datetime:
    if isinstance(value, str):
        with suppress(ValueError):
            time = datetime.fromisoformat(value.replace("Z", "+00:00"))
            if time.tzinfo is not None:
                return time
    raise _wrong("a time with its offset", value)


SCALARS: dict[Any, _Form] = {
    str: _scalar(str, "text"),
    int: _scalar(int, "a whole number"),
    bool: _scalar(bool, "true or false"),
    type(None): _scalar(type(None), "null"),
    float: _Form("a number", _read_float, _same, (float, int)),
    UUID: _Form("a UUID", _read_uuid, str, (UUID,)),
    datetime: _Form("a time with its offset", _read_time, datetime.isoformat, (datetime,)),
    object: _Form("any value", _same, _same, (object,)),
}


def _of_hex(digits: int) -> _Form:
    expects = f"up to {digits} hexadecimal digits"
    allowed = frozenset("0123456789abcdefABCDEF")

    def read(value: Any) -> int:
        if isinstance(value, str) and 0 < len(value) <= digits and allowed.issuperset(value):
            return int(value, 16)
        raise _wrong(expects, value)

    return _Form(expects, read, lambda value: f"{value:0{digits}x}", (int,))


def _of_choice(texts: tuple[str, ...]) -> _Form:
    expects = "one of " + ", ".join(map(json.dumps, texts))

    def read(value: Any) -> str:
        if isinstance(value, str) and value in texts:
            return value
        raise _wrong(expects, value)

    return _Form(expects, read, _same, (str,))


def _of_enum(kind: type[Enum]) -> _Form:
    members = {member.value: member for member in kind}
    types_of_values = {type(value) for value in members}
    expects = "one of " + ", ".join(json.dumps(member.value) for member in kind)

    def read(value: Any) -> Enum:
        if type(value) in types_of_values and value in members:
            return members[value]
        raise _wrong(expects, value)

    return _Form(expects, read, lambda member: member.value, (kind,))


def _of_flags(kind: type[IntFlag]) -> _Form:
    expects = "an object with value and names"
    read_names = _of_list(SCALARS[str]).read

    def read(value: Any) -> IntFlag:
        if not isinstance(value, Mapping):
            raise _wrong(expects, value)
        for key in ("value", "names"):
            if key not in value:
                raise DocumentInvalid(MISSING_KEY, key)
        number = value["value"]
        if type(number) is not int or number < 0:
            raise _wrong("a whole number from 0", number).under("value")
        try:
            read_names(value["names"])
        except DocumentInvalid as error:
            raise error.under("names") from None
        return kind(number)

    return _Form(expects, read, lambda word: {"value": int(word), "names": names(word)}, (kind,))


# -- containers ------------------------------------------------------------------------------------------


def _of_list(item: _Form) -> _Form:
    read_item, write_item = item.read, item.write

    def read(value: Any) -> tuple[Any, ...]:
        if type(value) not in (list, tuple):
            raise _wrong("a list", value)
        try:
            return tuple(map(read_item, value))
        except DocumentInvalid:
            return _slowly(value)

    def _slowly(value: Any) -> tuple[Any, ...]:
        """Read again, to find the item that is wrong."""
        for number, one in enumerate(value):
            try:
                read_item(one)
            except DocumentInvalid as error:
                raise error.under(f"[{number}]") from None
        raise AssertionError("the same list read differently")

    return _Form("a list", read, lambda values: [write_item(one) for one in values], (tuple, list))


def _of_mapping(key: Any, item: _Form) -> _Form:
    read_item, write_item = item.read, item.write
    read_key, write_key = _key(key)

    def read(value: Any) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise _wrong("an object", value)
        found = {}
        for name, one in value.items():
            try:
                found[read_key(name)] = read_item(one)
            except DocumentInvalid as error:
                raise error.under(_place(name)) from None
        return found

    def write(value: Mapping[Any, Any]) -> dict[str, Any]:
        return {write_key(name): write_item(one) for name, one in value.items()}

    return _Form("an object", read, write, (Mapping,))


def _key(kind: Any) -> tuple[Read, Write]:
    """Return how a mapping's keys are read and written; JSON has text alone."""
    if kind is not int:
        form = _form(kind)
        return form.read, form.write

    def read(name: Any) -> int:
        if isinstance(name, str) and NUMBER.fullmatch(name):
            return int(name)
        raise _wrong("a key that is a whole number", name)

    return read, str


def _of_union(forms: tuple[_Form, ...]) -> _Form:
    expects = " or ".join(dict.fromkeys(form.expects for form in forms))
    objects = [form for form in forms if form.keys is not None]
    if len(forms) == 2 and SCALARS[type(None)] in forms:
        return _optional(next(form for form in forms if form is not SCALARS[type(None)]), expects)

    def read(value: Any) -> Any:
        if objects and isinstance(value, Mapping):
            return _nearest(objects, value).read(value)
        for form in forms:
            if form.keys is None:
                try:
                    return form.read(value)
                except DocumentInvalid:
                    continue
        raise _wrong(expects, value)

    def write(value: Any) -> Any:
        return next(form for form in forms if type(value) in form.takes).write(value)

    takes = tuple(kind for form in forms for kind in form.takes)
    return _Form(expects, read, write, takes)


def _optional(form: _Form, expects: str) -> _Form:
    read_value, write_value = form.read, form.write

    def read(value: Any) -> Any:
        if value is None:
            return None
        try:
            return read_value(value)
        except DocumentInvalid as error:
            if error.path:
                raise
            raise _wrong(expects, value) from None

    def write(value: Any) -> Any:
        return None if value is None else write_value(value)

    return _Form(expects, read, write, (*form.takes, type(None)))


def _nearest(objects: list[_Form], value: Mapping[Any, Any]) -> _Form:
    """Return the class that shares most keys with the object; of equals, the one that lacks fewest."""

    def distance(form: _Form) -> tuple[int, int]:
        keys = form.keys or {}
        lacking = sum(needed for key, needed in keys.items() if key not in value)
        return -len(keys.keys() & value.keys()), lacking

    return min(objects, key=distance)


def _of_dataclass(kind: type) -> _Form:
    hints = get_type_hints(kind, include_extras=True)
    schema: str | None = getattr(kind, "SCHEMA", None)
    forms = [(field, _form(hints[field.name])) for field in fields(kind)]
    rows = [(field.name, form.read, _needed(field)) for field, form in forms]
    writers = [(field.name, form.write) for field, form in forms]

    def read(value: Any) -> Any:
        try:
            if schema is None or value["schema"] == schema:
                return kind(**{name: read_field(value[name]) for name, read_field, _needed in rows})
        except (DocumentInvalid, KeyError, TypeError):
            pass
        return _carefully(value)

    def _carefully(value: Any) -> Any:
        """Read an object that lacks keys, or say what is wrong with it."""
        if not isinstance(value, Mapping):
            raise _wrong("an object", value)
        if schema is not None and value.get("schema") != schema:
            raise _other_schema(schema, value)
        found, name = {}, ""
        try:
            for name, read_field, needed in rows:
                if name in value:
                    found[name] = read_field(value[name])
                elif needed:
                    raise DocumentInvalid(MISSING_KEY)
        except DocumentInvalid as error:
            raise error.under(name) from None
        return kind(**found)

    def write(value: Any) -> dict[str, Any]:
        start = {} if schema is None else {"schema": schema}
        return {**start, **{name: write_field(getattr(value, name)) for name, write_field in writers}}

    keys = {name: needed for name, _read, needed in rows}
    return _Form("an object", read, write, (kind,), keys)


def _other_schema(schema: str, value: Mapping[Any, Any]) -> DocumentInvalid:
    if "schema" not in value:
        return DocumentInvalid(MISSING_KEY, "schema")
    return _wrong(json.dumps(schema), value["schema"]).under("schema")


def _needed(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING
