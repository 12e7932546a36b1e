"""Read what the lab needs to know about ELF files that others built. Nothing is loaded or run."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xenapic.lab.errors import LabUsageError

__all__ = ["Segment", "SharedObject", "segments", "shared_object"]

MACHINES = {
    0x03: "32-bit x86",
    0x3E: "x86-64",
    0x28: "Arm",
    0xB7: "64-bit Arm",
    0xF3: "RISC-V",
    0x15: "PowerPC",
}
X86_32, X86_64 = 0x03, 0x3E
PT_LOAD, PT_DYNAMIC = 1, 2
DT_NULL, DT_NEEDED, DT_STRTAB, DT_SONAME = 0, 1, 5, 14
DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
MOST = 1 << 16
"""More entries than any table of a real library has."""


@dataclass(frozen=True)
class Segment:
    """A program header (System V ABI, chapter 5)."""

    header: int
    """Where in the file the header is."""
    kind: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int


@dataclass(frozen=True)
class SharedObject:
    """What a shared library says about itself."""

    soname: str
    needed: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    """The symbol versions that it needs: file and version, such as ``("libc.so.6", "GLIBC_2.38")``."""


def machine_of(data: bytes) -> int:
    """Return ``e_machine`` of a little-endian ELF file; raise `ValueError` if it is none."""
    if len(data) < 64 or data[:4] != b"\x7fELF" or data[5] != 1:
        raise ValueError("not a little-endian ELF file")
    return int.from_bytes(data[18:20], "little")


def machine_name(number: int) -> str:
    """Return the name of a processor architecture."""
    return MACHINES.get(number, f"machine {number:#x}")


def segments(data: bytes) -> tuple[int, list[Segment]]:
    """Return the entry point and the program headers of a 64-bit ELF file; raise `ValueError` if damaged."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    try:
        (entry, offset) = struct.unpack_from("<QQ", data, 24)
        size, count = struct.unpack_from("<HH", data, 54)
        found = []
        for number in range(count):
            header = offset + number * size
            kind, flags, at, vaddr, paddr, filesz, memsz, _align = struct.unpack_from(
                "<IIQQQQQQ", data, header
            )
            found.append(Segment(header, kind, flags, at, vaddr, paddr, filesz, memsz))
    except struct.error:
        raise ValueError("a damaged ELF file") from None
    return entry, found


def shared_object(path: Path) -> SharedObject:
    """Return what an x86-64 library says about itself.

    Raises `LabUsageError` for another architecture and for a damaged file.
    """
    data = path.read_bytes()
    try:
        number = machine_of(data)
        if number != X86_64:
            raise LabUsageError(f"{path} is built for {machine_name(number)}; the lab's dom0 is x86-64")
        return _Dynamic(data).described()
    except (ValueError, struct.error, StopIteration) as error:
        raise LabUsageError(f"{path} cannot be read as a library: {error or 'it is damaged'}") from None


class _Dynamic:
    """The dynamic section of a library."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        _entry, self._segments = segments(data)
        self._tags = list(self._read())
        values = dict(self._tags)
        self._strings = self._offset(values[DT_STRTAB]) if DT_STRTAB in values else None
        self._verneed = values.get(DT_VERNEED), values.get(DT_VERNEEDNUM, 0)

    def described(self) -> SharedObject:
        soname = next((self._text(value) for tag, value in self._tags if tag == DT_SONAME), "")
        needed = tuple(self._text(value) for tag, value in self._tags if tag == DT_NEEDED)
        return SharedObject(soname, needed, tuple(self._versions()))

    def _read(self) -> Iterator[tuple[int, int]]:
        for segment in self._segments:
            if segment.kind == PT_DYNAMIC:
                for at in range(segment.offset, segment.offset + min(segment.filesz, 16 * MOST), 16):
                    tag, value = struct.unpack_from("<QQ", self._data, at)
                    if tag == DT_NULL:
                        return
                    yield tag, value

    def _offset(self, address: int) -> int:
        return next(
            address - s.vaddr + s.offset
            for s in self._segments
            if s.kind == PT_LOAD and s.vaddr <= address < s.vaddr + s.filesz
        )

    def _text(self, at: int) -> str:
        if self._strings is None:
            raise ValueError("it has no table of strings")
        start = self._strings + at
        end = self._data.find(b"\0", start, start + 4096)
        if end < 0:
            raise ValueError("its table of strings is damaged")
        return self._data[start:end].decode("ascii")

    def _versions(self) -> Iterator[tuple[str, str]]:
        address, count = self._verneed
        if address is None:
            return
        at = self._offset(address)
        for _ in range(min(count, MOST)):
            _version, entries, file, first, following = struct.unpack_from("<HHIII", self._data, at)
            entry = at + first
            for _entry in range(entries):
                _hash, _flags, _other, name, after = struct.unpack_from("<IHHII", self._data, entry)
                yield self._text(file), self._text(name)
                entry += after
            at += following
