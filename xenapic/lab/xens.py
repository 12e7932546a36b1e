"""The Xen releases that the lab can boot, made from Debian's packages and kept in the cache."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xenapic.lab.apt import Apt, Package, derive, machine_sources, members, write_member
from xenapic.lab.bootdisk import pad_to_cylinder
from xenapic.lab.cache import Entry, cache_root
from xenapic.lab.cpio import CpioWriter
from xenapic.lab.errors import FetchFailed, LabUsageError
from xenapic.lab.foreign import LOADER, through_loader
from xenapic.lab.frames import SECTOR
from xenapic.lab.kernel import DRIVERS, Drivers, driver_files, quick
from xenapic.lab.programs import need, need_room, run
from xenapic.loader.kernel import kernel_image

Progress = Callable[[str], None]

# Increase it when this module makes something else of the same packages.
FORMAT = 9

ROOM = 1000
"""Megabytes that making a release takes at most; most of it is removed again."""

ROOT_MAGIC = b"XENAPIC-ROOT\n"

ROOT_PACKAGES = (
    "python3",
    "python3-cffi-backend",
    "python3-click",
    "busybox-static",
)

# Nothing in dom0 reads these.
DROPPED = (
    "etc/python3",  # its sitecustomize.py looks for Debian's crash reporter at each start of Python
    "usr/share/doc/",
    "usr/share/man/",
    "usr/share/info/",
    "usr/share/locale/",
    "usr/share/lintian/",
    "usr/share/zoneinfo/",
    "usr/share/perl5/",
    "usr/share/bug/",
    "usr/lib/x86_64-linux-gnu/gconv/",
    "usr/lib/valgrind/",
    "var/lib/",
    "usr/share/dpkg/",
)
DROPPED_PYTHON = ("test", "idlelib", "lib2to3", "ensurepip", "turtledemo", "tkinter", "pydoc_data")

# Debian keeps these as links into /usr; its packages still name both places.
MERGED = ("bin", "sbin", "lib", "lib64")


@dataclass(frozen=True)
class Release:
    """A Xen release and the Debian release that carries it."""

    version: str
    suite: str

    @property
    def hypervisor(self) -> str:
        """The name of the hypervisor's package."""
        return f"xen-hypervisor-{self.version}-amd64"

    @property
    def root_packages(self) -> tuple[str, ...]:
        """The packages that dom0's root is made from, without their dependencies."""
        return (*ROOT_PACKAGES, f"libxenmisc{self.version}")


RELEASES = {r.version: r for r in (Release("4.17", "bookworm"), Release("4.20", "trixie"))}
DEFAULT_RELEASE = "4.17"


@dataclass(frozen=True)
class XenFiles:
    """The files that boot: the hypervisor, dom0's kernel, its initial files and its root.

    `python` is the cache tag of the Python in that root, such as ``cpython-311``. `more` are archives that
    are laid over the root: the libraries of a Xen that was added.
    """

    hypervisor: Path
    kernel: Path
    first: Path
    root: Path
    python: str
    more: tuple[Path, ...] = ()

    @property
    def archives(self) -> tuple[Path, ...]:
        """The archives that the kernel unpacks at its start, before those of a run."""
        return (self.first, *self.more)


def release(version: str) -> Release:
    """Return the release named `version`; raise `LabUsageError` with the known ones if there is none."""
    try:
        return RELEASES[version]
    except KeyError:
        known = ", ".join(RELEASES)
        raise LabUsageError(f"no Xen {version!r} in the lab; there are: {known}") from None


def entry(wanted: Release) -> Entry:
    """Return the cache entry of a release."""
    recipe = (FORMAT, wanted, wanted.root_packages, DROPPED, DROPPED_PYTHON, DRIVERS)
    digest = hashlib.sha256(repr(recipe).encode()).hexdigest()
    return Entry(cache_root() / "lab" / f"xen-{wanted.version}", digest)


