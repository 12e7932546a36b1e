"""What a change of somebody else's source is made of: places, and what to put there."""

from __future__ import annotations

from enum import Enum
from importlib.resources import files

from xenapic.frozen import dataclass

__all__ = ["How", "NewFile", "Patch", "Place"]


class How(Enum):
    """What is done at a place with the text that is expected there."""

    SWAP = "replaced"
    """The text, wherever it is in the function, `Place.times` times."""
    BEFORE = "followed"
    """New lines go before the line with the text."""
    AFTER = "preceded"
    """New lines go after the line with the text."""
    AFTER_BLOCK = "preceded, with its block"
    """New lines go after the block whose head is the line with the text."""
    ABOVE = "followed by the function"
    """New lines go above the function, and nothing is expected in it."""
    DROP = "dropped"
    """The line with the text, and those after it, `Place.times` together, are removed."""


@dataclass(frozen=True, slots=True)
class Place:
    """One place of a tree that changes.

    `expect` has the same text as the releases spell it: one of them must be there, and `times` times. White
    space matches white space. In `put`, ``@`` is the text that was there.
    """

    file: tuple[str, ...]
    """Paths that the file has had."""
    within: str
    """The function, ``struct NAME``, or nothing for the whole file."""
    how: How
    expect: tuple[str, ...] = ()
    put: str = ""
    fragment: str = ""
    """A file of this package whose text is put there, in place of `put`."""
    times: int = 1

    def text(self) -> str:
        """Return what is put there."""
        return fragment(self.fragment) if self.fragment else self.put


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that a patch adds."""

    path: str
    fragment: str

    def text(self) -> str:
        """Return its content."""
        return fragment(self.fragment)


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch of a series: its message, and what it changes."""

    subject: str
    why: str
    places: tuple[Place, ...]
    adds: tuple[NewFile, ...] = ()


def fragment(name: str) -> str:
    """Return the text of one of this package's files of C."""
    return (files(__package__) / "files" / name).read_text(encoding="utf-8")
