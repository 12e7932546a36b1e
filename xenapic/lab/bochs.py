"""Bochs: its configuration, and the disk our boot sector (guest/loader.S) starts from."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from xenapic.lab.errors import FetchFailed, LabPrerequisite
from xenapic.lab.frames import CYLINDER, SECTOR
from xenapic.lab.programs import need

LOADER = Path(__file__).parent / "guest/loader.bin"
TABLE_SECTORS = 64
PIECE = 256 * SECTOR
PAGE = 4096
# Above Xen's own place and below what it relocates itself to.
FIRST_MODULE = 0x1000000
MEGABYTES = 512

BIOS = Path("/usr/share/bochs/BIOS-bochs-latest")
VGABIOS = (
    Path("/usr/share/vgabios/vgabios-stdvga.bin"),
    Path("/usr/share/vgabios/vgabios.stdvga.bin"),
    Path("/usr/share/bochs/VGABIOS-lgpl-latest"),
)


@dataclass(frozen=True)
class Program:
    """A Bochs that was found, with its version."""

    path: str
    version: tuple[int, int]

    @property
    def modern(self) -> bool:
        """Whether it can do without a display and starts without its debugger's leave."""
        return self.version >= (3, 0)


@cache
def program() -> Program:
    """``$XENAPIC_BOCHS`` if set, else the newest Bochs in the PATH."""
    if given := os.environ.get("XENAPIC_BOCHS"):
        if not os.access(given, os.X_OK):
            raise LabPrerequisite(f"XENAPIC_BOCHS names {given}, which cannot be run")
        return Program(given, _version(given))
    need("bochs", "setpriv")
    found = [Program(p, _version(p)) for p in _in_path("bochs")]
    return max(found, key=lambda p: p.version)


def _in_path(name: str) -> Iterator[str]:
    for directory in os.get_exec_path():
        if path := shutil.which(name, path=directory):
            yield path


def _version(path: str) -> tuple[int, int]:
    done = subprocess.run(
        [path, "--help"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    found = re.search(r"Bochs x86 Emulator (\d+)\.(\d+)", done.stdout + done.stderr)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def configuration(model: str, *, boot: Path, root: Path, channel: Path, serial: str, log: Path) -> str:
    """The text of a bochsrc; `serial` is a com1 mode and device such as ``mode=file, dev=…``."""
    vgabios = next((path for path in VGABIOS if path.exists()), None)
    if vgabios is None or not BIOS.exists():
        raise LabPrerequisite(
            "Bochs's BIOS images are missing; to get them: apt-get install bochsbios vgabios"
        )
    cpu = "count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=1"
    display = "nogui" if program().modern else 'rfb, options="timeout=0,hideIPS"'
    return "\n".join(
        [
            f"megs: {MEGABYTES}",
            f"romimage: file={BIOS}",
            f"vgaromimage: file={vgabios}",
            f"cpu: model={model}, {cpu}",
            "clock: sync=none, time0=local",
            # Debian's 2.7 aborts in its speaker on a machine without sound.
            "plugin_ctrl: speaker=0",
            "pci: enabled=1, chipset=i440fx",
            f"display_library: {display}",
            "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14",
            "ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15",
            f'ata0-master: type=disk, path="{boot}", mode=flat',
            # What is written to a volatile disk is thrown away: the cached root stays as it is.
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


def command(bochsrc: Path, debugger: Path) -> tuple[str, ...]:
    """The command line; older versions stop in their debugger first and are told to go on."""
    found = program()
    debugger.write_text("c\n")
    extra = () if found.modern else ("-rc", str(debugger))
    return (found.path, "-q", "-f", str(bochsrc), *extra)


def write_boot_disk(out: BinaryIO, xen: bytes, xen_line: str, modules: Sequence[tuple[bytes, str]]) -> None:
    """Lay out Xen and its modules (contents, command line) as the boot sector reads them."""
    entry, pieces = _xen_pieces(xen)
    at = FIRST_MODULE
    placed = []
    for data, line in modules:
        pieces += _pieces(at, data)
        placed.append((at, at + len(data), line))
        at = _page_up(at + len(data))
    pieces += _pieces(at, _multiboot_info(at, xen_line, placed))
    _write_pieces(out, entry, at, pieces)


def _write_pieces(out: BinaryIO, entry: int, info: int, pieces: list[tuple[int, bytes]]) -> None:
    sector = 1 + TABLE_SECTORS
    table = struct.pack("<IIII", entry, info, len(pieces), 0)
    for address, data in pieces:
        count = -(-len(data) // SECTOR)
        table += struct.pack("<IIII", sector, count, address, 0)
        sector += count
    if len(table) > TABLE_SECTORS * SECTOR:
        raise FetchFailed("the images are too large for the boot disk's table")
    out.write(LOADER.read_bytes())
    out.write(table.ljust(TABLE_SECTORS * SECTOR, b"\0"))
    for _, data in pieces:
        out.write(data + b"\0" * (-len(data) % SECTOR))
    pad_to_cylinder(out)


def pad_to_cylinder(out: BinaryIO) -> None:
    """Extend the image to a size Bochs takes."""
    end = out.seek(0, os.SEEK_END)
    out.truncate(end + -end % CYLINDER)


def _pieces(address: int, data: bytes) -> list[tuple[int, bytes]]:
    """`data` cut up for the boot sector; memory starts as zeroes, so those are left out."""
    cut = ((at, data[at : at + PIECE]) for at in range(0, len(data), PIECE))
    return [(address + at, piece) for at, piece in cut if piece.strip(b"\0")]


def _xen_pieces(xen: bytes) -> tuple[int, list[tuple[int, bytes]]]:
    """Entry address and contents of a 32-bit ELF file, at their physical addresses."""
    if not xen.startswith(b"\x7fELF\x01"):
        raise FetchFailed("the hypervisor is not a 32-bit ELF file")
    entry, headers = struct.unpack_from("<II", xen, 24)
    size, count = struct.unpack_from("<HH", xen, 42)
    pieces: list[tuple[int, bytes]] = []
    for number in range(count):
        kind, offset, _, address, length = struct.unpack_from("<5I", xen, headers + number * size)
        if kind == 1:
            pieces += _pieces(address, xen[offset : offset + length])
    return entry, pieces


def _multiboot_info(at: int, line: str, modules: Sequence[tuple[int, int, str]]) -> bytes:
    """The multiboot (version 1) information structure, to be placed at address `at`."""
    header, strings = 128, b""
    table_at = at + header
    strings_at = table_at + 16 * len(modules) + 24 * 2
    table = b""

    def text(value: str) -> int:
        nonlocal strings
        place = strings_at + len(strings)
        strings += value.encode() + b"\0"
        return place

    line_at = text(line)
    loader_at = text("xenapic")
    for start, end, module_line in modules:
        table += struct.pack("<IIII", start, end, text(module_line), 0)
    ranges = ((0, 0x9FC00), (0x100000, (MEGABYTES << 20) - 0x100000 - 0x20000))
    memory = b"".join(struct.pack("<IQQI", 20, base, size, 1) for base, size in ranges)
    # memory sizes, command line, modules, memory map, loader name
    flags = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9
    info = struct.pack(
        "<17I", flags, 639, (MEGABYTES - 1) << 10, 0, line_at, len(modules), table_at,
        0, 0, 0, 0, len(memory), table_at + len(table), 0, 0, 0, loader_at,
    )  # fmt: skip
    return info.ljust(header, b"\0") + table + memory + strings


def _page_up(address: int) -> int:
    return address + -address % PAGE