def ensure(wanted: Release, progress: Progress, *, renew: bool = False) -> XenFiles:
    """Return the files of a release; fetch and make them unless the cache has them (or `renew`)."""
    kept = entry(wanted)
    path = kept.ensure(lambda into: _make(wanted, into, progress), renew=renew)
    python = str(kept.manifest()["python"])
    return XenFiles(path / "xen", path / "vmlinux", path / "first.cpio", path / "root.iso", python)


def _make(wanted: Release, into: Path, progress: Progress) -> dict[str, Any]:
    need("apt-get", "dpkg-deb", "xorriso", "xz", "setpriv")
    need_room(into, ROOM)
    with tempfile.TemporaryDirectory(prefix="work-", dir=into.parent) as name:
        work = Path(name)
        progress(f"reading Debian {wanted.suite}'s package lists")
        apt = Apt(work / "apt", derive(machine_sources(), wanted.suite))
        apt.update()
        progress("fetching hypervisor and kernel")
        kernel_name = _kernel_package(apt)
        boot = apt.download([wanted.hypervisor, kernel_name], closure=False)
        progress("fetching dom0's root")
        root = apt.download(wanted.root_packages, closure=True)
        progress("unpacking hypervisor and kernel")
        drivers = _boot_files(boot, kernel_name, work, into)
        progress("making dom0's root")
        _root_image(root, work / "root", into / "root.iso")
        python = one_file(work / "root", "usr/lib/python3.*/os.py").parent.name
        _first_archive(drivers, work / "root/usr/bin/busybox", into / "first.cpio")
    return {
        "xen": wanted.version,
        "suite": wanted.suite,
        "python": python.replace("python", "cpython-").replace(".", ""),
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "packages": {p.name: {"version": p.version, "sha256": p.sha256} for p in [*boot, *root]},
    }


def _kernel_package(apt: Apt) -> str:
    # Not the cloud flavour: it is built without dom0 support.
    for name in apt.depends("linux-image-amd64"):
        if name.startswith("linux-image-"):
            return name
    raise FetchFailed("linux-image-amd64 names no kernel package")


def _boot_files(packages: Sequence[Package], kernel: str, work: Path, into: Path) -> Drivers:
    trees = {}
    for package in packages:
        tree = work / package.name
        run("dpkg-deb", "--extract", str(package.path), str(tree))
        trees[package.name] = tree
    kernel_tree = trees.pop(kernel)
    (xen_tree,) = trees.values()
    packed = one_file(xen_tree, "boot/xen-*.gz")
    (into / "xen").write_bytes(gzip.decompress(packed.read_bytes()))
    vmlinuz = one_file(kernel_tree, "boot/vmlinuz-*")
    # Unpacked here: in an emulator, Xen would take many seconds for it.
    plain = bytes(kernel_image(vmlinuz.read_bytes(), vmlinuz.name))
    (into / "vmlinux").write_bytes(quick(plain))
    return Drivers(kernel.removeprefix("linux-image-"), driver_files(kernel_tree))


def one_file(tree: Path, pattern: str) -> Path:
    """Return the only file below `tree` that matches."""
    matches = list(tree.glob(pattern))
    if len(matches) != 1:
        raise FetchFailed(f"expected one {pattern} in {tree.name}, found {len(matches)}")
    return matches[0]


def _first_archive(drivers: Drivers, busybox: Path, archive: Path) -> None:
    """Write what dom0 needs before it can see its root: busybox, drivers and empty directories."""
    home = f"lib/modules/{drivers.kernel}"
    with archive.open("wb") as out:
        writer = CpioWriter(out)
        for name in ("proc", "dev", "base", "rw/upper", "rw/work", "root", "overlay"):
            writer.directory(name)
        writer.file("bin/busybox", busybox.read_bytes(), executable=True)
        for driver in drivers.files:
            writer.file(f"{home}/{driver.name}.ko", driver.data)
        dependencies = "".join(d.dependency_line() for d in drivers.files)
        writer.file(f"{home}/modules.dep", dependencies.encode())
        writer.file("etc/drivers", " ".join(d.name for d in drivers.files).encode() + b"\n")
        writer.file("etc/fstab.first", FSTAB_FIRST.encode())
        writer.file("etc/fstab.root", FSTAB_ROOT.encode())
        writer.close()


