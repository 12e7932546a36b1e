"""Debian's xl of a release, laid out for the lab's dom0; packages come through the lab's own apt."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from xenapic.lab.apt import Apt, derive, machine_sources
from xenapic.lab.cache import Entry, cache_root
from xenapic.lab.errors import FetchFailed
from xenapic.lab.programs import run
from xenapic.lab.xens import Release

__all__ = ["HOME", "ensure"]

HOME = "/opt/xl"
SHIM = Path(__file__).with_name("shim.c")
PROGRAMS = ("xl", "xenstored", "xen-init-dom0")
FORMAT = 1
"""Increase it when this module makes something else of the same packages."""


def ensure(release: Release) -> Path:
    """Return the directory that becomes `HOME` in dom0; fetch and build it unless the cache has it."""
    recipe = hashlib.sha256(repr((FORMAT, release, SHIM.read_text())).encode()).hexdigest()
    kept = Entry(cache_root() / "lab" / f"xl-{release.version}", recipe)
    return kept.ensure(lambda into: _make(release, into))


def _make(release: Release, into: Path) -> dict[str, Any]:
    utils = f"xen-utils-{release.version}"
    with tempfile.TemporaryDirectory(prefix="work-", dir=into.parent) as name:
        work = Path(name)
        apt = Apt(work / "apt", derive(machine_sources(), release.suite))
        apt.update()
        packages = apt.download((utils, "libyajl2"), closure=False)
        tree = work / "tree"
        for package in packages:
            run("dpkg-deb", "--extract", str(package.path), str(tree))
        home = tree / f"usr/lib/xen-{release.version}"
        for program in PROGRAMS:
            shutil.copy(home / "bin" / program, into)
        shutil.copy(home / "boot/hvmloader", into)
        shutil.copy(tree / "usr/lib/x86_64-linux-gnu/libyajl.so.2", into)
    _build(into / "shim.so")
    return {"packages": {package.name: package.version for package in packages}}


def _build(shim: Path) -> None:
    done = subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(shim), str(SHIM), "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise FetchFailed(f"the shim cannot be built: {done.stderr.strip()}")
