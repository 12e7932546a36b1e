"""What the proposal changes in Xen's source, patch by patch, and which faults in it were found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


FAULTS = Path(__file__).parents[2] / "data" / "proposal-faults.json"


def proposal_faults() -> str:
    """Return a table of the single faults that were put into the change, and what found each."""
    rows: list[dict[str, Any]] = json.loads(FAULTS.read_text())["faults"]
    return table(
        ("fault", "in", "machine, `--select`", "found by", "values that differ", "on"),
        [
            (
                row["what"],
                f"`{Path(row['file']).name}`: `{row['function']}`",
                f"`{row['machine']}`, `{row['select']}`",
                _found(row),
                f"{row['differ']} of {row['compared']}" if row["compared"] else "",
                row["date"],
            )
            for row in rows
        ],
    )


def _found(row: dict[str, Any]) -> str:
    first = row["first"]
    if first is None:
        return f"Xen gave no answer: {row['error']}" if row["error"] else "nothing"
    return f"{first['topic']}: {first['where']}: expected {first['predicted']}, got {first['found']}"
