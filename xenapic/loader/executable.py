"""Read an ELF executable that says where a PVH guest enters it.

Everything in the file is checked: it may come from anywhere.
Sources: System V ABI, chapters 4 and 5; ``xen/include/public/elfnote.h``; ``docs/misc/pvh.pandoc`` of Xen.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from typing import NamedTuple

from xenapic.errors import ImageInvalid
from xenapic.frozen import dataclass

__all__ = ["ELF_MAGIC", "Executable", "Segment", "read_executable"]

ELF_MAGIC = b"\x7fELF"
EXECUTABLE_KINDS = (2, 3)
"""``ET_EXEC``; ``ET_DYN`` is what a relocatable Linux is linked as."""
MACHINES = (3, 62)
"""``EM_386`` and ``EM_X86_64``."""
PT_LOAD, PT_NOTE, SHT_NOTE = 1, 4, 7
XEN_NOTE, XEN_ELFNOTE_PHYS32_ENTRY = b"Xen\0", 18
MOST_HEADERS = 1024
MOST_NOTES = 4096
FOUR_GIB = 1 << 32


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the executable at its physical address; what follows the data is zero."""

    address: int
    data: memoryview
    size: int
    """Bytes in memory; at least those of the data."""

    @property
    def end(self) -> int:
        """The address after the last byte."""
        return self.address + self.size


@dataclass(frozen=True, slots=True)
class Executable:
    """What an ELF file loads, lowest address first, and where it is entered."""

    entry: int
    """The physical address of the PHYS32_ENTRY note."""
    segments: tuple[Segment, ...]

    @property
    def end(self) -> int:
        """The address after the last byte in memory."""
        return self.segments[-1].end


class _Layout(NamedTuple):
    """How one class of ELF lays its tables out."""

    header: struct.Struct
    program: struct.Struct
    section: struct.Struct
    program_fields: tuple[int, int, int, int, int, int]
    """The places of type, offset, physical address, file size, memory size, alignment."""


ELF32 = _Layout(
    struct.Struct("<16sHHIIIIIHHHHHH"),
    struct.Struct("<IIIIIIII"),
    struct.Struct("<IIIIIIIIII"),
    (0, 1, 3, 4, 5, 7),
)
ELF64 = _Layout(
    struct.Struct("<16sHHIQQQIHHHHHH"),
    struct.Struct("<IIQQQQQQ"),
    struct.Struct("<IIQQQQIIQQ"),
    (0, 2, 4, 5, 6, 7),
)
LAYOUTS = {b"\x01\x01": ELF32, b"\x02\x01": ELF64}
"""By class and byte order, which are bytes 4 and 5 of the file."""


class _Part(NamedTuple):
    kind: int
    offset: int
    address: int
    file_size: int
    size: int
    align: int


def read_executable(data: bytes | memoryview, name: str) -> Executable:
    """Return what an ELF file loads; ``name`` is for the error.

    Raises `ImageInvalid` for a file that is damaged, is for another processor, or has no note that a PVH
    guest can be entered by.
    """
    view = memoryview(data)
    try:
        return _read(view)
    except _Bad as error:
        raise ImageInvalid(name, str(error)) from None
    except (struct.error, OverflowError):  # an offset past the end, or past any index
        raise ImageInvalid(name, "the ELF file is truncated") from None


class _Bad(Exception):
    """Why a file cannot be loaded."""


def _read(view: memoryview) -> Executable:
    if bytes(view[:4]) != ELF_MAGIC:
        raise _Bad("it is not an ELF file")
    layout = LAYOUTS.get(bytes(view[4:6]))
    if layout is None:
        raise _Bad("it is not a little-endian ELF file of 32 or 64 bits")
    header = layout.header.unpack_from(view)
    kind, machine = header[1], header[2]
    if kind not in EXECUTABLE_KINDS or machine not in MACHINES:
        raise _Bad(f"it is not an executable for x86 (ELF type {kind}, machine {machine})")
    parts = list(_parts(view, layout, header))
    segments = _segments(view, parts)
    entry = _entry(view, layout, header, parts)
    if not any(segment.address <= entry < segment.end for segment in segments):
        raise _Bad(f"its PHYS32_ENTRY note names {entry:#x}, which is in none of its segments")
    return Executable(entry, segments)


