"""Programs of another Debian: they run here through the loader and the libraries that come with them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from xenapic.lab.errors import FetchFailed
from xenapic.lab.programs import dying_with_us

LOADER = "ld-linux-x86-64.so.2"


def through_loader(loader: Path, libraries: Path, program: Path) -> tuple[str, ...]:
    """Return the words that start `program` with the libraries of a directory."""
    return str(loader), "--library-path", str(libraries), str(program)


def needed_libraries(loader: Path, libraries: Path, programs: Iterable[Path]) -> list[str]:
    """Return the names of what `programs` load from `libraries`; raise `FetchFailed` if one is missing."""
    names: set[str] = set()
    for program in programs:
        command, *options, name = through_loader(loader, libraries, program)
        done = subprocess.run(
            dying_with_us([command, *options, "--list", name]),
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        missing = re.search(r"(\S+) => not found", done.stdout)
        if done.returncode or missing:
            why = missing[0] if missing else done.stderr.strip()
            raise FetchFailed(f"{program.name} cannot be started: {why}")
        names.update(re.findall(rf"=> {re.escape(str(libraries))}/(\S+)", done.stdout))
    return sorted(names - {LOADER})
