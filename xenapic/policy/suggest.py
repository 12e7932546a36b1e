"""Messages about names that do not exist."""

from __future__ import annotations

from collections.abc import Iterable

from xenapic.errors import NameUnknown

__all__ = ["no_such"]


def no_such(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message about an unknown name: similar names, and all known ones."""
    names = list(known)
    plain = {_plain(each): each for each in names}
    near = [plain[each] for each in NameUnknown.among(kind, _plain(name), plain).near[:2]]
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"no {kind} {name!r}; {hint}known: {', '.join(names)}"


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_").replace(" ", "_")
