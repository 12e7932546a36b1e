"""Kernels and executables made for tests."""

from __future__ import annotations

import struct
from collections.abc import Sequence

NOTE = struct.pack("<III4s", 4, 4, 18, b"Xen\0")


def note(entry: int) -> bytes:
    """Return a PHYS32_ENTRY note."""
    return NOTE + struct.pack("<I", entry)


def elf(
    entry: int, segments: Sequence[tuple[int, bytes, int]], *, bits: int = 64, notes: bytes | None = None
) -> bytes:
    """Return an ELF file with these segments (address, data, size in memory) and a PHYS32_ENTRY note."""
    content = note(entry) if notes is None else notes
    wide = bits == 64
    head, row = (64, 56) if wide else (52, 32)
    at = head + row * (len(segments) + 1)
    rows, data = [], b""
    for kind, address, part, size in [(1, *segment) for segment in segments] + [
        (4, 0, content, len(content))
    ]:
        place = at + len(data)
        fields = (
            (kind, 7, place, address, address, len(part), size, 4)
            if wide
            else (kind, place, address, address, len(part), size, 7, 4)
        )
        rows.append(struct.pack("<IIQQQQQQ" if wide else "<IIIIIIII", *fields))
        data += part
    header = struct.pack(
        "<4sBBB9xHHI" + ("QQQ" if wide else "III") + "IHHHHHH",
        b"\x7fELF", 2 if wide else 1, 1, 1, 2, 62 if wide else 3, 1, entry, head, 0, 0, head, row,
        len(rows), 0, 0, 0,
    )  # fmt: skip
    return header + b"".join(rows) + data


def bzimage(payload: bytes, *, version: int = 0x20F, length: int | None = None) -> bytes:
    """Return a bzImage with this payload, as Linux's build lays it out."""
    setup = bytearray(1024)
    setup[0x1F1] = 1
    setup[0x1FE:0x200] = b"\x55\xaa"
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, version)
    struct.pack_into("<II", setup, 0x248, 64, len(payload) if length is None else length)
    return bytes(setup) + bytes(64) + payload
