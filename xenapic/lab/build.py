"""Build the hypervisor of a Xen from source, with or without the proposal, and add it to the lab."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xenapic.errors import TreeUnexpected
from xenapic.lab.added import AddedXen, add, check_name
from xenapic.lab.cache import Entry, cache_root
from xenapic.lab.child import Child
from xenapic.lab.errors import BuildFailed, LabPrerequisite, LabUsageError
from xenapic.lab.gather import Sources, libraries_in
from xenapic.lab.programs import need, need_room
from xenapic.lab.source import CONFIG, debian_source, digest, files_of, release_of, unpacked
from xenapic.lab.xens import RELEASES, Progress, Release
from xenapic.proposal.bochs import ALIGNED
from xenapic.proposal.change import PATCHES
from xenapic.proposal.places import Patch
from xenapic.proposal.series import apply, change_digest, changed_files

__all__ = ["Order", "build"]

FORMAT = "built-1"
"""Change it when this module builds something else from the same source."""
ROOM = 900
"""Megabytes that a build takes at most; all but the hypervisor is removed again."""
PROGRAMS = ("gcc", "ld", "make", "flex", "bison", "python3", "setpriv")
HYPERVISOR = "xen"
MAKE = ("make", "-C", "xen", "XEN_TARGET_ARCH=x86_64")
ENVIRONMENT = {
    "MAKEFLAGS": "",
    "MFLAGS": "",
    "MAKELEVEL": "",
    "LC_ALL": "C",
    # What a hypervisor says about its build must not depend on who builds it.
    "XEN_WHOAMI": "xenapic",
    "XEN_DOMAIN": "lab",
    "XEN_BUILD_HOST": "lab",
    "XEN_BUILD_DATE": "Thu Jan  1 00:00:00 UTC 1970",
    "XEN_BUILD_TIME": "00:00:00",
}
LOOK_EVERY = 0.5
SAY_EVERY = 5.0
"""Seconds between looks at the log, and between two lines of progress."""
OBJECT = re.compile(rb"^  (?:CC|AS|INIT_O) +(\S+)$", re.M)
SETTING = re.compile(r"(CONFIG_[A-Z0-9_]{1,60})=([yn]|-?\d{1,12}|0x[0-9a-fA-F]{1,16}|\"[^\"\n]{0,100}\")")


@dataclass(frozen=True)
class Change:
    """A change of the source: its name in what the lab remembers, and what it is called."""

    name: str
    title: str
    patches: tuple[Patch, ...]


PROPOSAL = Change("change", "the proposal of this xenapic", PATCHES)
FOR_BOCHS = Change("for-bochs", "what Bochs needs for posted interrupts", (ALIGNED,))


@dataclass(frozen=True)
class Order:
    """What is to be built. Give a release of Debian's or a tree."""

    release: Release | None = None
    tree: Path | None = None
    proposal: bool = False
    for_bochs: bool = False
    """Change what keeps guests with posted interrupts from starting in Bochs (`xenapic.proposal.bochs`)."""
    config: tuple[str, ...] = ()
    """Settings such as ``CONFIG_DEBUG=y``, on top of the tree's own configuration or the default."""
    libraries: Path | None = None
    headers: Path | None = None
    root: str = ""
    options: tuple[str, ...] = ()
    jobs: int = 2

    @property
    def changes(self) -> tuple[Change, ...]:
        """What is changed in the source."""
        wanted = {PROPOSAL: self.proposal, FOR_BOCHS: self.for_bochs}
        return tuple(change for change, is_wanted in wanted.items() if is_wanted)


