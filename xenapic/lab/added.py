"""Xens that somebody brought to the lab: their own builds, and other distributions' packages.

What is taken is copied into the lab's cache, so that a rebuild does not change what runs. Dom0 itself is a
Debian release's: its kernel and its root, with the brought libraries laid over it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xenapic.abi.generations import release as known_release
from xenapic.abi.layout import compare_headers, equal
from xenapic.abi.proof import PLACE, LayoutProof, library_sha256
from xenapic.errors import HeadersUnusable, ImageInvalid
from xenapic.lab.cache import Entry, cache_root
from xenapic.lab.cpio import CpioWriter
from xenapic.lab.errors import LabUsageError
from xenapic.lab.gather import Sources, gathered
from xenapic.lab.hypervisor import read_hypervisor
from xenapic.lab.kernel import quick
from xenapic.lab.libraries import Libraries, read_libraries
from xenapic.lab.xens import RELEASES, Progress, Release, XenFiles
from xenapic.lab.xens import ensure as ensure_release
from xenapic.loader.kernel import kernel_image

__all__ = ["AddedXen", "add", "add_if_new", "added", "added_names", "check_name", "remove"]

FORMAT = "added-2"
"""Change it when this module makes something else of the same files."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}")
HYPERVISOR, LIBRARIES, KERNEL, HEADERS = "xen", "libraries.cpio", "vmlinux", "headers"
LIBRARY_HOME = "/usr/lib/x86_64-linux-gnu"


@dataclass(frozen=True)
class AddedXen:
    """A Xen that was added to the lab; `version` is the name that it was given."""

    version: str
    xen: str
    """Its release and what follows it, as far as its files say: ``4.21.2``."""
    release: str
    """``4.21``, from the soname of its libxenctrl."""
    changeset: str
    debug: bool | None
    as_release: str
    """The known release whose layout its library has, if its own is not known; proven from its headers."""
    root: str
    """The Debian release whose root and kernel dom0 has."""
    options: tuple[str, ...]
    """Xen options that every boot of it gets."""
    made: str
    taken: dict[str, dict[str, str]] = field(default_factory=dict)
    """Path and SHA-256 of each file that was taken."""

    @property
    def entry(self) -> Entry:
        """Its place in the cache."""
        return Entry(_home() / self.version, FORMAT)

    def ensure(self, progress: Progress, *, renew: bool = False) -> XenFiles:
        """Return the files that boot; raise `LabUsageError` if the copy in the cache is damaged."""
        if problem := self.entry.problem():
            raise LabUsageError(f"the copy of Xen {self.version!r} is damaged ({problem}): add it again")
        base = ensure_release(_base(self.root), progress, renew=renew)
        path = self.entry.path
        kernel = path / KERNEL
        return XenFiles(
            path / HYPERVISOR,
            kernel if kernel.exists() else base.kernel,
            base.first,
            base.root,
            base.python,
            (path / LIBRARIES,) if (path / LIBRARIES).exists() else (),
        )


def _home() -> Path:
    return cache_root() / "lab" / "added"


def _base(suite: str) -> Release:
    return next(release for release in RELEASES.values() if release.suite == suite)


def added_names() -> list[str]:
    """Return the names of the Xens that were added."""
    try:
        return sorted(path.name for path in _home().iterdir() if (path / "current").is_dir())
    except OSError:
        return []


