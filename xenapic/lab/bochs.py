"""Bochs: which program is used, its configuration and its command line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from xenapic.lab import bochs_package
from xenapic.lab.errors import FetchFailed, LabPrerequisite, SnapshotUnusable
from xenapic.lab.foreign import LOADER, through_loader

Version = tuple[int, int]
Progress = Callable[[str], None]

PREFERRED: Version = bochs_package.VERSION
"""Newer versions (3.1) do not start dom0's kernel: divide error in ``__clocksource_update_freq_scale``."""

IPS = 50_000_000
"""Instructions in an emulated second; the time-stamp counter counts as many."""

INSTALLED_SHARE = (Path("/usr/share/bochs"), Path("/usr/share/vgabios"))
BIOS = ("BIOS-bochs-latest",)
VGABIOS = ("vgabios-stdvga.bin", "vgabios.stdvga.bin", "VGABIOS-lgpl-latest")

# Bochs shows its screen to VNC clients, on a port between 5900 and 5949 of every address and without
# a password. In a network namespace of its own nobody can connect. Debian's build has no "nogui" display.
# Without a console on the display Bochs asks its questions on standard output.
DISPLAY = 'rfb, options="timeout=0,hideIPS,no_gui_console"'
NAMESPACES = (("unshare", "--net"), ("unshare", "--user", "--map-root-user", "--net"))

BOOT_DISK, ROOT_DISK = "boot.img", "root.img"

# Debian's 2.7 aborts in its speaker on a machine without sound.
PLUGINS = "speaker=0"
LOADED_LAST = "usb_uhci"
"""The plugin that Bochs loads when it makes its chipset, after all that its configuration names."""

STATE_CONFIG = "config"
"""The configuration in a saved state: a restored Bochs reads this one."""
SAVE = "{directory}\nno\n"
"""Answers to what Bochs asks once its display's button to save is pressed: where to, and whether to go on."""
BUTTON = str(Path(__file__).with_name("button.py"))
"""The program that presses the button."""
SAVED = "is saved now"
"""What Bochs prints when it has saved its state."""


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
    run_dir: Path,
    channel: Path,
    serial: str,
    megabytes: int,
    plugins: str = PLUGINS,
) -> str:
    """Return the text of a bochsrc; `serial` is a com1 mode and device such as ``mode=file, dev=…``.

    `run_dir` holds, or will hold, the disks `BOOT_DISK` and `ROOT_DISK`, and Bochs's own log.
    """
    cpu = f"count=1, ips={IPS}, reset_on_triple_fault=0, ignore_bad_msrs=1"
    return "\n".join(
        [
            f"megs: {megabytes}",
            f"romimage: file={program.image(BIOS)}",
            f"vgaromimage: file={program.image(VGABIOS)}",
            f"cpu: model={model}, {cpu}",
            "clock: sync=none, time0=local",
            f"plugin_ctrl: {plugins}",
            "pci: enabled=1, chipset=i440fx",
            f"display_library: {DISPLAY}",
            "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14",
            "ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15",
            # Bochs discards what is written to a volatile disk: the cached root stays as it is.
            f'ata0-master: type=disk, path="{run_dir / BOOT_DISK}", mode=volatile',
            f'ata0-slave: type=disk, path="{run_dir / ROOT_DISK}", mode=volatile',
            f'ata1-master: type=disk, path="{channel}", mode=flat',
            "boot: disk",
            f"com1: enabled=1, {serial}",
            f"log: {run_dir / 'bochs.log'}",
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


def command_to_save(program: Program, bochsrc: Path) -> tuple[str, ...]:
    """Return the command line of a Bochs that saves its state when `SAVE` is written to its standard input.

    Raises `SnapshotUnusable` if this Bochs, or this machine, does not allow that.
    """
    if program.version != PREFERRED:
        raise SnapshotUnusable(f"Bochs {text(program.version)} is not known to restore a machine")
    isolation = _isolation()
    if not isolation:
        raise SnapshotUnusable("Bochs needs a network namespace of its own for it (unshare --net)")
    return (*isolation, sys.executable, "-I", BUTTON, *program.argv, "-q", "-f", str(bochsrc))


def command_to_restore(program: Program, state: Path) -> tuple[str, ...]:
    """Return the command line of a Bochs that continues from the directory `state`."""
    return (*_isolation(), *program.argv, "-q", "-r", str(state))


def check_saved(state: Path) -> None:
    """Raise `SnapshotUnusable` if Bochs 3.0 cannot restore what it saved.

    It loses the sign of ``tsc_adjust``, so the time-stamp counter would jump by 2^63 (``gui/paramtree.cc``:
    the mask of a signed `bx_shadow_num_c`). Xen sets the counter back at times where it is not invariant.
    """
    adjusted = re.search(r"^ *tsc_adjust = 0x(\w+)$", (state / "cpu0").read_text(errors="replace"), re.M)
    if adjusted and int(adjusted[1], 16) >> 62:
        raise SnapshotUnusable("Bochs 3.0 cannot restore a time-stamp counter that Xen has set back")


def plugins_in_order(state: Path) -> str:
    """Return the plugins of a saved state, in the order in which the Bochs that saved it had loaded them.

    Bochs numbers its timers as devices make them, and restores them by number. It loads the plugins of its
    defaults first, in the order of the saved list; a restored Bochs loads them as its configuration says.
    """
    line = re.search(r"^plugin_ctrl: (.*)$", (state / STATE_CONFIG).read_text(errors="replace"), re.M)
    loaded = re.findall(r"(\w+)=true", line[1]) if line else []
    return ", ".join(f"{name}=1" for name in sorted(loaded, key=lambda name: name == LOADED_LAST))


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
