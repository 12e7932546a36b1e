"""What Xen's headers and libxenctrl changed from release to release, as far as it concerns creating domains.

The table (``history.json``) is made from the layouts, constants and prototypes that were recorded from each
release's own headers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import NamedTuple

__all__ = ["AbiChange", "Item", "abi_changes"]


class Item(Enum):
    """What can change between two releases."""

    STRUCT = "struct"
    """The size of a structure."""
    FIELD = "field"
    """A field: its type and its offset in bytes."""
    CONSTANT = "constant"
    CALL = "call"
    """A function of libxenctrl, with its prototype."""


class AbiChange(NamedTuple):
    """One difference between two releases."""

    item: Item
    name: str
    before: str | None
    """What it is in the first release; None if that has none."""
    after: str | None
    """What it is in the second release; None if that has none."""


@cache
def _history() -> dict[str, dict[str, list[tuple[str, str | int | None]]]]:
    history: dict[str, dict[str, list[tuple[str, str | int | None]]]] = json.loads(
        files("xenapic.abi").joinpath("history.json").read_text()
    )
    return history


def abi_changes(first: str, second: str, order: Sequence[str]) -> tuple[AbiChange, ...]:
    """Return what differs between two releases; ``order`` names every release, oldest first.

    A constant that is the version of an interface differs nearly always, and is listed like the others.
    """
    changes = []
    for item in Item:
        for name, spans in _history()[item.value].items():
            before, after = (
                _value(spans, order.index(first), order),
                _value(spans, order.index(second), order),
            )
            if before != after:
                changes.append(AbiChange(item, name, before, after))
    return tuple(changes)


def _value(spans: Sequence[tuple[str, str | int | None]], at: int, order: Sequence[str]) -> str | None:
    """Return what an item is in a release, in words; None if the release has none."""
    value: str | int | None = None
    for release, changed in spans:
        if order.index(release) <= at:
            value = changed
    return None if value is None else str(value)
