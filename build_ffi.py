"""Generate what ``xenapic/_xenctrl`` holds from the declarations in ``xenapic/abi/decl``.

- ``xen_*.py``: one cffi module (out-of-line, ABI level) per ABI generation.
- ``since.py``: the first release of each field and function that the oldest release lacks.
- ``libxenctrl.pyi``: what type checkers know about the cffi modules, from ``stubs/libxenctrl.pyi``.

`xenapic.abi.declared` reads the declarations. Which releases share a generation is a
table in ``xenapic/abi/generations.py``; it is checked here. ``tests/abi`` compares the result with the
real headers. Nothing is compiled, and nothing needs Xen.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import cffi

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))
from xenapic.abi.declared import (  # noqa: E402  (needs the path set above)
    DECLARATIONS,
    FUNCTION,
    PACKED,
    STRUCT,
    declarations,
)
from xenapic.abi.generations import RELEASES  # noqa: E402  (needs the path set above)

PACKAGE = "xenapic._xenctrl"
STUB = ROOT / "stubs" / "libxenctrl.pyi"

Number = tuple[int, int]


def define(ffi: cffi.FFI, text: str) -> None:
    """Give cffi the declarations of a release."""
    ffi.cdef((DECLARATIONS / f"{PACKED}.h").read_text(), packed=True)
    ffi.cdef(text)


def generations() -> dict[str, str]:
    """Return module name to declarations; raise ValueError when the table of generations is wrong."""
    texts: dict[str, str] = {}
    for release in RELEASES:
        text = declarations(release)
        if texts.setdefault(release.generation, text) != text:
            raise ValueError(f"Xen {release} differs from the others of {release.generation}")
    if len(set(texts.values())) != len(texts):
        raise ValueError("two generations have the same declarations")
    return texts


def first_releases() -> tuple[dict[str, dict[str, Number]], dict[str, Number]]:
    """Return the first release of each field, by structure, and of each function.

    What the oldest release has is left out.
    """
    fields: dict[str, dict[str, Number]] = {}
    functions: dict[str, Number] = {}
    for release in RELEASES:
        text = declarations(release)
        ffi = cffi.FFI()
        define(ffi, text)
        for struct in STRUCT.findall(text):
            since = fields.setdefault(struct, {})
            for name, _field in ffi.typeof(f"struct {struct}").fields or ():
                since.setdefault(name, release.number)
        for name in FUNCTION.findall(text):
            functions.setdefault(name, release.number)
    later = {struct: _without_oldest(since) for struct, since in fields.items()}
    return {struct: since for struct, since in later.items() if since}, _without_oldest(functions)


def _without_oldest(since: dict[str, Number]) -> dict[str, Number]:
    return {name: number for name, number in since.items() if number != RELEASES[0].number}


def generate(into: Path = ROOT / "xenapic" / "_xenctrl") -> list[Path]:
    """Write everything and return the paths."""
    written = []
    for name, text in generations().items():
        ffi = cffi.FFI()
        define(ffi, text)
        ffi.set_source(f"{PACKAGE}.{name}", None)
        path = into / f"{name}.py"
        ffi.emit_python_code(str(path))
        written.append(path)
    return [*written, _write_since(into / "since.py"), Path(shutil.copyfile(STUB, into / STUB.name))]


def _write_since(path: Path) -> Path:
    fields, functions = first_releases()
    path.write_text(
        '"""The first Xen release of each field and function that the oldest known release lacks."""\n\n'
        "# Written by build_ffi.py from xenapic/abi/decl; do not edit.\n"
        f"FIELDS: dict[str, dict[str, tuple[int, int]]] = {fields!r}\n"
        f"FUNCTIONS: dict[str, tuple[int, int]] = {functions!r}\n"
    )
    return path


if __name__ == "__main__":
    for made in generate():
        print(made.relative_to(ROOT))