def added(name: str) -> AddedXen | None:
    """Return a Xen that was added, or None; raise `LabUsageError` if its record is damaged."""
    if NAME.fullmatch(name) is None or not (_home() / name / "current").is_dir():
        return None
    try:
        return _described(name, Entry(_home() / name, FORMAT).manifest()["added"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabUsageError(f"the record of Xen {name!r} is damaged ({error}): add it again") from None


def _described(name: str, kept: dict[str, Any]) -> AddedXen:
    return AddedXen(
        **{**kept, "version": name, "options": tuple(kept["options"]), "taken": dict(kept["taken"])}
    )


def remove(name: str) -> None:
    """Remove a Xen that was added; machines that run it are not disturbed. Raises `LabUsageError`."""
    if name in RELEASES:
        raise LabUsageError(f"Xen {name} is Debian's, and part of the lab: it cannot be removed")
    if NAME.fullmatch(name) is None or name not in added_names():
        known = ", ".join(added_names()) or "none"
        raise LabUsageError(f"no Xen {name!r} was added; there are: {known}")
    Entry(_home() / name, FORMAT).discard()
    shutil.rmtree(_home() / name, ignore_errors=True)


def add(
    name: str,
    sources: Sources,
    *,
    root: str = "",
    options: tuple[str, ...] = (),
    progress: Progress = lambda text: None,
) -> AddedXen:
    """Copy a Xen into the lab under a name, in place of an earlier one of that name.

    ``root`` is the Debian release for dom0's root, by default the oldest whose C library is new enough.
    Raises `LabUsageError` that says what cannot be taken, and what to give instead.
    """
    check_name(name)
    kept = Entry(_home() / name, FORMAT)
    kept.ensure(lambda into: _Taking(into, progress).take(sources, root, options), renew=True)
    found = added(name)
    if found is None:
        raise LabUsageError(f"Xen {name!r} was removed while it was added")
    return found


def add_if_new(name: str, sources: Sources, *, progress: Progress = lambda text: None) -> AddedXen:
    """Add a Xen as `add` does, unless the one of that name has the same files: its snapshots stay usable."""
    check_name(name)
    try:
        known = added(name)
    except LabUsageError:
        known = None
    if known is not None and known.entry.problem() is None:
        with tempfile.TemporaryDirectory(prefix="xenapic-") as place:
            taken = _Taking(Path(place), progress).take(sources, "", ())["added"]
        if _described(name, {**taken, "made": known.made}) == known:
            return known
    return add(name, sources, progress=progress)


def check_name(name: str) -> None:
    """Raise `LabUsageError` if a Xen cannot be added under a name."""
    if NAME.fullmatch(name) is None:
        raise LabUsageError(f"{name!r} cannot name a Xen: use letters, digits and . _ + ~ -")
    if name in RELEASES:
        raise LabUsageError(f"{name} is the name of Debian's Xen; choose another one")


class _Taking:
    """Copies a Xen into a directory, and remembers what it took."""

    def __init__(self, into: Path, progress: Progress) -> None:
        self._into = into
        self._progress = progress
        self._taken: dict[str, dict[str, str]] = {}
        self._unpacked: Path | None = None

    def take(self, sources: Sources, root: str, options: tuple[str, ...]) -> dict[str, Any]:
        """Copy everything; return what the entry's manifest keeps."""
        for package in sources.packages:
            self._note(package.name, package)
        for what, name, digest in sources.origin:
            self._taken[what] = {"path": name, "sha256": digest}
        with gathered(sources, self._into.parent, self._progress) as files:
            self._unpacked = files.unpacked
            hypervisor = read_hypervisor(files.hypervisor)
            self._note("hypervisor", files.hypervisor)
            (self._into / HYPERVISOR).write_bytes(hypervisor.image)
            if sources.debian:
                proof, release = None, _debians(sources.debian)
                suite = sources.debian
                _agree(files.hypervisor, hypervisor.release, release)
            else:
                libraries = read_libraries(files.libraries)
                release, suite = libraries.release, libraries.root(root)
                _agree(files.hypervisor, hypervisor.release, release)
                for directory, below in files.headers:
                    self._copy_headers(directory, self._into / HEADERS / below)
                proof = self._proof(libraries)
                self._write_libraries(libraries, proof)
            if files.kernel is not None:
                self._write_kernel(files.kernel)
        return {
            "added": {
                "xen": release + hypervisor.extra,
                "release": release,
                "changeset": hypervisor.changeset,
                "debug": hypervisor.debug,
                "as_release": proof.as_release if proof else "",
                "root": suite,
                "options": list(options),
                "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "taken": self._taken,
            }
        }

    def _note(self, what: str, path: Path) -> None:
        shown = path.absolute()
        if self._unpacked is not None and shown.is_relative_to(self._unpacked):
            shown = Path("/") / shown.relative_to(self._unpacked)  # its place in the package
        self._taken[what] = {"path": str(shown), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}

    def _proof(self, libraries: Libraries) -> LayoutProof | None:
        """Return the proof of an unknown release's layout; raise `LabUsageError` if there is none."""
        if known_release(libraries.release) is not None:
            return None
        headers = self._into / HEADERS
        unknown = f"Xen {libraries.release} is a release that xenapic does not know"
        if not headers.is_dir():
            raise LabUsageError(f"{unknown}: give its --headers, to prove the layout of its structures")
        self._progress("comparing the layout of its structures")
        try:
            comparisons = compare_headers(headers)
        except HeadersUnusable as error:
            raise LabUsageError(f"{unknown}, and {error}") from None
        proven = equal(comparisons)
        if proven is None:
            nearest = min(comparisons, key=lambda one: len(one.differences))
            places = "\n".join(f"  {one}" for one in nearest.differences)
            raise LabUsageError(f"{unknown}, and it differs from the nearest, {nearest.release}:\n{places}")
        control = libraries.files[libraries.control]
        return LayoutProof(libraries.release, str(proven), library_sha256(control))

    def _write_libraries(self, libraries: Libraries, proof: LayoutProof | None) -> None:
        with (self._into / LIBRARIES).open("wb") as out:
            writer = CpioWriter(out)
            for soname, path in sorted(libraries.files.items()):
                writer.file(f"overlay{LIBRARY_HOME}/{soname}", path.read_bytes(), executable=True)
                self._note(soname, path)
            if proof is not None:
                writer.file(f"overlay{PLACE}", proof.text().encode())
            writer.close()

    def _write_kernel(self, path: Path) -> None:
        plain = _plain(path)
        if DOM0_NOTE not in plain:
            raise LabUsageError(f"--kernel {path} cannot be dom0: it is built without CONFIG_XEN_DOM0")
        (self._into / KERNEL).write_bytes(quick(plain))
        self._note("kernel", path)

    def _copy_headers(self, directory: Path, into: Path) -> None:
        for path in sorted(directory.rglob("*.h"))[:MOST_HEADERS]:
            if path.is_file():
                place = into / path.relative_to(directory)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(path.read_bytes())


def _plain(path: Path) -> bytes:
    """Return the ELF file in a kernel's file."""
    try:
        return bytes(kernel_image(path.read_bytes(), str(path)))
    except ImageInvalid as error:
        raise LabUsageError(f"--kernel: {error}") from None


MOST_HEADERS = 2000
DOM0_NOTE = b"xen-3.0\0"
"""The ELF note of a Linux kernel for PV (``XEN_ELFNOTE_XEN_VERSION``, ``arch/x86/xen/xen-head.S``)."""
VERSIONED = re.compile(r"xen(?:-syms)?-(\d{1,2}\.\d{1,3})(?!\d)")


def _debians(suite: str) -> str:
    """Return the release of Xen whose libraries are in a Debian release's root."""
    return _base(suite).version


def _agree(hypervisor: Path, said: str, libraries: str) -> None:
    """Raise `LabUsageError` if the hypervisor, or else its file's name, says that its release is another."""
    named = VERSIONED.match(hypervisor.resolve().name)
    release = said or (named[1] if named else libraries)
    if release != libraries:
        raise LabUsageError(
            f"{hypervisor} is Xen {release}, and the libraries are of Xen {libraries}: "
            "give both of the same build"
        )
