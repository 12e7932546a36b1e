"""The C declarations of libxenctrl in ``xenapic/abi/decl``, as they hold for one release.

A declaration that not every release has ends in a mark: ``//@ >=4.16`` (the first release that has it),
``//@ <4.21`` (the first release that no longer has it), or both.
"""

from __future__ import annotations

import re
from pathlib import Path

from xenapic.abi.generations import Release

__all__ = ["DECLARATIONS", "FUNCTION", "PACKED", "STRUCT", "SUBJECTS", "all_lines", "declarations"]

DECLARATIONS = Path(__file__).resolve().parent / "decl"
PACKED = "packed"
"""The file of structures without padding, which use no type of the others."""
SUBJECTS = (
    "types",
    "domctl",
    "sysctl",
    "hvm",
    "xenctrl",
    "trace",
    "toollog",
    "evtchn",
    "foreign",
    "guest",
    "libc",
)
"""The files in `DECLARATIONS`, each after those whose types it uses."""

MARK = re.compile(r"\s*//@(?P<bounds>(?:\s+(?:>=|<)4\.\d+)+)$")
STRUCT = re.compile(r"^struct (\w+) \{", re.MULTILINE)
FUNCTION = re.compile(r"[ *](\w+)\([^()]*\);")


def declarations(release: Release) -> str:
    """Return the C declarations that hold for one release, without the packed structures, which all have."""
    kept = []
    for line in all_lines():
        mark = MARK.search(line)
        if mark is None:
            kept.append(line)
        elif all(_holds(bound, release) for bound in mark["bounds"].split()):
            kept.append(line[: mark.start()])
    return "\n".join(kept)


def all_lines() -> list[str]:
    """Return the declarations of all releases, with their marks."""
    files = {path.stem: path for path in DECLARATIONS.glob("*.h") if path.stem != PACKED}
    if files.keys() != set(SUBJECTS):
        raise ValueError(f"SUBJECTS and {DECLARATIONS} differ in {sorted(files.keys() ^ set(SUBJECTS))}")
    return [line for subject in SUBJECTS for line in files[subject].read_text().splitlines()]


def _holds(bound: str, release: Release) -> bool:
    major, minor = bound.lstrip("<>=").split(".")
    reached = release.number >= (int(major), int(minor))
    return reached if bound.startswith(">=") else not reached
