"""Find libxenctrl, read its release from its soname, and choose the matching declarations.

Nothing here calls Xen. The search order is:

1. the argument ``library`` (a path or a release such as ``"4.17"``),
2. the environment variable ``XENAPIC_LIBXENCTRL`` (the same two forms),
3. the release that the running hypervisor reports in ``/sys/hypervisor/version``,
4. every known release, newest first.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from xenapic.abi.elf import elf_soname
from xenapic.abi.generations import RELEASES, Release, release, soname
from xenapic.errors import LibraryNotFound, ReleaseUnknown

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import (
        FFI,
        LibC,
        LibXenCtrl,
        LibXenEvtchn,
        LibXenForeignMemory,
        LibXenToolLog,
    )

__all__ = ["ENVIRONMENT", "Library", "load", "running_release"]

ENVIRONMENT = "XENAPIC_LIBXENCTRL"
SONAME = re.compile(r"libxenctrl\.so\.(?P<release>\d+\.\d+)")
TOOLLOG_SONAME = "libxentoollog.so.1"
FOREIGN_SONAME = "libxenforeignmemory.so.1"
EVTCHN_SONAME = "libxenevtchn.so.1"
"""Stable libraries; libxenctrl itself needs them, so they are installed."""
SYSFS_VERSION = Path("/sys/hypervisor/version")
SEARCHED_BY_HAND = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64")


@dataclass(frozen=True)
class Library:
    """libxenctrl of one release, loaded, with the matching declarations."""

    release: Release
    path: str
    """The name or path given to the dynamic linker."""
    ffi: FFI
    xenctrl: LibXenCtrl
    foreign: LibXenForeignMemory
    toollog: LibXenToolLog
    libc: LibC
    evtchn: LibXenEvtchn


def load(library: str | os.PathLike[str] | None = None) -> Library:
    """Load libxenctrl.

    Raises `LibraryNotFound` when it is not installed, `ReleaseUnknown` when `xenapic.abi.generations` does
    not have its soname.
    """
    asked = os.fspath(library) if library is not None else os.environ.get(ENVIRONMENT)
    if asked:
        return _load_asked(asked)
    running = running_release()
    ordered = sorted(RELEASES, key=lambda row: (str(row) != running, *(-n for n in row.number)))
    for row in ordered:
        try:
            return _load(row, soname(row))
        except OSError:
            continue
    raise _nothing_found(running)


def running_release() -> str | None:
    """Return the Xen release (``"4.17"``) that the kernel reports it runs under, or None."""
    try:
        return ".".join((SYSFS_VERSION / part).read_text().strip() for part in ("major", "minor"))
    except OSError:
        return None


def _load_asked(asked: str) -> Library:
    if re.fullmatch(r"\d+\.\d+", asked):
        row = _known(asked, f"Xen {asked} was requested")
        try:
            return _load(row, soname(row))
        except OSError as error:
            raise LibraryNotFound(f"{soname(row)} cannot be loaded: {error}. {_advice(asked)}") from error
    path = Path(asked)
    try:
        name = elf_soname(path)
    except (OSError, ValueError) as error:
        raise LibraryNotFound(f"{path} cannot be read as a library: {error}") from error
    match = SONAME.fullmatch(name or "")
    if match is None:
        raise ReleaseUnknown(f"{path} has the soname {name or '(none)'}, not libxenctrl.so.4.N")
    row = _known(match["release"], f"{path} is {name}")
    try:
        return _load(row, str(path))
    except OSError as error:
        raise LibraryNotFound(f"{path} cannot be loaded: {error}") from error


def _known(text: str, fact: str) -> Release:
    row = release(text)
    if row is None:
        raise ReleaseUnknown(
            f"{fact}. xenapic does not know the structures of that release, and a wrong layout would corrupt "
            f"memory. Known are Xen {RELEASES[0]} to {RELEASES[-1]}. Install a newer xenapic."
        )
    return row


@cache
def _load(row: Release, path: str) -> Library:
    """Load the library once per process, so that further handles need no search."""
    ffi: FFI = importlib.import_module(f"xenapic._xenctrl.{row.generation}").ffi
    return Library(
        release=row,
        path=path,
        ffi=ffi,
        xenctrl=ffi.dlopen(path),
        foreign=ffi.dlopen(FOREIGN_SONAME),
        toollog=ffi.dlopen(TOOLLOG_SONAME),
        libc=ffi.dlopen(None),
        evtchn=ffi.dlopen(EVTCHN_SONAME),
    )


def _nothing_found(running: str | None) -> LibraryNotFound | ReleaseUnknown:
    """Return the error: only unknown releases are installed, or none at all."""
    others = sorted({match["release"] for name in _installed() if (match := SONAME.match(name))})
    unknown = [text for text in others if release(text) is None]
    if unknown:
        return ReleaseUnknown(
            f"libxenctrl is installed only for Xen {', '.join(unknown)}; xenapic knows Xen "
            f"{RELEASES[0]} to {RELEASES[-1]}. Install a newer xenapic."
        )
    return LibraryNotFound(f"no libxenctrl.so.4.N was found. {_advice(running)}")


def _installed() -> Iterable[str]:
    for folder in SEARCHED_BY_HAND:
        for pattern in ("libxenctrl.so.*", "*-linux-*/libxenctrl.so.*"):
            yield from (path.name for path in Path(folder).glob(pattern))


def _advice(text: str | None) -> str:
    package = f"libxenmisc{text}" if text else "libxenmisc4.N (N as in 'xl info xen_version')"
    return (
        f"Install the library of the running Xen (Debian: apt-get install {package}; Fedora: xen-libs; "
        f"Alpine: xen-libs), or name it with {ENVIRONMENT}=/path/to/libxenctrl.so.4.N."
    )
