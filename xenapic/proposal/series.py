"""Apply the change to a tree of Xen, and write it as a patch series for that tree."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from xenapic.errors import TreeUnexpected
from xenapic.frozen import dataclass
from xenapic.proposal.change import PATCHES
from xenapic.proposal.edit import changed
from xenapic.proposal.places import Patch, Place

__all__ = ["Applied", "apply", "change_digest", "changed_files", "messages"]

MOST_BYTES = 4 << 20
"""More than any source file of Xen has."""
AUTHOR = "xenapic <xenapic@localhost>"
WHO = "0" * 40
CONTEXT = 3


@dataclass(frozen=True, slots=True)
class Applied:
    """A patch, and the text of each file before and after it; None before a file that it adds."""

    patch: Patch
    files: Mapping[str, tuple[str | None, str]]


def apply(tree: Path, patches: Sequence[Patch] = PATCHES) -> list[Applied]:
    """Return what each patch makes of a tree, which itself stays as it is.

    Raises `TreeUnexpected` that names the first place which is not as expected.
    """
    if not (tree / "xen" / "Makefile").is_file():
        raise TreeUnexpected(str(tree), "", "is no tree of Xen's source: it has no xen/Makefile")
    now: dict[str, str] = {}
    return [Applied(patch, dict(_applied(patch, tree, now))) for patch in patches]


def changed_files(applied: Sequence[Applied]) -> dict[str, str]:
    """Return the text of each file after the whole series."""
    return {path: after for one in applied for path, (_before, after) in one.files.items()}


def change_digest(patches: Sequence[Patch] = PATCHES) -> str:
    """Return a checksum over everything that decides what the change makes of a tree."""
    parts = [
        repr((place.file, place.within, place.how, place.expect, place.times, place.text()))
        for patch in patches
        for place in patch.places
    ]
    parts += [repr((added.path, added.text())) for patch in patches for added in patch.adds]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _applied(patch: Patch, tree: Path, now: dict[str, str]) -> Iterator[tuple[str, tuple[str | None, str]]]:
    before: dict[str, str | None] = {}
    for place in patch.places:
        path = _file(place, tree, now)
        before.setdefault(path, now[path])
        now[path] = changed(now[path], place, path)
    for added in patch.adds:
        if added.path in now or (tree / added.path).exists():
            raise TreeUnexpected(
                added.path, "", "is there already: the tree has the change, or another of this name"
            )
        before[added.path] = None
        now[added.path] = added.text()
    for path in sorted(before):
        yield path, (before[path], now[path])


def _file(place: Place, tree: Path, now: dict[str, str]) -> str:
    """Return the file of a place, read into ``now``: the last of its names if the function moved."""
    there = [path for path in place.file if path in now or (tree / path).is_file()]
    if not there:
        raise TreeUnexpected(place.file[0], place.within, "has no such file")
    for path in there:
        if path not in now:
            now[path] = _read(tree / path, path)
    return next((path for path in there if f"{place.within}(" in now[path]), there[0])


def _read(file: Path, path: str) -> str:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise TreeUnexpected(path, "", "is too large for a source file")
        return file.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise TreeUnexpected(path, "", f"cannot be read: {error.strerror}") from None


# -- as a series -------------------------------------------------------------------------------------


def messages(applied: Sequence[Applied], author: str = AUTHOR) -> dict[str, bytes]:
    """Return the files of a patch series, by name, as ``git am`` takes them."""
    total = len(applied)
    return {
        f"{number:04}-{_slug(one.patch.subject)}.patch": _message(one, number, total, author)
        for number, one in enumerate(applied, 1)
    }


def _slug(subject: str) -> str:
    words = "".join(char if char.isalnum() else " " for char in subject).split()
    return "-".join(words)[:52].rstrip("-")


def _message(one: Applied, number: int, total: int, author: str) -> bytes:
    diffs = {path: _diff(path, before, after) for path, (before, after) in one.files.items()}
    text = (
        f"From {WHO} Mon Sep 17 00:00:00 2001\n"
        f"From: {author}\n"
        f"Subject: [PATCH {number}/{total}] {one.patch.subject}\n"
        f"\n{one.patch.why}\n---\n{_summary(diffs)}\n{''.join(diffs.values())}-- \nxenapic\n\n"
    )
    return text.encode("utf-8", "surrogateescape")


def _diff(path: str, before: str | None, after: str) -> str:
    head = f"diff --git a/{path} b/{path}\n"
    if before is None:
        head += "new file mode 100644\n"
    lines = difflib.unified_diff(
        (before or "").splitlines(keepends=True),
        after.splitlines(keepends=True),
        f"a/{path}" if before is not None else "/dev/null",
        f"b/{path}",
        n=CONTEXT,
    )
    return head + "".join(lines)


def _summary(diffs: Mapping[str, str]) -> str:
    counts = {path: (_count(diff, "+"), _count(diff, "-")) for path, diff in diffs.items()}
    wide = max(map(len, counts))
    rows = [
        f" {path:<{wide}} | {plus + minus:>3} {'+' if plus else ''}{'-' if minus else ''}\n"
        for path, (plus, minus) in counts.items()
    ]
    plus, minus = (sum(pair[side] for pair in counts.values()) for side in (0, 1))
    return f"{''.join(rows)} {len(counts)} files changed, {plus} insertions(+), {minus} deletions(-)\n"


def _count(diff: str, sign: str) -> int:
    return sum(line.startswith(sign) and not line.startswith(sign * 3) for line in diff.splitlines())
