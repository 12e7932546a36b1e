"""What a piece of a text means."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LONGEST_QUOTE", "Meaning", "quoted"]

LONGEST_QUOTE = 120
"""Characters of the text that a meaning quotes at most."""


class Meaning(NamedTuple):
    """One thing that follows from a piece of a text."""

    quote: str
    """The piece, as it is in the text (`quoted`)."""
    title: str
    """What it is."""
    text: str
    """What it means; one sentence or more, a line for each separate statement."""
    sure: bool = True
    """False if the piece can mean something else too, so that only its surroundings decide."""
    source: str = ""
    """Where the meaning is written down: a manual's section, a file of Xen or of another project."""
    see: tuple[str, ...] = ()
    """Names of topics that say more."""


def quoted(text: str) -> str:
    """Return a piece of a text as one line of limited length."""
    plain = " ".join(text.split())
    return plain if len(plain) <= LONGEST_QUOTE else f"{plain[: LONGEST_QUOTE - 1]}…"
