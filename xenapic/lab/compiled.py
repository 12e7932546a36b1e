"""Byte-compiled forms of the checkout for dom0, where compiling would take seconds."""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from xenapic.lab import dom0python
from xenapic.lab.cache import cache_root
from xenapic.lab.errors import LabError
from xenapic.lab.programs import dying_with_us

UNUSED_FOR = 14 * 86400.0
"""Seconds after which a compiled form that nobody used is removed."""
COMPILER = Path(__file__).parent / "guest/compile.py"
COMPILE_LIMIT = 300.0
"""Seconds that compiling may take."""
DIGEST = hashlib.sha256().digest_size


def compiled(sources: Mapping[str, Path], tag: str, image: Path) -> dict[str, bytes]:
    """Return the compiled forms of files, by the names that tracebacks in dom0 show; made once per content.

    `tag` is the cache tag of dom0's Python, such as ``cpython-311``, and `image` dom0's root, which has it.
    What does not compile is left out: all of it where dom0's Python cannot run here. A form is kept behind
    its own checksum, so a damaged file is made again.
    """
    contents = {name: source.read_bytes() for name, source in sources.items()}
    places = {name: _place(tag, name, content) for name, content in contents.items()}
    forms = {name: form for name, place in places.items() if (form := _kept(place)) is not None}
    missing = {name: content for name, content in contents.items() if name not in forms}
    if missing:
        made = _compile(missing, tag, image)
        for name, form in made.items():
            # Without a cache it is compiled every time.
            with contextlib.suppress(OSError):
                _keep(places[name], form)
        forms.update(made)
    # In the order of the sources, whichever were made now: the archive's bytes name dom0's snapshot.
    return {name: forms[name] for name in contents if name in forms}


def _place(tag: str, name: str, content: bytes) -> Path:
    version = sys.version if _is_mine(tag) else tag
    key = hashlib.sha256(f"{version}\n{name}\n".encode() + content).hexdigest()
    return cache_root() / "lab" / "compiled" / key


def _is_mine(tag: str) -> bool:
    return sys.implementation.cache_tag == tag


def _kept(place: Path) -> bytes | None:
    with contextlib.suppress(OSError):
        data = place.read_bytes()
        digest, form = data[:DIGEST], data[DIGEST:]
        if hashlib.sha256(form).digest() == digest:
            return form
    return None


def _compile(contents: Mapping[str, bytes], tag: str, image: Path) -> dict[str, bytes]:
    try:
        python = [sys.executable, "-I", "-S"] if _is_mine(tag) else dom0python.command(image, tag)
        done = subprocess.run(
            dying_with_us([*python, str(COMPILER)]),
            input=marshal.dumps(dict(contents), 2),
            capture_output=True,
            check=True,
            timeout=COMPILE_LIMIT,
        )
        forms: dict[str, bytes] = marshal.loads(done.stdout)
    except (LabError, OSError, subprocess.SubprocessError, ValueError, EOFError):
        return {}
    return forms


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
