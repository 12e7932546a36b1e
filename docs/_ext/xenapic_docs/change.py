"""What the proposal changes in Xen's source, patch by patch."""

from __future__ import annotations

from xenapic.proposal.change import PATCHES
from xenapic.proposal.places import Patch, Place
from xenapic_docs.markdown import table


def proposal_places() -> str:
    """Return a table of the patches: the files, the functions, and what is new."""
    body = [
        (str(number) if at == 0 else "", patch.subject if at == 0 else "", f"`{file}`", _within(patch, file))
        for number, patch in enumerate(PATCHES, 1)
        for at, file in enumerate(_files(patch))
    ]
    return table(("", "patch", "file", "places"), body)


def _files(patch: Patch) -> list[str]:
    return [*dict.fromkeys(_spelt(place) for place in patch.places), *(added.path for added in patch.adds)]


def _spelt(place: Place) -> str:
    return "` or `".join(place.file)


def _within(patch: Patch, file: str) -> str:
    counts: dict[str, int] = {}
    for place in patch.places:
        if _spelt(place) == file:
            counts[place.within] = counts.get(place.within, 0) + 1
    if not counts:
        return "new"
    return ", ".join(_named(within, count) for within, count in counts.items())


def _named(within: str, count: int) -> str:
    name = f"`{within}`" if within else "the file"
    return f"{name} ({count})" if count > 1 else name