def build(name: str, order: Order, *, progress: Progress = lambda text: None) -> AddedXen:
    """Build a hypervisor, unless the cache has it, and add it to the lab under a name.

    Raises `LabPrerequisite`, `LabUsageError` or `TreeUnexpected` before anything is built, and `BuildFailed`.
    """
    check_name(name)
    settings = _settings(order.config)
    _need(order)
    if order.release is not None:
        package = debian_source(order.release, progress)
        built, source = _from_package(name, order, settings, package, progress)
        sources = Sources(hypervisor=built / HYPERVISOR, debian=order.release.suite, origin=source)
    else:
        if order.tree is None:
            raise LabUsageError("nothing to build: give --from debian:RELEASE or --tree")
        sources = _libraries(order.tree, order)
        built, source = _from_tree(name, order, settings, order.tree, progress)
        sources = Sources(
            tree=sources.tree,
            hypervisor=built / HYPERVISOR,
            libraries=sources.libraries,
            headers=sources.headers,
            debian=sources.debian,
            origin=source,
        )
    return add(name, sources, root=order.root, options=order.options, progress=progress)


# -- before it starts --------------------------------------------------------------------------------


def _settings(config: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in config:
        match = SETTING.fullmatch(text)
        if match is None:
            raise LabUsageError(f"{text!r} is no setting such as CONFIG_DEBUG=y")
        pairs[match[1]] = match[2]
    return pairs


def _need(order: Order) -> None:
    """Raise `LabPrerequisite` with everything that is missing."""
    need(*PROGRAMS, *(["apt-get", "dpkg-source"] if order.release else []))
    tried = subprocess.run(
        ["gcc", "-E", "-x", "c", "-"], input=b"#include <stdio.h>\n", capture_output=True, check=False
    )
    if tried.returncode:
        raise LabPrerequisite("the compiler finds no headers of the C library: apt-get install libc6-dev")


def _libraries(tree: Path, order: Order) -> Sources:
    """Return where the libraries come from; raise `LabUsageError` if nothing has any of this release."""
    release = release_of(tree)
    if order.libraries is not None:
        return Sources(tree=tree, libraries=order.libraries, headers=order.headers)
    try:
        libraries_in([tree])
    except LabUsageError:
        if release in RELEASES:
            return Sources(debian=RELEASES[release].suite)
        raise LabUsageError(
            f"{tree} is Xen {release}, which Debian does not have, and no libxenctrl was built in it: "
            "a Xen can only be asked through its own libxenctrl; build it "
            "(./configure && make dist-tools), or name a directory with --libraries"
        ) from None
    return Sources(tree=tree, headers=order.headers)


# -- from source to hypervisor -----------------------------------------------------------------------

Origin = tuple[tuple[str, str, str], ...]


def _from_package(
    name: str, order: Order, settings: Mapping[str, str], package: Path, progress: Progress
) -> tuple[Path, Origin]:
    (description,) = package.glob("*.dsc")
    checksum = hashlib.sha256(description.read_bytes()).hexdigest()

    def make(into: Path) -> dict[str, Any]:
        with _room(into) as work:
            progress("unpacking the source")
            tree = unpacked(package, Path(work))
            return _made(name, order, settings, tree, into, progress)

    return _kept(order, settings, checksum, make), (("source", description.name, checksum), *_change(order))


def _from_tree(
    name: str, order: Order, settings: Mapping[str, str], tree: Path, progress: Progress
) -> tuple[Path, Origin]:
    names = files_of(tree)
    checksum = digest(tree, names)

    def make(into: Path) -> dict[str, Any]:
        with _room(into) as work:
            copy = Path(work) / "tree"
            _copy(tree, names, copy)
            return _made(name, order, settings, copy, into, progress)

    return _kept(order, settings, checksum, make), (
        ("source", str(tree.absolute()), checksum),
        *_change(order),
    )


def _change(order: Order) -> Origin:
    return tuple((each.name, each.title, change_digest(each.patches)) for each in order.changes)


def _room(into: Path) -> tempfile.TemporaryDirectory[str]:
    need_room(into, ROOM)
    return tempfile.TemporaryDirectory(prefix="work-", dir=into.parent)


def _kept(order: Order, settings: Mapping[str, str], source: str, make: Any) -> Path:
    tools = [_version("gcc"), _version("ld")]
    change = ",".join(change_digest(each.patches) for each in order.changes)
    recipe = hashlib.sha256(
        repr((FORMAT, source, change, sorted(settings.items()), tools)).encode()
    ).hexdigest()
    return Entry(cache_root() / "lab" / "built" / recipe[:24], recipe).ensure(make)


def _version(program: str) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, check=False).stdout
    return said.decode(errors="replace").partition("\n")[0]


