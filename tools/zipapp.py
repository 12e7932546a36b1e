"""Write build/xenapic.pyz: the command in a single file, for a dom0 that has Python and cffi alone.

It holds xenapic, and from the environment that runs this tool click and tomli (for Python 3.10): all are pure
Python. cffi is compiled, so the distribution's package is used (python3-cffi-backend).
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).parent.parent
SHEBANG = b"#!/usr/bin/env python3\n"
BUNDLED = ("click", "tomli")
MAIN = "from xenapic.cli import main\n\nmain()\n"
LEFT_OUT = ("xenapic/lab/guest/", "xenapic/probe/guest/probe.S")
"""Files for machines that the lab boots, which no dom0 needs."""
FIXED = (2020, 1, 1, 0, 0, 0)
"""The same input gives the same file."""
COMPILED = ("__pycache__", ".pyc", ".so")


def write(path: Path) -> None:
    """Write the file."""
    sys.path.insert(0, str(ROOT))
    import build_ffi  # at the top of the source

    build_ffi.generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        out.write(SHEBANG)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in sorted(_files()):
                archive.writestr(_entry(name), content)
    path.chmod(0o755)


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, FIXED)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _files() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", MAIN.encode()
    yield "LICENSE", (ROOT / "LICENSE").read_bytes()
    for path in (ROOT / "xenapic").rglob("*"):
        name = path.relative_to(ROOT).as_posix()
        if path.is_file() and not name.startswith(LEFT_OUT) and not any(mark in name for mark in COMPILED):
            yield name, path.read_bytes()
    for package in BUNDLED:
        for file in distribution(package).files or ():
            name = file.as_posix()
            kept = name.startswith(f"{package}/") or "licen" in name.lower()
            if kept and not any(mark in name for mark in COMPILED) and not name.startswith("../"):
                yield name, Path(str(file.locate())).read_bytes()


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "xenapic.pyz")
