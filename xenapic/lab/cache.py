"""A cache whose entries are either complete or absent.

An entry is made in a directory of its own under a lock and renamed into place when it is done.
Its manifest says what it was made from and what it must hold, and is checked on every use.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from xenapic.lab.errors import FetchFailed

MANIFEST = "manifest.json"


def cache_root() -> Path:
    """Return where the lab keeps what it fetched: ``$XENAPIC_CACHE``, else the user's cache directory."""
    if given := os.environ.get("XENAPIC_CACHE"):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "xenapic"


class Entry:
    """One cache entry: the directory `home`/current, made by one recipe."""

    def __init__(self, home: Path, recipe: str) -> None:
        self.home = home
        self.path = home / "current"
        self._recipe = recipe

    def problem(self, *, deep: bool = False) -> str | None:
        """Return why the entry cannot be used, or None.

        A file's checksum is compared if the file was written since its making, and always if `deep`.
        """
        try:
            manifest = self.manifest()
        except (OSError, ValueError) as error:
            return f"no readable manifest ({error})"
        if manifest.get("recipe") != self._recipe:
            return "made by another version of the lab"
        for name, wanted in manifest["files"].items():
            file = self.path / name
            if not file.is_file() or file.stat().st_size != wanted["size"]:
                return f"{name} is missing or cut short"
            written_since = file.stat().st_mtime_ns != wanted["mtime_ns"]
            if (deep or written_since) and _sha256(file) != wanted["sha256"]:
                return f"{name} is damaged"
        return None

    def manifest(self) -> dict[str, Any]:
        """Return what the entry was made from, and its files with sizes and checksums.

        Raise `OSError` or `ValueError` if the manifest is missing or damaged.
        """
        loaded = json.loads((self.path / MANIFEST).read_text())
        files = loaded.get("files") if isinstance(loaded, dict) else None
        if not isinstance(files, dict) or not all(map(_is_description, files.values())):
            raise ValueError("not a manifest")
        return cast("dict[str, Any]", loaded)

    def ensure(self, make: Callable[[Path], dict[str, Any]], *, renew: bool = False) -> Path:
        """Return the entry's directory; make it first with `make` unless a good one is there.

        `make` fills the directory it is given and returns what is added to the manifest.
        """
        if not renew and self.problem() is None:
            return self.path
        with self._lock():
            # Another process may have made it while this one waited.
            if renew or self.problem() is not None:
                self._make(make)
        return self.path

    def discard(self) -> None:
        """Remove the entry, so that the next use makes it again."""
        with self._lock():
            shutil.rmtree(self.path, ignore_errors=True)

    def _make(self, make: Callable[[Path], dict[str, Any]]) -> None:
        for stale in self.home.glob("making-*"):
            shutil.rmtree(stale, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix="making-", dir=self.home))
        try:
            made = work / "made"
            made.mkdir()
            manifest = {**make(made), "recipe": self._recipe, "files": _inventory(made)}
            (made / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
            if self.path.exists():
                # Runs that use the old entry keep its files open; new ones see the new entry.
                self.path.rename(work / "old")
            made.rename(self.path)
        except OSError as error:
            raise FetchFailed(f"{self.home} cannot be written: {error.strerror or error}") from error
        finally:
            shutil.rmtree(work, ignore_errors=True)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        self.home.mkdir(parents=True, exist_ok=True)
        # The directory itself is locked: no lock file is left behind.
        fd = os.open(self.home, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _is_description(value: object) -> bool:
    """Return True if `value` describes a file as `_inventory` does."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("size"), int)
        and isinstance(value.get("mtime_ns"), int)
        and isinstance(value.get("sha256"), str)
    )


def _inventory(directory: Path) -> dict[str, dict[str, Any]]:
    files = sorted(p for p in directory.rglob("*") if p.is_file())
    return {
        str(file.relative_to(directory)): {
            "size": file.stat().st_size,
            "mtime_ns": file.stat().st_mtime_ns,
            "sha256": _sha256(file),
        }
        for file in files
    }


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
