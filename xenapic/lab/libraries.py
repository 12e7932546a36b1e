"""Check that the libraries of a Xen can be used in the lab's dom0."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from xenapic.lab.elffiles import SharedObject, shared_object
from xenapic.lab.errors import LabUsageError

__all__ = ["GLIBC", "Libraries", "read_libraries"]

GLIBC = {"bookworm": (2, 36), "trixie": (2, 41)}
"""The C library of each root that dom0 can have, oldest first."""
CONTROL = re.compile(r"libxenctrl\.so\.(\d{1,2}\.\d{1,3})")
OURS = re.compile(r"lib(xen|xl)[a-z]*\.so\.[\d.]+")
IN_ROOT = {
    "libxencall.so.1", "libxendevicemodel.so.1", "libxenevtchn.so.1", "libxenforeignmemory.so.1",
    "libxengnttab.so.1", "libxenhypfs.so.1", "libxenstore.so.4", "libxentoolcore.so.1", "libxentoollog.so.1",
}  # fmt: skip
"""Xen's libraries with a stable interface that Debian's package of libxenctrl brings along."""
VERSION = re.compile(r"GLIBC_(\d{1,3})\.(\d{1,3})(?:\.\d{1,3})?")


@dataclass(frozen=True)
class Libraries:
    """The libraries of a Xen, by soname."""

    files: dict[str, Path]
    objects: dict[str, SharedObject]

    @property
    def control(self) -> str:
        """The soname of its libxenctrl."""
        return next(soname for soname in self.files if CONTROL.fullmatch(soname))

    @property
    def release(self) -> str:
        """The release that libxenctrl is of, such as ``4.17``."""
        return self.control.removeprefix("libxenctrl.so.")

    @property
    def glibc(self) -> tuple[int, int]:
        """The C library that they need at least."""
        texts = (text for o in self.objects.values() for file, text in o.versions if file == "libc.so.6")
        matches = (VERSION.fullmatch(text) for text in texts)
        return max(((int(m[1]), int(m[2])) for m in matches if m), default=(0, 0))

    def root(self, wanted: str = "") -> str:
        """Return the Debian release for dom0's root: ``wanted``, else the oldest that is new enough.

        Raises `LabUsageError` if the C library there is too old.
        """
        fitting = [suite for suite, version in GLIBC.items() if version >= self.glibc]
        needs = "the libraries need glibc {}.{}".format(*self.glibc)
        if wanted and wanted not in GLIBC:
            raise LabUsageError(f"no root {wanted!r} for dom0; there are: {', '.join(GLIBC)}")
        if not fitting:
            newest, version = list(GLIBC.items())[-1]
            raise LabUsageError(
                "{}; dom0's newest root, Debian {}, has {}.{}: build them there, or in a "
                "container of it".format(needs, newest, *version)
            )
        if wanted and wanted not in fitting:
            raise LabUsageError(
                "{}; Debian {}'s root has {}.{}: use --root {}".format(
                    needs, wanted, *GLIBC[wanted], fitting[0]
                )
            )
        return wanted or fitting[0]


def read_libraries(directories: tuple[Path, ...]) -> Libraries:
    """Return the libraries in the directories; raise `LabUsageError` if they cannot be used together."""
    files: dict[str, Path] = {}
    objects: dict[str, SharedObject] = {}
    for path in (p for directory in directories for p in sorted(directory.iterdir())):
        if OURS.fullmatch(path.name) is None or not path.is_file():
            continue
        described = shared_object(path)
        if OURS.fullmatch(described.soname) and described.soname not in files:
            files[described.soname], objects[described.soname] = path.resolve(), described
    places = ", ".join(map(str, directories)) or "what was given"
    controls = [soname for soname in files if CONTROL.fullmatch(soname)]
    if not controls:
        raise LabUsageError(
            f"no libxenctrl.so.4.N in {places}: a Xen can only be asked through its own libxenctrl"
        )
    if len(controls) > 1:
        raise LabUsageError(
            f"{places} has several: {', '.join(controls)}; name the directory of one with --libraries"
        )
    found = Libraries(files, objects)
    _check_complete(found)
    return found


def _check_complete(libraries: Libraries) -> None:
    """Raise `LabUsageError` if libxenctrl needs a library of Xen that dom0 would not have."""
    waiting, seen = [libraries.control], set()
    while waiting:
        soname = waiting.pop()
        if soname in seen:
            continue
        seen.add(soname)
        if soname in libraries.objects:
            waiting += libraries.objects[soname].needed
        elif OURS.fullmatch(soname) and soname not in IN_ROOT:
            raise LabUsageError(f"{libraries.control} needs {soname}, which is not among the libraries given")