def _copy(tree: Path, names: Sequence[str], into: Path) -> None:
    for name in names:
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tree / name, target, follow_symlinks=False)


def _made(
    name: str, order: Order, settings: Mapping[str, str], tree: Path, into: Path, progress: Progress
) -> dict[str, Any]:
    """Build in a tree of our own, and keep the hypervisor; return what the cache's manifest says."""
    release = release_of(tree)
    for each in order.changes:
        progress(f"applying {each.title}")
        _change_tree(tree, each.patches)
    logs = cache_root() / "lab" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    making = _Making(tree, logs / f"build-{name}.log", progress)
    _configure(tree, settings, making)
    making.make(f"-j{order.jobs}", say=f"building Xen {release}")
    hypervisor = tree / "xen" / HYPERVISOR
    if not hypervisor.is_file():
        raise making.failed("make left no xen/xen")
    shutil.copyfile(hypervisor, into / HYPERVISOR)
    return {"made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "release": release}


def _change_tree(tree: Path, patches: Sequence[Patch]) -> None:
    for path, text in changed_files(apply(tree, patches)).items():
        file = tree / path
        if file.is_symlink() or not file.parent.is_dir():
            raise TreeUnexpected(path, "", "is a link, or in no directory")
        file.write_bytes(text.encode("utf-8", "surrogateescape"))


def _configure(tree: Path, settings: Mapping[str, str], making: _Making) -> None:
    config = tree / CONFIG
    given = config.read_text(errors="replace") if config.is_file() else ""
    kept = [line for line in given.splitlines() if not any(key in line for key in settings)]
    config.write_text("\n".join([*kept, *(f"{key}={value}" for key, value in settings.items())]) + "\n")
    making.make("olddefconfig", say="configuring")
    now = config.read_text(errors="replace")
    for key, value in settings.items():
        wanted = f"# {key} is not set" if value == "n" else f"{key}={value}"
        there = wanted in now.splitlines() or (value == "n" and f"{key}=" not in now)
        if not there:
            raise LabUsageError(
                f"this Xen does not take {key}={value}: no such setting, another one forbids it, "
                "or it needs CONFIG_EXPERT=y"
            )


class _Making:
    """Runs make in a tree, with one log for all of it."""

    def __init__(self, tree: Path, log: Path, progress: Progress) -> None:
        self._tree = tree
        self._log = log
        self._progress = progress
        log.write_bytes(b"")

    def make(self, *words: str, say: str) -> None:
        """Run make; raise `BuildFailed` with the end of its log if it fails."""
        self._progress(say)
        step = self._log.with_suffix(".step")
        env = {**ENVIRONMENT, "GIT_CEILING_DIRECTORIES": str(self._tree.parent)}
        with Child([*MAKE, *words], step, env=env, cwd=self._tree) as child:
            status = self._watch(child, step, say)
        said = step.read_bytes()
        step.unlink()
        with self._log.open("ab") as log:
            log.write(f"$ {' '.join([*MAKE, *words])}\n".encode() + said)
        if status:
            raise self.failed(f"make failed with status {status}")

    def failed(self, why: str) -> BuildFailed:
        """Return the error that says why a build failed."""
        return BuildFailed(why, self._log, self._log.read_text(errors="replace"))

    def _watch(self, child: Child, step: Path, say: str) -> int:
        told = time.monotonic()
        while (status := child.status()) is None:
            time.sleep(LOOK_EVERY)
            if time.monotonic() - told >= SAY_EVERY:
                told = time.monotonic()
                objects = OBJECT.findall(step.read_bytes())
                if objects:
                    self._progress(f"{say}: {len(objects)} files, {objects[-1].decode(errors='replace')}")
        return status
