"""Bochs 3.0 from Debian trixie, fetched into the cache and started through its own loader.

It starts dom0 in half the time of bookworm's 2.7. All its libraries come with it, so it runs on any
Debian; nothing is installed.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xenapic.lab.apt import Apt, Package, derive, machine_sources, members, write_member
from xenapic.lab.cache import Entry, cache_root
from xenapic.lab.foreign import LOADER, needed_libraries
from xenapic.lab.programs import need, need_room

VERSION = (3, 0)
SUITE = "trixie"
PACKAGES = ("bochs", "bochs-term", "bochsbios", "vgabios")
BINARY = "bochs-bin"

# Increase it when this module makes something else of the same packages.
FORMAT = 1

ROOM = 400
"""Megabytes that making it takes at most; most of it is removed again."""

# The paths of what is kept, in the packages; here everything is in one directory.
KEPT = re.compile(
    r"usr/(?:lib/x86_64-linux-gnu/(?:pulseaudio/|bochs/plugins/)?[^/]+\.so(?:\.[0-9.]+)?"
    r"|bin/bochs-bin|share/bochs/BIOS-bochs-latest|share/vgabios/[^/]+)"
)


def entry() -> Entry:
    """Return the cache entry of this Bochs."""
    digest = hashlib.sha256(repr((FORMAT, SUITE, PACKAGES, KEPT.pattern)).encode()).hexdigest()
    return Entry(cache_root() / "lab" / "bochs-3.0", digest)


def ensure(progress: Callable[[str], None], *, renew: bool = False) -> Path:
    """Return the directory that holds this Bochs, fetched unless the cache has it (or `renew`)."""
    return entry().ensure(lambda into: _make(into, progress), renew=renew)


def _make(into: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    need("apt-get", "dpkg-deb", "setpriv")
    need_room(into, ROOM)
    with tempfile.TemporaryDirectory(prefix="work-", dir=into.parent) as name:
        work = Path(name)
        progress(f"reading Debian {SUITE}'s package lists")
        apt = Apt(work / "apt", derive(machine_sources(), SUITE))
        apt.update()
        progress("fetching Bochs")
        packages = apt.download(PACKAGES, closure=True)
        progress("unpacking Bochs")
        for package in packages:
            _unpack(package, work / "flat")
        flat = work / "flat"
        programs = [BINARY, *_names(flat, "libbx_*.so")]
        used = needed_libraries(flat / LOADER, flat, [flat / program for program in programs])
        images = _names(flat, "BIOS-*") + _names(flat, "vgabios*")
        for wanted in [*programs, LOADER, *used, *images]:
            # A link is followed: the cache keeps plain files only.
            shutil.copy2(flat / wanted, into / wanted)
    return {
        "suite": SUITE,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "packages": {p.name: {"version": p.version, "sha256": p.sha256} for p in packages},
    }


def _names(directory: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in directory.glob(pattern))


def _unpack(package: Package, flat: Path) -> None:
    """Put the files of a package that `KEPT` names into the directory `flat`."""
    flat.mkdir(exist_ok=True)
    for archive, member in members(package.path):
        if KEPT.fullmatch(member.name.removeprefix("./")):
            path = flat / Path(member.name).name
            if member.issym():
                path.symlink_to(Path(member.linkname).name)
            elif member.isfile():
                write_member(archive, member, path)
