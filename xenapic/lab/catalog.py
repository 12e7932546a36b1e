"""Every Xen that the lab can boot, by name: Debian's releases, what was added, and a tree by its path."""

from __future__ import annotations

import hashlib
from pathlib import Path

from xenapic.lab import xens
from xenapic.lab.added import AddedXen, add_if_new, added, added_names
from xenapic.lab.cache import Entry
from xenapic.lab.errors import LabUsageError
from xenapic.lab.gather import Sources
from xenapic.lab.xens import RELEASES, Progress, Release, XenFiles

__all__ = ["LabXen", "ensure", "entries", "find", "is_path", "names", "xen_args"]

LabXen = Release | AddedXen


def names() -> list[str]:
    """Return the names that `find` knows: Debian's first."""
    return [*RELEASES, *added_names()]


def is_path(text: str) -> bool:
    """Return True if a text names a Xen by a path rather than by a name: it has a slash."""
    return "/" in text


def find(text: str | Path, progress: Progress = lambda text: None) -> LabXen:
    """Return the Xen with a name, or the one in the tree at a path, which is added on the way.

    A text is a path if it has a slash.

    Raises `LabUsageError` with the known names if there is none.
    """
    if isinstance(text, Path) or is_path(text):
        return _at_path(Path(text).expanduser().absolute(), progress)
    if text in RELEASES:
        return RELEASES[text]
    known = added(text)
    if known is None:
        raise LabUsageError(f"no Xen {text!r} in the lab; there are: {', '.join(names())}")
    return known


def _at_path(path: Path, progress: Progress) -> AddedXen:
    if not path.is_dir():
        raise LabUsageError(
            f"{path} is no directory: a Xen is named by `xenapic lab add`, or by the path of its tree"
        )
    name = f"{path.name[:40]}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    progress(f"copying the Xen in {path}")
    return add_if_new(name.lstrip("."), Sources(tree=path), progress=progress)


def ensure(xen: LabXen, progress: Progress) -> XenFiles:
    """Return the files that boot; fetch and make them unless the cache has them."""
    return xen.ensure(progress) if isinstance(xen, AddedXen) else xens.ensure(xen, progress)


def xen_args(xen: LabXen) -> tuple[str, ...]:
    """Return the options that every boot of a Xen gets."""
    return xen.options if isinstance(xen, AddedXen) else ()


def entries(xen: LabXen) -> list[Entry]:
    """Return the cache's entries that a boot uses and that can be made again."""
    return [xens.entry(xen)] if isinstance(xen, Release) else []
