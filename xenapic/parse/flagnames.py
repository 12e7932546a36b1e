"""The names of the bits in a flag word."""

from __future__ import annotations

from enum import IntFlag
from typing import TypeVar

__all__ = ["flags_of", "known_bits", "names"]

Flag = TypeVar("Flag", bound=IntFlag)


def known_bits(kind: type[Flag]) -> int:
    """Return the word with every named bit set."""
    bits = 0
    for member in kind:
        bits |= int(member)
    return bits


def names(word: IntFlag) -> list[str]:
    """Return the names of the bits that are set, lowest first, unknown bits last as one hex number."""
    known = [member.name for member in type(word) if member & word and member.name is not None]
    rest = int(word) & ~known_bits(type(word))
    return [*known, hex(rest)] if rest else known


def flags_of(kind: type[Flag], named: tuple[str, ...]) -> Flag:
    """Return the word for which `names` returns these names; raise ValueError for an unknown name."""
    word = 0
    for name in named:
        word |= int(kind[name]) if name in kind.__members__ else int(name, 16)
    return kind(word)
