"""Say which known names come close to one that does not exist."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["no_such"]


def no_such(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message about an unknown name: the nearest known names, and all of them."""
    from difflib import get_close_matches

    names = list(known)
    plain = {_plain(each): each for each in names}
    near = [plain[each] for each in get_close_matches(_plain(name), plain, n=2, cutoff=0.6)]
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"no {kind} {name!r}; {hint}known: {', '.join(names)}"


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_").replace(" ", "_")
