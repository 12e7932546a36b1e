"""Byte-compiled forms of the checkout for dom0, where compiling would take seconds."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import marshal
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from xenapic.lab.cache import cache_root

UNUSED_FOR = 14 * 86400.0
"""Seconds after which a compiled form that nobody used is removed."""
CHECKED_HASH = 0b11
"""The flags of a compiled form that is used only if the source has the recorded hash (PEP 552)."""
DIGEST = hashlib.sha256().digest_size


def runs_here(tag: str) -> bool:
    """Return True if files compiled by this Python serve a Python with the cache tag `tag`."""
    return sys.implementation.cache_tag == tag


def compiled(source: Path, shown_as: str) -> bytes | None:
    """Return the compiled form of `source`, made once per content; None if it does not compile.

    `shown_as` is the name that tracebacks in dom0 show. The form is kept behind its own checksum, so a
    damaged file is made again.
    """
    content = source.read_bytes()
    key = hashlib.sha256(f"{sys.version}\n{shown_as}\n".encode() + content).hexdigest()
    path = cache_root() / "lab" / "compiled" / key
    with contextlib.suppress(OSError):
        digest, form = _split(path.read_bytes())
        if hashlib.sha256(form).digest() == digest:
            return form
    try:
        form = _compile(content, shown_as)
    except (SyntaxError, ValueError):
        return None
    # Without a cache it is compiled every time.
    with contextlib.suppress(OSError):
        _keep(path, form)
    return form


def _split(data: bytes) -> tuple[bytes, bytes]:
    return data[:DIGEST], data[DIGEST:]


def _compile(content: bytes, shown_as: str) -> bytes:
    """Return a file as `py_compile` makes it, to be checked against its source: it may be edited in dom0."""
    code = compile(content, shown_as, "exec", dont_inherit=True)
    flags = CHECKED_HASH.to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(content) + marshal.dumps(code)


def _keep(path: Path, form: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in _unused(path.parent):
        old.unlink(missing_ok=True)
    fd, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as out:
            out.write(hashlib.sha256(form).digest() + form)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _unused(home: Path) -> Iterator[Path]:
    before = time.time() - UNUSED_FOR
    for path in home.iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < before:
                yield path
