"""Dom0's Python, run on this machine: through its own loader, as its version and its libraries differ."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from xenapic.lab.cache import Entry, cache_root
from xenapic.lab.foreign import LOADER, needed_libraries, through_loader
from xenapic.lab.programs import need, need_room, run

FORMAT = 1
"""Increase it when this module takes something else from the root."""
ROOM = 60
"""Megabytes that taking it out takes at most; most of it is removed again."""
PROGRAM, CODECS = "python", "encodings"
"""The files of an entry. Of its library, Python reads only the codecs when it starts without ``site``."""


def command(image: Path, tag: str) -> list[str]:
    """Return the words that start the Python of dom0's root `image`; `tag` is such as ``cpython-313``.

    It has what is built into the program. Raises `LabError` if it cannot be taken out of the image.
    """
    kept = Entry(cache_root() / "lab" / f"python-{tag}", f"{FORMAT} {tag}")
    home = kept.ensure(lambda into: _take(image, _name(tag), into))
    program = through_loader(home / LOADER, home, home / PROGRAM)
    return ["env", "-i", f"PYTHONPATH={home}", *program, "-s", "-S", "-B"]


def _name(tag: str) -> str:
    """Return the program's name: ``cpython-313`` is python3.13."""
    digits = tag.removeprefix("cpython-")
    return f"python{digits[0]}.{digits[1:]}"


def _take(image: Path, name: str, into: Path) -> dict[str, Any]:
    need("xorriso", "setpriv")
    need_room(into, ROOM)
    with tempfile.TemporaryDirectory(prefix="work-", dir=into.parent) as work:
        root = Path(work)
        wanted = {
            "/usr/lib/x86_64-linux-gnu": root / "lib",
            f"/usr/bin/{name}": root / PROGRAM,
            f"/usr/lib/{name}/{CODECS}": root / CODECS,
        }
        words = [word for inside, here in wanted.items() for word in ("-extract", inside, str(here))]
        run("xorriso", "-osirrox", "on", "-indev", str(image), *words)
        libraries = needed_libraries(root / "lib" / LOADER, root / "lib", [root / PROGRAM])
        for file in (root / PROGRAM, *(root / "lib" / library for library in (LOADER, *libraries))):
            shutil.copy2(file, into / file.name)
        shutil.copytree(root / CODECS, into / CODECS)
    return {"python": name}
