"""Bochs: which program is used, its configuration and its command line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from xenapic.lab import bochs_package
from xenapic.lab.errors import FetchFailed, LabPrerequisite
from xenapic.lab.foreign import LOADER, through_loader

Version = tuple[int, int]
Progress = Callable[[str], None]

PREFERRED: Version = bochs_package.VERSION
"""Newer versions (3.1) do not start dom0's kernel: divide error in ``__clocksource_update_freq_scale``."""

INSTALLED_SHARE = (Path("/usr/share/bochs"), Path("/usr/share/vgabios"))
BIOS = ("BIOS-bochs-latest",)
VGABIOS = ("vgabios-stdvga.bin", "vgabios.stdvga.bin", "VGABIOS-lgpl-latest")

# Bochs shows its screen to VNC clients, on a port between 5900 and 5949 of every address and without
# a password. In a network namespace of its own nobody can connect. Debian's build has no "nogui" display.
DISPLAY = 'rfb, options="timeout=0,hideIPS"'
NAMESPACES = (("unshare", "--net"), ("unshare", "--user", "--map-current-user", "--net"))


@dataclass(frozen=True)
class Program:
    """A Bochs that can be started: its command line, environment, version and BIOS images."""

    argv: tuple[str, ...]
    version: Version
    share: tuple[Path, ...] = INSTALLED_SHARE
    env: dict[str, str] = field(default_factory=dict)
    note: str = ""
    """Why this Bochs is used and not the preferred one."""

    @property
    def starts_in_debugger(self) -> bool:
        """Return True if Debian's build of this version stops in its debugger first."""
        return self.version < (3, 0)

    def image(self, names: tuple[str, ...]) -> Path:
        """Return the first BIOS image of these names; raise `LabPrerequisite` if there is none."""
        for name in names:
            for directory in self.share:
                if (directory / name).exists():
                    return directory / name
        raise LabPrerequisite(
            f"Bochs's BIOS image {names[0]} is missing; to get it: apt-get install bochsbios vgabios"
        )


def program(progress: Progress = lambda text: None) -> Program:
    """Return the Bochs to use, fetching it if need be.

    This is ``$XENAPIC_BOCHS`` if set, else an installed Bochs 3.0, else the one fetched from Debian
    trixie, else the newest installed one up to 3.0. Raise `LabPrerequisite` or `FetchFailed` if there is
    none.
    """
    given = os.environ.get("XENAPIC_BOCHS")
    known = _known.get(given)
    if known is None or not Path(known.argv[0]).exists():
        _known[given] = _named(given) if given else _best(progress)
    return _known[given]


_known: dict[str | None, Program] = {}
"""What `program` returned, by the value of ``$XENAPIC_BOCHS``."""


def _named(path: str) -> Program:
    if not os.access(path, os.X_OK):
        raise LabPrerequisite(f"XENAPIC_BOCHS names {path}, which cannot be run")
    return Program((path,), _version(path))


def _best(progress: Progress) -> Program:
    installed = max(_installed(), key=lambda candidate: candidate.version, default=None)
    if installed is not None and installed.version == PREFERRED:
        return installed
    try:
        return _fetched(progress)
    except (FetchFailed, LabPrerequisite) as error:
        if installed is None:
            advice = "an installed one would be used instead: apt-get install bochs bochsbios vgabios"
            raise type(error)(f"Bochs {text(PREFERRED)} could not be fetched ({error}); {advice}") from None
        note = f"Bochs {text(PREFERRED)} could not be fetched, so {text(installed.version)} is used: {error}"
        return Program(installed.argv, installed.version, note=note)


def _fetched(progress: Progress) -> Program:
    home = bochs_package.ensure(progress)
    argv = through_loader(home / LOADER, home, home / bochs_package.BINARY)
    env = {"LTDL_LIBRARY_PATH": str(home), "BXSHARE": str(home)}
    return Program(argv, PREFERRED, (home,), env)


def _installed() -> Iterator[Program]:
    for directory in os.get_exec_path():
        if path := shutil.which("bochs", path=directory):
            version = _version(path)
            if version <= PREFERRED:
                yield Program((path,), version)


def _version(path: str) -> Version:
    done = subprocess.run(
        [path, "--help"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    version = re.search(r"Bochs x86 Emulator (\d+)\.(\d+)", done.stdout + done.stderr)
    return (int(version[1]), int(version[2])) if version else (0, 0)


def text(version: Version) -> str:
    """Return a version as people write it: ``3.0``."""
    return ".".join(map(str, version))


def configuration(
    program: Program,
    model: str,
    *,
    boot: Path,
    root: Path,
    channel: Path,
    serial: str,
    log: Path,
    megabytes: int,
) -> str:
    """Return the text of a bochsrc; `serial` is a com1 mode and device such as ``mode=file, dev=…``."""
    cpu = "count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=1"
    return "\n".join(
        [
            f"megs: {megabytes}",
            f"romimage: file={program.image(BIOS)}",
            f"vgaromimage: file={program.image(VGABIOS)}",
            f"cpu: model={model}, {cpu}",
            "clock: sync=none, time0=local",
            # Debian's 2.7 aborts in its speaker on a machine without sound.
            "plugin_ctrl: speaker=0",
            "pci: enabled=1, chipset=i440fx",
            f"display_library: {DISPLAY}",
            "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14",
            "ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15",
            f'ata0-master: type=disk, path="{boot}", mode=flat',
            # Bochs discards what is written to a volatile disk: the cached root stays as it is.
            f'ata0-slave: type=disk, path="{root}", mode=volatile',
            f'ata1-master: type=disk, path="{channel}", mode=flat',
            "boot: disk",
            f"com1: enabled=1, {serial}",
            f"log: {log}",
            "panic: action=fatal",
            "error: action=report",
            "info: action=ignore",
            "debug: action=ignore",
            "",
        ]
    )


def command(program: Program, bochsrc: Path, debugger: Path) -> tuple[str, ...]:
    """Return the command line; older versions stop in their debugger first and are told to continue."""
    debugger.write_text("c\n")
    extra = ("-rc", str(debugger)) if program.starts_in_debugger else ()
    return (*_isolation(), *program.argv, "-q", "-f", str(bochsrc), *extra)


@cache
def _isolation() -> tuple[str, ...]:
    """Return the command that gives a program a network namespace of its own; nothing where none works."""
    for prefix in NAMESPACES:
        if shutil.which(prefix[0]):
            done = subprocess.run(
                [*prefix, "true"], capture_output=True, check=False, stdin=subprocess.DEVNULL
            )
            if done.returncode == 0:
                return prefix
    return ()