def _parts(view: memoryview, layout: _Layout, header: tuple[int, ...]) -> Iterator[_Part]:
    offset, size, count = header[5], header[9], header[10]
    if count > MOST_HEADERS or (count and size < layout.program.size):
        raise _Bad(f"its program headers are damaged ({count} of {size} bytes)")
    for index in range(count):
        row = layout.program.unpack_from(view, offset + index * size)
        yield _Part(*(row[place] for place in layout.program_fields))


def _segments(view: memoryview, parts: list[_Part]) -> tuple[Segment, ...]:
    segments = []
    for part in parts:
        if part.kind != PT_LOAD or not part.size:
            continue
        if part.file_size > part.size:
            raise _Bad(f"its segment at {part.address:#x} has more bytes in the file than in memory")
        if part.address + part.size > FOUR_GIB:
            raise _Bad(f"its segment at {part.address:#x} ({part.size:#x} bytes) goes past 4 GiB")
        segments.append(Segment(part.address, _slice(view, part.offset, part.file_size), part.size))
    if not segments:
        raise _Bad("it has nothing to load")
    segments.sort(key=lambda segment: segment.address)
    for lower, upper in itertools.pairwise(segments):
        if lower.end > upper.address:
            raise _Bad(f"its segments at {lower.address:#x} and {upper.address:#x} overlap")
    return tuple(segments)


def _slice(view: memoryview, offset: int, size: int) -> memoryview:
    if offset + size > len(view):
        raise _Bad(f"it is truncated: it has {len(view)} bytes, and needs those up to {offset + size}")
    return view[offset : offset + size]


def _entry(view: memoryview, layout: _Layout, header: tuple[int, ...], parts: list[_Part]) -> int:
    """Return the value of the PHYS32_ENTRY note, from a segment of notes, else from a section."""
    noted = [(part.offset, part.file_size, part.align) for part in parts if part.kind == PT_NOTE]
    for offset, size, align in noted or _note_sections(view, layout, header):
        for value in _notes(_slice(view, offset, size), 8 if align == 8 else 4):
            if len(value) not in (4, 8):
                raise _Bad(f"its PHYS32_ENTRY note has {len(value)} bytes instead of 4 or 8")
            return int.from_bytes(value, "little")
    raise _Bad("it has no PHYS32_ENTRY note, so it cannot run as a PVH guest (Linux: CONFIG_PVH)")


def _note_sections(
    view: memoryview, layout: _Layout, header: tuple[int, ...]
) -> Iterator[tuple[int, int, int]]:
    offset, size, count = header[6], header[11], header[12]
    if not offset or count > MOST_HEADERS or size < layout.section.size:
        return
    for index in range(count):
        row = layout.section.unpack_from(view, offset + index * size)
        if row[1] == SHT_NOTE:
            yield row[4], row[5], row[8]


def _notes(notes: memoryview, align: int) -> Iterator[bytes]:
    """Yield the content of each PHYS32_ENTRY note."""
    at = 0
    for _ in range(MOST_NOTES):
        if at + 12 > len(notes):
            return
        name_size, size, kind = struct.unpack_from("<III", notes, at)
        name_at = at + 12
        value_at = name_at + _up(name_size, align)
        at = value_at + _up(size, align)
        if value_at + size > len(notes):
            raise _Bad("its notes are truncated")
        name = bytes(notes[name_at : name_at + min(name_size, len(XEN_NOTE))])
        if name_size == len(XEN_NOTE) and name == XEN_NOTE and kind == XEN_ELFNOTE_PHYS32_ENTRY:
            yield bytes(notes[value_at : value_at + min(size, 16)])


def _up(size: int, align: int) -> int:
    return -(-size // align) * align
