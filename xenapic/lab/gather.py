"""Find the parts of a Xen in what somebody has: a build's tree, single files, packages."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xenapic.lab.errors import LabPrerequisite, LabUsageError
from xenapic.lab.programs import dying_with_us, need, run

__all__ = ["Gathered", "Sources", "gathered", "libraries_in"]

INSTALLED = ("dist/install", "install", "")
"""Where a tree keeps what was installed, seen from a source tree, from ``dist`` and from itself."""
HYPERVISORS = ("boot/xen-*.gz", "boot/xen.gz", "usr/lib*/debug/xen-syms-*", "boot/xen-syms-*")
BUILT = ("xen/xen.gz", "xen/xen", "xen/xen-syms")
"""What `make -C xen` leaves in a source tree, where nothing was installed."""
UNPACKERS = ("bsdtar", "rpm2cpio")


@dataclass(frozen=True)
class Sources:
    """What a caller gave; single files take precedence over what the tree or the packages hold."""

    tree: Path | None = None
    packages: tuple[Path, ...] = ()
    hypervisor: Path | None = None
    libraries: Path | None = None
    headers: Path | None = None
    kernel: Path | None = None
    debian: str = ""
    """The Debian release whose root has the libraries already; then none are taken."""
    origin: tuple[tuple[str, str, str], ...] = ()
    """What the hypervisor was built from: for each thing its kind, its path or name, and its SHA-256."""


@dataclass(frozen=True)
class Gathered:
    """The files of one Xen."""

    hypervisor: Path
    libraries: tuple[Path, ...]
    """Directories that hold them."""
    headers: tuple[tuple[Path, str], ...]
    """Directories, and where their content belongs below the directory for headers."""
    kernel: Path | None
    unpacked: Path | None
    """Where packages were unpacked."""


@contextlib.contextmanager
def gathered(sources: Sources, room: Path, progress: Callable[[str], None]) -> Iterator[Gathered]:
    """Provide the files of a Xen; packages are unpacked below the directory ``room``, and removed at the end.

    Raises `LabUsageError` that names what is missing.
    """
    _check(sources)
    with contextlib.ExitStack() as stack:
        places = [] if sources.tree is None else [sources.tree]
        work = None
        if sources.packages:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="packages-", dir=room)))
            for package in sources.packages:
                progress(f"unpacking {package.name}")
                unpack(package, work)
            places.append(work)
        yield Gathered(
            sources.hypervisor or _hypervisor(places),
            _given_libraries(sources, places),
            ((sources.headers, ""),) if sources.headers else _headers(places),
            sources.kernel,
            work,
        )


def _check(sources: Sources) -> None:
    if sources == Sources() or not (sources.tree or sources.packages or sources.hypervisor):
        raise LabUsageError("nothing to add: give --tree, --packages, or --hypervisor with --libraries")
    for what, path in (
        ("tree", sources.tree),
        ("libraries", sources.libraries),
        ("headers", sources.headers),
    ):
        if path is not None and not path.is_dir():
            raise LabUsageError(f"--{what} {path} is not a directory")
    for path in (*sources.packages, *filter(None, (sources.hypervisor, sources.kernel))):
        if not path.is_file():
            raise LabUsageError(f"{path} is not a file")


# -- in trees ----------------------------------------------------------------------------------------


def _hypervisor(places: Sequence[Path]) -> Path:
    for place in places:
        for top in INSTALLED:
            for pattern in HYPERVISORS:
                if candidates := _different((place / top).glob(pattern)):
                    return _only(candidates)
        for name in BUILT:
            if (place / name).is_file():
                return place / name
    where = ", ".join(map(str, places)) or "what was given"
    if any(True for place in places for _path in place.rglob("xen*.efi")):
        raise LabUsageError(
            f"{where} has xen.efi alone, which the lab's machines, without EFI, cannot start: it also "
            f"takes xen.gz, "
            "which the same build makes"
        )
    raise LabUsageError(
        f"no xen.gz, xen or xen-syms in {where}: build it with `make dist`, or use --hypervisor"
    )


def _different(paths: Iterator[Path]) -> list[Path]:
    """Return the files, each once where several names lead to it."""
    return sorted({path.resolve() for path in paths if path.is_file()})


def _only(paths: list[Path]) -> Path:
    if len(paths) > 1:
        raise LabUsageError(f"several hypervisors: {', '.join(map(str, paths))}; choose with --hypervisor")
    return paths[0]


def _given_libraries(sources: Sources, places: Sequence[Path]) -> tuple[Path, ...]:
    if sources.debian:
        return ()
    return (sources.libraries,) if sources.libraries else libraries_in(places)


def libraries_in(places: Sequence[Path]) -> tuple[Path, ...]:
    """Return the directories of trees that hold a libxenctrl; raise `LabUsageError` if there is none."""
    for place in places:
        for top in INSTALLED[: 2 if (place / "tools/libs").is_dir() else None]:
            if (place / top).is_dir():
                holders = {path.parent for path in (place / top).rglob("libxenctrl.so.*") if path.is_file()}
                if holders:
                    return tuple(sorted(holders))
        if any(place.glob("tools/libs/ctrl/libxenctrl.so.*")):
            return tuple(sorted(path for path in place.glob("tools/libs/*") if path.is_dir()))
    where = ", ".join(map(str, places)) or "what was given"
    raise LabUsageError(
        f"no libxenctrl in {where}: a Xen can only be asked through its own libxenctrl; build the tools too "
        "(`make dist-tools`), or name a directory with --libraries"
    )


def _headers(places: Sequence[Path]) -> tuple[tuple[Path, str], ...]:
    """Return the directories with the headers; none is no error: only an unknown release needs them."""
    for place in places:
        for top in INSTALLED[: 2 if (place / "tools/libs").is_dir() else None]:
            for header in sorted((place / top).glob("**/include/xenctrl.h")):
                if (header.parent / "xen/domctl.h").is_file():
                    return ((header.parent, ""),)
        if (place / "tools/include/xenctrl.h").is_file():
            return ((place / "xen/include/public", "xen"), (place / "tools/include", ""))
    return ()


# -- in packages -------------------------------------------------------------------------------------


def unpack(package: Path, into: Path) -> None:
    """Unpack a .deb or .rpm; raise `LabUsageError` or `FetchFailed`."""
    with package.open("rb") as stream:
        magic = stream.read(8)
    if magic == b"!<arch>\n":
        need("dpkg-deb")
        run("dpkg-deb", "--extract", str(package), str(into))
    elif magic[:4] == b"\xed\xab\xee\xdb":
        _unpack_rpm(package, into)
    else:
        raise LabUsageError(f"{package} is neither a .deb nor a .rpm")


def _unpack_rpm(package: Path, into: Path) -> None:
    if shutil.which("bsdtar"):
        run("bsdtar", "-x", "-f", str(package.resolve()), "-C", str(into))
        return
    if shutil.which("rpm2cpio") is None or shutil.which("cpio") is None:
        raise LabPrerequisite(
            f"unpacking {package.name} needs bsdtar, or rpm2cpio and cpio: apt-get install libarchive-tools"
        )
    command = dying_with_us(["rpm2cpio", str(package.resolve())])
    with subprocess.Popen(command, stdout=subprocess.PIPE) as source:
        done = subprocess.run(
            ["cpio", "-idm", "--quiet", "--no-absolute-filenames"], cwd=into, stdin=source.stdout, check=False
        )
    if source.returncode or done.returncode:
        raise LabUsageError(f"{package} cannot be unpacked: rpm2cpio or cpio failed")
