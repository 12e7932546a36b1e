"""The disk from which our boot sector (guest/loader.S) starts Bochs: Xen, dom0's kernel and initial files."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from xenapic.lab.errors import FetchFailed
from xenapic.lab.frames import CYLINDER, SECTOR

LOADER = Path(__file__).parent / "guest/loader.bin"
TABLE_SECTORS = 64
PIECE = 256 * SECTOR
PAGE = 4096
# Above the address at which Xen is loaded, and below the one to which it relocates itself.
FIRST_MODULE = 0x1000000


def write_boot_disk(
    out: BinaryIO, xen: bytes, xen_line: str, modules: Sequence[tuple[bytes, str]], megabytes: int
) -> None:
    """Write Xen and its modules (contents, command line) in the layout that the boot sector reads.

    The multiboot information describes a machine of so many megabytes.
    """
    entry, pieces = _xen_pieces(xen)
    at = FIRST_MODULE
    placed = []
    for data, line in modules:
        pieces += _pieces(at, data)
        placed.append((at, at + len(data), line))
        at = _page_up(at + len(data))
    pieces += _pieces(at, _multiboot_info(at, xen_line, placed, megabytes))
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
    """Extend the image to a size that Bochs accepts."""
    end = out.seek(0, os.SEEK_END)
    out.truncate(end + -end % CYLINDER)


def _pieces(address: int, data: bytes) -> list[tuple[int, bytes]]:
    """Cut `data` into pieces for the boot sector; leave out zeros, which memory has from the start."""
    cut = ((at, data[at : at + PIECE]) for at in range(0, len(data), PIECE))
    return [(address + at, piece) for at, piece in cut if piece.strip(b"\0")]


def _xen_pieces(xen: bytes) -> tuple[int, list[tuple[int, bytes]]]:
    """Return the entry address of a 32-bit ELF file, and its contents with their physical addresses."""
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


def _multiboot_info(at: int, line: str, modules: Sequence[tuple[int, int, str]], megabytes: int) -> bytes:
    """Return the multiboot (version 1) information structure for the address `at`."""
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
    ranges = ((0, 0x9FC00), (0x100000, (megabytes << 20) - 0x100000 - 0x20000))
    memory = b"".join(struct.pack("<IQQI", 20, base, size, 1) for base, size in ranges)
    # memory sizes, command line, modules, memory map, loader name
    flags = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9
    info = struct.pack(
        "<17I", flags, 639, (megabytes - 1) << 10, 0, line_at, len(modules), table_at,
        0, 0, 0, 0, len(memory), table_at + len(table), 0, 0, 0, loader_at,
    )  # fmt: skip
    return info.ljust(header, b"\0") + table + memory + strings


def _page_up(address: int) -> int:
    return address + -address % PAGE
