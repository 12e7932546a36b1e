"""Read the soname of a shared library without loading it.

A file can have any name. Only ``DT_SONAME`` identifies its ABI, and loading it with the wrong declarations
would corrupt memory.
Source: System V ABI, chapters 4 and 5 (64-bit objects).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["elf_soname"]

PT_LOAD, PT_DYNAMIC = 1, 2
DT_NULL, DT_STRTAB, DT_SONAME = 0, 5, 14
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM = struct.Struct("<IIQQQQQQ")
DYNAMIC = struct.Struct("<qQ")


def elf_soname(path: Path) -> str | None:
    """Return ``DT_SONAME`` of a little-endian 64-bit shared object, None if it has no soname.

    Raises OSError when the file cannot be read, ValueError when it is something else.
    """
    data = path.read_bytes()
    try:
        return _soname(data)
    except (struct.error, StopIteration, UnicodeDecodeError) as error:
        raise ValueError("damaged ELF file") from error


def _soname(data: bytes) -> str | None:
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    header = HEADER.unpack_from(data)
    offset, size, count = header[5], header[9], header[10]
    segments = [PROGRAM.unpack_from(data, offset + size * index) for index in range(count)]
    tags = dict(_dynamic(data, segments))
    if DT_SONAME not in tags or DT_STRTAB not in tags:
        return None
    start = _file_offset(tags[DT_STRTAB], segments) + tags[DT_SONAME]
    end = data.find(b"\0", start)
    if end < 0:
        raise ValueError("damaged ELF file")
    return data[start:end].decode("ascii")


def _dynamic(data: bytes, segments: list[tuple[int, ...]]) -> Iterator[tuple[int, int]]:
    for kind, _flags, offset, _vaddr, _paddr, filesz, _memsz, _align in segments:
        if kind == PT_DYNAMIC:
            for at in range(offset, offset + filesz, DYNAMIC.size):
                tag, value = DYNAMIC.unpack_from(data, at)
                if tag == DT_NULL:
                    return
                yield tag, value


def _file_offset(address: int, segments: list[tuple[int, ...]]) -> int:
    return next(
        address - vaddr + offset
        for kind, _flags, offset, vaddr, _paddr, filesz, _memsz, _align in segments
        if kind == PT_LOAD and vaddr <= address < vaddr + filesz
    )
