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
``Annotated[int, Unsigned(32)]``          a whole number of 32 bits
``str``, ``int``, ``float``, ``bool``     themselves
``object``                                any JSON value, as it is
``A | B``                                 the type that fits; of dataclasses, the one that shares most keys
========================================  ==================================================

A class with a class variable ``SCHEMA`` is a *document*: its object begins with the key ``schema``, and the
reader refuses any other schema. The reader skips keys that the class does not have. A field whose key is
missing gets its default; without a default, a missing key is an error. A class with ``OMIT_DEFAULTS`` does
not write the fields that have their default. Every error is a `DocumentInvalid` that names the place.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum, IntFlag
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from xenapic.errors import DocumentInvalid
from xenapic.parse.jsonforms import (
    MISSING_KEY,
    SCALARS,
    Form,
    Hex,
    Read,
    Unsigned,
    Write,
    choice,
    enum,
    flag_word,
    hexadecimal,
    unsigned,
    wrong,
)
from xenapic.parse.jsontext import step

__all__ = ["decode", "encode"]

NUMBER = re.compile(r"-?[0-9]{1,4000}", re.ASCII)
"""A whole number as a key of an object."""


def encode(value: object) -> dict[str, Any]:
    """Return the JSON object of a dataclass."""
    kind: Any = type(value)
    written: dict[str, Any] = _form(kind).write(value)
    return written


def decode(kind: Any, data: object) -> Any:
    """Read a dataclass, or one of a union of dataclasses, from a JSON object; raise `DocumentInvalid`."""
    return _form(kind).read(data)


@cache
def _form(kind: Any) -> Form:
    """Return the form of a type hint; raise TypeError for one that has none."""
    if kind in SCALARS:
        return SCALARS[kind]
    origin = get_origin(kind)
    if origin is not None:
        return _generic(kind, origin)
    if isinstance(kind, type) and is_dataclass(kind):
        return _of_dataclass(kind)
    if isinstance(kind, type) and issubclass(kind, IntFlag):
        return flag_word(kind, _of_list(SCALARS[str]).read)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return enum(kind)
    raise TypeError(f"no JSON form for {kind!r}")


def _generic(kind: Any, origin: Any) -> Form:
    arguments = get_args(kind)
    if origin in (Union, types.UnionType):
        return _of_union(tuple(map(_form, arguments)))
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:])
    if origin is Literal:
        return choice(arguments)
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return _of_list(_form(arguments[0]))
    if issubclass(origin, Mapping):
        return _of_mapping(arguments[0], _form(arguments[1]))
    raise TypeError(f"no JSON form for {kind!r}")


def _annotated(kind: Any, metadata: tuple[Any, ...]) -> Form:
    for entry in metadata:
        if isinstance(entry, Hex):
            return hexadecimal(entry.digits)
        if isinstance(entry, Unsigned):
            return unsigned(entry.bits)
    return _form(kind)


# -- containers ------------------------------------------------------------------------------------------


def _of_list(item: Form) -> Form:
    read_item, write_item = item.read, item.write

    def read(value: Any) -> tuple[Any, ...]:
        if type(value) not in (list, tuple):
            raise wrong("a list", value)
        try:
            return tuple(map(read_item, value))
        except DocumentInvalid:
            return _slowly(value)

    def _slowly(value: Any) -> tuple[Any, ...]:
        """Read again, to find the item that is wrong."""
        for number, entry in enumerate(value):
            try:
                read_item(entry)
            except DocumentInvalid as error:
                raise error.under(step("", number)) from None
        raise AssertionError("the same list read differently")

    return Form("a list", read, lambda values: [write_item(entry) for entry in values], (tuple, list))


def _of_mapping(key: Any, item: Form) -> Form:
    read_item, write_item = item.read, item.write
    read_key, write_key = _key(key)

    def read(value: Any) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise wrong("an object", value)
        entries = {}
        for name, entry in value.items():
            try:
                entries[read_key(name)] = read_item(entry)
            except DocumentInvalid as error:
                raise error.under(step("", str(name))) from None
        return entries

    def write(value: Mapping[Any, Any]) -> dict[str, Any]:
        return {write_key(name): write_item(entry) for name, entry in value.items()}

    return Form("an object", read, write, (Mapping,))


def _key(kind: Any) -> tuple[Read, Write]:
    """Return how to read and write a mapping's keys; in JSON every key is text."""
    if kind is not int:
        form = _form(kind)
        return form.read, form.write

    def read(name: Any) -> int:
        if isinstance(name, str) and NUMBER.fullmatch(name):
            return int(name)
        raise wrong("a key that is a whole number", name)

    return read, str


def _of_union(forms: tuple[Form, ...]) -> Form:
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
        raise wrong(expects, value)

    def write(value: Any) -> Any:
        return next(form for form in forms if type(value) in form.accepts).write(value)

    accepts = tuple(kind for form in forms for kind in form.accepts)
    return Form(expects, read, write, accepts)


def _optional(form: Form, expects: str) -> Form:
    read_value, write_value = form.read, form.write

    def read(value: Any) -> Any:
        if value is None:
            return None
        try:
            return read_value(value)
        except DocumentInvalid as error:
            if error.path:
                raise
            raise wrong(expects, value) from None

    def write(value: Any) -> Any:
        return None if value is None else write_value(value)

    return Form(expects, read, write, (*form.accepts, type(None)))


def _nearest(objects: list[Form], value: Mapping[Any, Any]) -> Form:
    """Return the class that shares most keys with the object; among equals, the one with fewest missing."""

    def distance(form: Form) -> tuple[int, int]:
        keys = form.keys or {}
        lacking = sum(needed for key, needed in keys.items() if key not in value)
        return -len(keys.keys() & value.keys()), lacking

    return min(objects, key=distance)


def _of_dataclass(kind: type) -> Form:
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
        """Read an object that lacks keys, or raise an error that names the place."""
        if not isinstance(value, Mapping):
            raise wrong("an object", value)
        if schema is not None and value.get("schema") != schema:
            raise _other_schema(schema, value)
        values, name = {}, ""
        try:
            for name, read_field, needed in rows:
                if name in value:
                    values[name] = read_field(value[name])
                elif needed:
                    raise DocumentInvalid(MISSING_KEY)
        except DocumentInvalid as error:
            raise error.under(name) from None
        return kind(**values)

    omitted = {field.name: field.default for field in fields(kind)} if _omits_defaults(kind) else {}

    def write(value: Any) -> dict[str, Any]:
        written = {} if schema is None else {"schema": schema}
        for name, write_field in writers:
            part = getattr(value, name)
            if name not in omitted or part != omitted[name]:
                written[name] = write_field(part)
        return written

    keys = {name: needed for name, _read, needed in rows}
    return Form("an object", read, write, (kind,), keys)


def _other_schema(schema: str, value: Mapping[Any, Any]) -> DocumentInvalid:
    if "schema" not in value:
        return DocumentInvalid(MISSING_KEY, "schema")
    return wrong(f'"{schema}"', value["schema"]).under("schema")


def _omits_defaults(kind: type) -> bool:
    return getattr(kind, "OMIT_DEFAULTS", False)


def _needed(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING
