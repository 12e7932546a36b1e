"""Programs of the distribution the lab starts, and which package brings each."""

from __future__ import annotations

import shutil

from xenapic.lab.errors import LabPrerequisite

PACKAGES = {
    "qemu-system-x86_64": ("qemu-system-x86",),
    "bochs": ("bochs", "bochsbios", "vgabios"),
    "xorriso": ("xorriso",),
    "apt-get": ("apt",),
    "dpkg-deb": ("dpkg",),
    "xz": ("xz-utils",),
    "setpriv": ("util-linux",),
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