FSTAB_FIRST = """\
proc /proc proc defaults 0 0
dev /dev devtmpfs defaults 0 0
"""
# The upper directory and the files of this run are in the initial file system, in memory.
FSTAB_ROOT = """\
root /root overlay lowerdir=/overlay:/base,upperdir=/rw/upper,workdir=/rw/work 0 0
/proc /root/proc none move 0 0
/dev /root/dev none move 0 0
xen /root/proc/xen xenfs defaults 0 0
sys /root/sys sysfs defaults 0 0
tmp /root/tmp tmpfs defaults 0 0
run /root/run tmpfs defaults 0 0
"""


def _root_image(packages: Sequence[Package], root: Path, image: Path) -> None:
    (root / "usr").mkdir(parents=True)
    for name in MERGED:
        (root / "usr" / name).mkdir()
        (root / name).symlink_to(f"usr/{name}")
    for name in ("proc", "sys", "dev", "tmp", "run", "root", "etc", "var", "checkout"):
        (root / name).mkdir()
    for package in packages:
        for archive, member in members(package.path):
            _unpack_member(archive, member, root)
    (root / "usr/bin/sh").symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost dom0\n")
    _install_applets(root)
    _compile(root)
    run(
        "xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", str(image), str(root)
    )  # fmt: skip
    with image.open("r+b") as stream:
        # The first 32 KiB of an ISO 9660 image are free for such use.
        stream.write(ROOT_MAGIC.ljust(SECTOR, b"\0"))
        pad_to_cylinder(stream)


def _install_applets(root: Path) -> None:
    busybox = root / "usr/bin/busybox"
    names = run(str(busybox), "--list")
    for name in names.split():
        link = root / "usr/bin" / name
        if not link.exists() and not link.is_symlink():
            link.symlink_to("busybox")


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    name = merged(member.name)
    if not name or is_dropped(name):
        return
    path = root / name
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.exists():
        path.unlink()
    if member.issym():
        path.symlink_to(member.linkname)
    elif member.islnk():
        os.link(root / merged(member.linkname), path)
    elif member.isfile():
        write_member(archive, member, path)


def merged(name: str) -> str:
    """Return a package's path on a Debian that has /bin, /sbin and /lib merged into /usr."""
    name = name.removeprefix("./").strip("/")
    if name in {"", "."} or ".." in name.split("/"):
        return ""
    return f"usr/{name}" if name.split("/", 1)[0] in MERGED else name


def is_dropped(name: str) -> bool:
    """Return True if dom0's root does not need this file."""
    parts = name.split("/")
    python = len(parts) > 3 and parts[1] == "lib" and parts[2].startswith("python3.")
    return name.startswith(DROPPED) or (python and parts[3] in DROPPED_PYTHON)


def _compile(root: Path) -> None:
    """Byte-compile dom0's Python with that Python itself, which may differ from this machine's."""
    library = one_file(root, "usr/lib/python3.*/os.py").parent
    loader = (root / "usr/lib64" / LOADER).resolve()
    program = through_loader(loader, root / "usr/lib/x86_64-linux-gnu", root / "usr/bin" / library.name)
    # Unchecked: no source is looked at when a module is imported.
    run(
        *program, "-I", "-S", "-m", "compileall", "-q", "-s", str(root), "-p", "/",
        "--invalidation-mode", "unchecked-hash", str(library), str(root / "usr/lib/python3"),
        env={"PYTHONHOME": str(root / "usr")},
    )  # fmt: skip
