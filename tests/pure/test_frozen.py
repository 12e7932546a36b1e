"""`xenapic.frozen.dataclass` against the standard decorator: the same class, but cheap to define."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenapic import frozen


def twins(**options: Any) -> tuple[type, type]:
    """Return a class made by each decorator."""

    def define(decorate: Any) -> type:
        @decorate(frozen=True, **options)
        class Sample:
            """A sample."""

            a: int
            b: str = "b"
            c: tuple[int, ...] = field(default_factory=tuple)
            d: object = field(default=None, compare=False)
            e: object = field(default=None, repr=False)
            f: int = field(init=False, default=0, compare=False)

            def __post_init__(self) -> None:
                object.__setattr__(self, "f", self.a * 2)

        return Sample

    return define(frozen.dataclass), define(dataclasses.dataclass)


PAIRS = [twins(), twins(slots=True), twins(kw_only=True), twins(slots=True, kw_only=True)]
VALUES = st.fixed_dictionaries(
    {"a": st.integers()},
    optional={"b": st.text(), "c": st.tuples(st.integers()), "d": st.integers(), "e": st.integers()},
)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@given(first=VALUES, second=VALUES)
def test_the_same_values(ours: Any, theirs: Any, first: dict[str, Any], second: dict[str, Any]) -> None:
    mine, other = ours(**first), theirs(**first)
    assert dataclasses.asdict(mine) == dataclasses.asdict(other)
    assert repr(mine) == repr(other)
    assert hash(mine) == hash(other)
    assert (mine == ours(**second)) is (other == theirs(**second))
    assert mine not in (other, 1)
    assert dataclasses.asdict(dataclasses.replace(mine, a=1)) == dataclasses.asdict(
        dataclasses.replace(other, a=1)
    )
    assert copy.copy(mine) == mine == copy.deepcopy(mine)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_the_same_class(ours: Any, theirs: Any) -> None:
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    assert ours.__match_args__ == theirs.__match_args__
    assert [each.name for each in dataclasses.fields(ours)] == [
        each.name for each in dataclasses.fields(theirs)
    ]
    assert ours.__doc__ == "A sample." and hasattr(ours, "__slots__") is hasattr(theirs, "__slots__")


@pytest.mark.parametrize("options", [{}, {"kw_only": True}])
@pytest.mark.parametrize(
    ("args", "named"),
    [((), {}), ((1, 2, 3, 4, 5, 6, 7), {}), ((), {"a": 1, "f": 2}), ((1,), {"a": 1}), ((), {"z": 1})],
)
@pytest.mark.parametrize("made", [0, frozen.SELDOM])
def test_a_wrong_call(
    options: dict[str, bool], args: tuple[int, ...], named: dict[str, int], made: int
) -> None:
    """It is told as the standard decorator's, before the first object and once ``__init__`` is compiled."""
    ours, theirs = twins(**options)
    for _ in range(made):
        ours(a=1)
    errors = []
    for kind in (ours, theirs):
        with pytest.raises(TypeError) as caught:
            kind(*args, **named)
        errors.append(str(caught.value))
    assert errors[0] == errors[1]


def test_init_is_compiled_for_classes_that_are_used_often() -> None:
    ours, _ = twins()
    for number in range(frozen.SELDOM + 2):
        assert isinstance(vars(ours)["__init__"], frozen._Init) is (number <= frozen.SELDOM)
        assert (ours(a=number).f, ours.__name__) == (2 * number, "Sample")


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_nothing_can_be_assigned(ours: Any, theirs: Any) -> None:
    for value in (ours(a=1), theirs(a=1)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.a = 2
        with pytest.raises(dataclasses.FrozenInstanceError):
            del value.a
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            value.new = 2


@frozen.dataclass(frozen=True, slots=True)
class Point:
    """A point."""

    x: int
    y: int = 0


@frozen.dataclass(frozen=True, slots=True)
class Only:
    """One field."""

    x: int


@frozen.dataclass(frozen=True)
class Own:
    """Methods of its own are kept."""

    x: int

    def __repr__(self) -> str:
        return "own"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own)

    def __hash__(self) -> int:
        return 7


def test_pickles() -> None:
    for value in (Point(1, 2), Only(3)):
        assert pickle.loads(pickle.dumps(value)) == value


def test_own_methods_are_kept() -> None:
    assert repr(Own(1)) == "own" and Own(1) == Own(2) and hash(Own(1)) == 7


def test_one_field_is_compared_by_value() -> None:
    assert Only(1) == Only(1) != Only(2) and hash(Only(1)) == hash((1,))


def test_patterns() -> None:
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_what_is_not_frozen_is_a_standard_one() -> None:
    @frozen.dataclass(slots=True)
    class Changing:
        x: int

    value = Changing(1)
    value.x = 2
    assert value == Changing(2)
