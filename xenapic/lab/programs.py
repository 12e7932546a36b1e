"""The distribution's programs that the lab starts, and which package brings each."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from xenapic.lab.errors import FetchFailed, LabPrerequisite

LIMIT = 1800.0
"""How long a program that fetches or unpacks may take, in seconds."""
TOLD = 3000

PACKAGES = {
    "qemu-system-x86_64": ("qemu-system-x86",),
    "bochs": ("bochs", "bochsbios", "vgabios"),
    "xorriso": ("xorriso",),
    "apt-get": ("apt",),
    "dpkg-deb": ("dpkg",),
    "xz": ("xz-utils",),
    "setpriv": ("util-linux",),
    "dpkg-source": ("dpkg-dev",),
    "gcc": ("gcc", "libc6-dev"),
    "ld": ("binutils",),
    "make": ("make",),
    "flex": ("flex",),
    "bison": ("bison",),
    "python3": ("python3",),
    "git": ("git",),
}


def need(*programs: str) -> None:
    """Raise `LabPrerequisite`, naming the packages to install, if any program is missing."""
    missing = [p for p in programs if shutil.which(p) is None]
    if missing:
        raise LabPrerequisite(_advice(missing))


def _advice(missing: list[str]) -> str:
    packages = sorted({package for m in missing for package in PACKAGES[m]})
    return (
        f"the lab needs {', '.join(missing)}, which this machine lacks; "
        f"to get it: apt-get install {' '.join(packages)}"
    )


ORPHANED = '[ "$PPID" = "$0" ] && exec "$@"'


def dying_with_us(argv: Sequence[str]) -> list[str]:
    """Return a command line whose program the kernel kills if this process is killed."""
    # This process may have been killed before the kernel was told, so the shell looks who its parent is.
    return ["setpriv", "--pdeathsig", "KILL", "sh", "-c", ORPHANED, str(os.getpid()), *argv]


def run(*argv: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a program that fetches or unpacks, and return its output; raise `FetchFailed` if it fails."""
    name = " ".join([Path(argv[0]).name, *(word for word in argv[1:] if word[:1].isalpha())][:2])
    try:
        done = subprocess.run(
            dying_with_us(argv),
            capture_output=True,
            text=True,
            errors="replace",
            cwd=cwd,
            env={**os.environ, **(env or {})},
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=LIMIT,
        )
    except subprocess.TimeoutExpired:
        raise FetchFailed(f"{name} did not end within {LIMIT:g} s") from None
    if done.returncode:
        raise FetchFailed(f"{name} failed with status {done.returncode}:\n{done.stderr[-TOLD:]}")
    return done.stdout


def need_room(directory: Path, megabytes: int) -> None:
    """Raise `FetchFailed` if a directory's disk has less room than that."""
    free = shutil.disk_usage(directory).free >> 20
    if free < megabytes:
        raise FetchFailed(
            f"{directory} has {free} MB of room, and {megabytes} MB are needed; free some, or let "
            "XENAPIC_CACHE name a directory on another disk"
        )
