"""Values that wrap one of Xen's structures and convert a field when it is read for the first time.

Asking Xen for a thousand domains costs little; turning eighteen fields of each into Python objects costs
more than the hypercall. Most programs read two or three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

__all__ = ["Converters", "FromRow", "Rows", "from_row"]

Converters = Mapping[str, Callable[[Any], object]]
"""For each field, how to compute it from the structure."""

T = TypeVar("T", bound="FromRow")


class FromRow:
    """Base of a frozen dataclass with slots: an object made by `from_row` fills a slot on first access.

    Such an object is equal to one that was made with the same values, and can be copied and pickled.
    """

    __slots__ = ("_row",)
    _row: tuple[Any, int, Converters]

    if not TYPE_CHECKING:  # a type checker must still find misspelt names

        def __getattr__(self, name: str) -> object:
            # Python calls this only for a slot that is empty, and for names that do not exist.
            try:
                rows, index, converters = _get_row(self)
                convert = converters[name]
            except (AttributeError, KeyError):
                raise AttributeError(
                    f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self
                ) from None
            value = convert(rows[index])
            object.__setattr__(self, name, value)
            return value


def from_row(kind: type[T], rows: Any, index: int, converters: Converters) -> T:
    """Return an object for ``rows[index]``, whose fields ``converters`` computes; ``rows`` is kept."""
    made = _new(kind)
    _set_row(made, (rows, index, converters))
    return made


_new = object.__new__
_set_row = FromRow.__dict__["_row"].__set__
_get_row = FromRow.__dict__["_row"].__get__


class Rows(Sequence[T], Generic[T]):
    """An immutable sequence of values over an array of structures; each is wrapped when it is asked for.

    Equal to any list or tuple with equal items.
    """

    __slots__ = ("_converters", "_kind", "_made", "_rows")

    def __init__(self, kind: type[T], rows: Any, count: int, converters: Converters) -> None:
        self._kind = kind
        self._rows = rows
        self._converters = converters
        self._made: list[T | None] = [None] * count

    def __len__(self) -> int:
        return len(self._made)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[T, ...]: ...
    def __getitem__(self, place: int | slice) -> T | tuple[T, ...]:
        if isinstance(place, slice):
            return tuple(self[index] for index in range(*place.indices(len(self._made))))
        made = self._made[place]
        if made is None:
            index = place if place >= 0 else place + len(self._made)
            made = self._made[place] = from_row(self._kind, self._rows, index, self._converters)
        return made

    def __iter__(self) -> Iterator[T]:
        return (self[index] for index in range(len(self._made)))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Rows | list | tuple):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a list: equal to lists, which have no hash

    def __repr__(self) -> str:
        return repr(list(self))
