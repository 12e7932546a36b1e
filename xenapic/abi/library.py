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
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Union

from xenapic.abi.elf import elf_soname
from xenapic.abi.generations import RELEASES, Release, release, soname
from xenapic.abi.proof import LayoutProof, kept_proof, read_proof
from xenapic.errors import LayoutUnproven, LibraryNotFound, ReleaseUnknown
from xenapic.frozen import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from xenapic._xenctrl.libxenctrl import (
        FFI,
        LibC,
        LibXenCtrl,
        LibXenEvtchn,
        LibXenForeignMemory,
        LibXenGuest,
        LibXenToolLog,
    )

__all__ = ["ENVIRONMENT", "Library", "load", "running_release"]

ENVIRONMENT = "XENAPIC_LIBXENCTRL"
SONAME = re.compile(r"libxenctrl\.so\.(?P<release>\d+\.\d+)")
STEM = "libxenctrl.so."
GUEST_STEM = "libxenguest.so."
TOOLLOG_SONAME = "libxentoollog.so.1"
FOREIGN_SONAME = "libxenforeignmemory.so.1"
EVTCHN_SONAME = "libxenevtchn.so.1"
"""Stable libraries; libxenctrl itself needs them, so they are installed."""
SYSFS_VERSION = "/sys/hypervisor/version"
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
    proof: LayoutProof | None = None
    """What the layout rests on, if `release` is not in `RELEASES`."""
    loaded_guest: LibXenGuest | None = None
    """libxenguest in place of the one that `guest` would load."""

    @property
    def guest(self) -> LibXenGuest:
        """The libxenguest of the same release, which few operations need; raises `LibraryNotFound`."""
        folder, slash, name = self.path.rpartition("/")
        beside = name.replace(STEM, GUEST_STEM) if STEM in name else f"{GUEST_STEM}{self.release}"
        try:
            return self.loaded_guest or self.ffi.dlopen(f"{folder}{slash}{beside}")
        except OSError as error:
            advice = _advice(str(self.release))
            raise LibraryNotFound(f"{beside} cannot be loaded: {error}. {advice}") from error


Layout = Union["str | os.PathLike[str]", LayoutProof, None]
"""A proof, the path of one, or None for the one in the environment or in /etc."""


def load(library: str | os.PathLike[str] | None = None, layout: Layout = None) -> Library:
    """Load libxenctrl.

    ``layout`` proves the layout of a library whose release is unknown (`xenapic.abi.proof`); without it,
    ``$XENAPIC_LAYOUT`` or ``/etc/xenapic/layout.json`` is used if it is needed.
    Raises `LibraryNotFound` when it is not installed, `ReleaseUnknown` when `xenapic.abi.generations` does
    not have its soname and there is no proof, `LayoutUnproven` when the proof is of another library.
    """
    proof = layout if isinstance(layout, LayoutProof) or layout is None else read_proof(layout)
    asked = os.fspath(library) if library is not None else os.environ.get(ENVIRONMENT)
    if asked:
        return _load_asked(asked, proof)
    running = running_release()
    if running is not None and release(running) is None and (proof := proof or kept_proof()) is not None:
        return _load_unknown(running, proof)
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
        return ".".join(_read(f"{SYSFS_VERSION}/{part}").strip() for part in ("major", "minor"))
    except OSError:
        return None


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _load_unknown(running: str, proof: LayoutProof) -> Library:
    """Load the library of the running Xen, whose release is unknown, by a proof."""
    from pathlib import Path

    name = f"{STEM}{running}"
    places = [folder for folder in SEARCHED_BY_HAND for folder in (folder, *_below(folder))]
    for folder in places:
        if (path := Path(folder) / name).is_file():
            return _load_proven(running, path, proof)
    raise LibraryNotFound(f"no {name} was found. {_advice(running)}")


def _load_proven(text: str, path: Path, proof: LayoutProof) -> Library:
    if proof.release != text:
        raise LayoutUnproven(f"the proof is of Xen {proof.release}, and {path} is of Xen {text}")
    try:
        return replace(_load(proof.row(path), str(path)), proof=proof)
    except OSError as error:
        raise LibraryNotFound(f"{path} cannot be loaded: {error}") from error


def _below(folder: str) -> list[str]:
    from pathlib import Path

    return [str(path) for path in Path(folder).glob("*-linux-*")]


def _load_asked(asked: str, proof: LayoutProof | None) -> Library:
    if re.fullmatch(r"\d+\.\d+", asked):
        row = _known(asked, f"Xen {asked} was requested")
        try:
            return _load(row, soname(row))
        except OSError as error:
            raise LibraryNotFound(f"{soname(row)} cannot be loaded: {error}. {_advice(asked)}") from error
    from pathlib import Path  # takes longer to import than the rest of this

    path = Path(asked)
    try:
        name = elf_soname(path)
    except (OSError, ValueError) as error:
        raise LibraryNotFound(f"{path} cannot be read as a library: {error}") from error
    match = SONAME.fullmatch(name or "")
    if match is None:
        raise ReleaseUnknown(f"{path} has the soname {name or '(none)'}, not libxenctrl.so.4.N")
    if release(match["release"]) is None and (proof := proof or kept_proof()) is not None:
        return _load_proven(match["release"], path, proof)
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
            f"memory. Known are Xen {RELEASES[0]} to {RELEASES[-1]}. Install a newer xenapic, or "
            f"prove the layout "
            "from that Xen's own headers (xenapic abi check)."
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
    from pathlib import Path

    for folder in SEARCHED_BY_HAND:
        for pattern in ("libxenctrl.so.*", "*-linux-*/libxenctrl.so.*"):
            yield from (path.name for path in Path(folder).glob(pattern))


def _advice(text: str | None) -> str:
    package = f"libxenmisc{text}" if text else "libxenmisc4.N (N as in 'xl info xen_version')"
    return (
        f"Install the library of the running Xen (Debian: apt-get install {package}; Fedora: xen-libs; "
        f"Alpine: xen-libs), or name it with {ENVIRONMENT}=/path/to/libxenctrl.so.4.N."
    )
