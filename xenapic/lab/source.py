"""The source of a Xen: Debian's source package, or a tree that somebody has."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xenapic.lab.apt import Apt, derive, machine_sources
from xenapic.lab.cache import Entry, cache_root
from xenapic.lab.errors import FetchFailed, LabUsageError
from xenapic.lab.programs import need, run
from xenapic.lab.xens import Progress, Release

__all__ = ["PARTS", "debian_source", "digest", "files_of", "release_of", "unpacked"]

PACKAGE = "xen"
FORMAT = "source-1"
"""Change it when this module keeps something else of the same package."""

PARTS = ("xen", "config", "Config.mk", "tools/flask")
"""What a build of the hypervisor reads of a tree."""
CONFIG = "xen/.config"
MADE = {".a", ".cmd", ".d", ".i", ".o", ".pyc", ".s"}
"""What a build leaves next to the source."""
NUMBERS = re.compile(r"^(?:export\s+)?XEN_(VERSION|SUBVERSION)\s*[:?]?=\s*(\d{1,3})\s*$", re.M)


def debian_source(release: Release, progress: Progress, *, renew: bool = False) -> Path:
    """Return the directory with a source package, fetched unless the cache has it (or ``renew``)."""
    kept = Entry(cache_root() / "lab" / f"source-{release.version}", FORMAT)
    return kept.ensure(lambda into: _fetch(release, into, progress), renew=renew)


def _fetch(release: Release, into: Path, progress: Progress) -> dict[str, Any]:
    need("apt-get", "setpriv")
    with tempfile.TemporaryDirectory(prefix="work-", dir=into.parent) as work:
        progress(f"reading Debian {release.suite}'s lists of source packages")
        apt = Apt(Path(work) / "apt", derive(machine_sources(), release.suite), "deb-src")
        apt.update()
        version = _newest(apt, release, into, progress)
    return {"version": version, "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def _newest(apt: Apt, release: Release, into: Path, progress: Progress) -> str:
    """Fetch the newest version that the archive has: lists may name some that it has not."""
    failed = []
    for version in apt.source_versions(PACKAGE):
        progress(f"fetching the source of Xen {version}")
        try:
            apt.download_source(PACKAGE, version, into)
        except FetchFailed as error:
            failed.append(f"{version}: {error}")
        else:
            return version
    tried = "\n".join(failed) or f"Debian {release.suite}'s lists name no source package of Xen"
    raise FetchFailed(
        f"the source of Xen {release.version} cannot be fetched; get a tree of it, and give that "
        f"with --tree\n{tried}"
    )


def unpacked(package: Path, into: Path) -> Path:
    """Unpack a source package below a directory, with Debian's patches, and return the tree."""
    need("dpkg-source")
    (description,) = package.glob("*.dsc")
    tree = into / "tree"
    # apt has checked the files against the signed lists.
    run("dpkg-source", "--no-check", "--extract", str(description), str(tree))
    return tree


# -- trees -------------------------------------------------------------------------------------------


def release_of(tree: Path) -> str:
    """Return the release of a tree, such as ``4.17``; raise `LabUsageError` if it is none of Xen."""
    try:
        text = (tree / "xen" / "Makefile").read_text(errors="replace")
    except OSError:
        raise LabUsageError(f"{tree} is no tree of Xen's source: it has no readable xen/Makefile") from None
    numbers = dict(NUMBERS.findall(text))
    if len(numbers) != 2:
        raise LabUsageError(f"{tree}/xen/Makefile does not say which release it is")
    return f"{numbers['VERSION']}.{numbers['SUBVERSION']}"


def files_of(tree: Path) -> list[str]:
    """Return the paths of what a build needs of a tree: what git knows, else all that is not built."""
    names = _known_to_git(tree) if (tree / ".git").exists() else _all_below(tree)
    kept = {name for name in names if Path(name).suffix not in MADE and _is_file(tree / name)}
    if (tree / CONFIG).is_file():
        kept.add(CONFIG)
    return sorted(kept)


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def _known_to_git(tree: Path) -> list[str]:
    need("git")
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PARTS]
    done = subprocess.run(asked, cwd=tree, capture_output=True, check=False)
    if done.returncode:
        raise LabUsageError(
            f"git cannot list the files of {tree}: {done.stderr.decode(errors='replace').strip()}"
        )
    return [name.decode(errors="surrogateescape") for name in done.stdout.split(b"\0") if name]


def _all_below(tree: Path) -> list[str]:
    paths = (path for part in PARTS for path in [tree / part, *(tree / part).rglob("*")])
    return [str(path.relative_to(tree)) for path in paths]


def digest(tree: Path, names: Iterable[str]) -> str:
    """Return a checksum over the names and the content of files."""
    total = hashlib.sha256()
    for name in names:
        path = tree / name
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        total.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode(errors="surrogateescape"))
    return total.hexdigest()
