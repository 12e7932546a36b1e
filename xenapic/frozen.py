"""Frozen dataclasses that are cheap to define: what is not used is not generated.

`dataclass` has the meaning of `dataclasses.dataclass`, and its classes work with everything of that module
(`fields`, `replace`, `asdict`). The standard decorator compiles seven methods for each class, which was half
of what a command spent on imports. Here six are functions shared by all classes, and ``__init__`` is
compiled once a class turns out to be used often: that takes as long as to make twenty objects without it.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from operator import attrgetter

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass
    from typing import Any

__all__ = ["dataclass"]

if not TYPE_CHECKING:  # type checkers know the standard decorator

    def dataclass(*, frozen: bool = False, slots: bool = False, kw_only: bool = False, **more: bool) -> Any:
        """Return a decorator that makes a dataclass; what is not frozen is left to the standard one."""
        if not frozen or more:
            return dataclasses.dataclass(frozen=frozen, slots=slots, kw_only=kw_only, **more)

        def decorate(cls: type) -> type:
            own = set(vars(cls))
            plain = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)
            return _complete(plain(cls), own)

        return decorate


def _complete(cls: type, own: set[str]) -> type:
    """Add the methods that a frozen dataclass has, except those that the class defines itself."""
    fields = dataclasses.fields(cls)
    compared = _getter([field.name for field in fields if field.compare])
    methods: dict[str, Any] = {
        "__init__": _Init(cls),
        "__repr__": _repr,
        "__eq__": _equality(compared),
        "__hash__": _hashing(compared),
        "__getstate__": _getstate,
        "__setstate__": _setstate,
    }
    if "__eq__" in own and "__hash__" not in own:
        del methods["__hash__"]
    for name, method in methods.items():
        if name not in own:
            setattr(cls, name, method)
    cls.__setattr__ = _setattr  # type: ignore[assignment,method-assign]
    cls.__delattr__ = _delattr  # type: ignore[assignment,method-assign]
    return cls


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that gets the values of some attributes as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    if not names:
        return lambda _value: ()
    only = attrgetter(*names)
    return lambda value: (only(value),)


def _equality(compared: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any, object], Any]:
    def equal(self: Any, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return compared(self) == compared(other)

    return equal


def _hashing(compared: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any], int]:
    def hashed(self: Any) -> int:
        return hash(compared(self))

    return hashed


def _repr(self: Any) -> str:
    shown = (
        f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr
    )
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _setattr(self: Any, name: str, value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, field.name) for field in dataclasses.fields(self))


def _setstate(self: Any, state: tuple[Any, ...]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


class _FromFactory:
    """Stands for a value that a factory makes."""

    def __repr__(self) -> str:
        return "<factory>"


FROM_FACTORY = _FromFactory()


SELDOM = 16
"""So many objects of a class are made without a compiled ``__init__``."""


class _Init:
    """Stands for ``__init__`` of a class, and puts the compiled one in its place when that is worth it."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self._made = 0

    def __get__(self, value: object, _owner: type | None = None) -> Any:
        if value is None or self._made >= SELDOM:
            init = self._compiled()
            return init if value is None else init.__get__(value)
        self._made += 1
        return partial(self._fill, value)

    def _compiled(self) -> Any:
        init = self.cls.__init__ = _compiled_init(self.cls)  # type: ignore[misc]
        return init

    def _fill(self, value: Any, /, *args: object, **named: object) -> None:
        """Do what the compiled function does; it gets a wrong call, whose error it words."""
        fields = dataclasses.fields(self.cls)
        names = [field.name for field in fields if field.init and not field.kw_only]
        given = {**dict(zip(names, args, strict=False)), **named}
        if len(args) > len(names) or len(given) < len(args) + len(named):
            self._compiled()(value, *args, **named)
        for field in fields:
            if field.init and field.name in given:
                object.__setattr__(value, field.name, given.pop(field.name))
            elif field.default is not dataclasses.MISSING:
                object.__setattr__(value, field.name, field.default)
            elif field.default_factory is not dataclasses.MISSING:
                object.__setattr__(value, field.name, field.default_factory())
            elif field.init:
                self._compiled()(value, *args, **named)
        if given:
            self._compiled()(value, *args, **named)
        if hasattr(value, "__post_init__"):
            value.__post_init__()


def _compiled_init(cls: type) -> Any:
    """Return ``__init__`` as the standard decorator would make it."""
    names: dict[str, Any] = {"_set": object.__setattr__, "_from_factory": FROM_FACTORY}
    positional: list[str] = []
    named: list[str] = []
    body: list[str] = []
    for field in dataclasses.fields(cls):
        name, value = field.name, field.name
        default = ""
        if field.default is not dataclasses.MISSING:
            names[f"_default_{name}"] = field.default
            default = f" = _default_{name}"
        if field.default_factory is not dataclasses.MISSING:
            names[f"_factory_{name}"] = field.default_factory
            default = " = _from_factory"
            value = f"_factory_{name}() if {name} is _from_factory else {name}"
        if field.init:
            (named if field.kw_only else positional).append(f"{name}{default}")
        elif not default:
            continue
        else:
            value = f"_factory_{name}()" if default == " = _from_factory" else f"_default_{name}"
        body.append(f"_set(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    parameters = ", ".join(["self", *positional, *(["*", *named] if named else [])])
    source = f"def __init__({parameters}):\n " + "\n ".join(body or ["pass"])
    exec(source, names)
    init = names["__init__"]
    init.__module__, init.__qualname__ = cls.__module__, f"{cls.__qualname__}.__init__"
    init.__annotations__ = {field.name: field.type for field in dataclasses.fields(cls) if field.init}
    init.__annotations__["return"] = None
    return init
