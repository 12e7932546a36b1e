"""Byte-compiled forms of the checkout for dom0, where compiling would cost seconds."""

from __future__ import annotations

import contextlib
import hashlib
import py_compile
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from xenapic.lab.cache import cache_root

UNUSED_FOR = 14 * 86400.0


def runs_here(tag: str) -> bool:
    """Whether this Python's compiled files serve a Python with cache tag `tag`."""
    return sys.implementation.cache_tag == tag


def compiled(source: Path, shown_as: str) -> Path | None:
    """The compiled form of `source`, made once per content; None if it does not compile.

    `shown_as` is the name tracebacks in dom0 will show.
    """
    content = source.read_bytes()
    key = hashlib.sha256(f"{sys.version}\n{shown_as}\n".encode() + content).hexdigest()
    home = cache_root() / "lab" / "compiled"
    path = home / f"{key}.pyc"
    if path.exists():
        return path
    with contextlib.suppress(py_compile.PyCompileError, OSError):
        home.mkdir(parents=True, exist_ok=True)
        for old in _unused(home):
            old.unlink(missing_ok=True)
        # Checked: who edits a file in dom0 sees the edit.
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        py_compile.compile(str(source), str(path), shown_as, doraise=True, invalidation_mode=mode)
        return path
    return None


def _unused(home: Path) -> Iterator[Path]:
    before = time.time() - UNUSED_FOR
    for path in home.glob("*.pyc"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < before:
                yield path
