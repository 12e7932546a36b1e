"""Turn what a build of Xen leaves into what a boot loader takes, and read which Xen it is."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from xenapic.lab.elffiles import PT_LOAD, X86_32, X86_64, Segment, machine_name, machine_of, segments
from xenapic.lab.errors import LabUsageError

__all__ = ["Hypervisor", "read_hypervisor"]

MOST_BYTES = 256 << 20
"""More than any hypervisor has, unpacked; xen-syms with its debugging information has some 50 MB."""
MULTIBOOT = b"\x02\xb0\xad\x1b"
MULTIBOOT_WITHIN = 8192
"""The header's magic number, and where it must be (Multiboot specification 0.6.96, 3.1.1)."""
ALIGNED = 2 << 20
"""Xen's image ends at ``__2M_rwdata_end``; the segment's size leaves out the padding up to it."""
ARM_IMAGE = b"ARMd", 0x38


@dataclass(frozen=True)
class Hypervisor:
    """A hypervisor that a boot loader takes, and what its file says about it."""

    image: bytes
    """A 32-bit ELF file with a Multiboot header."""
    release: str
    """``4.23``; empty if the file does not show it, as before 4.22."""
    extra: str
    """What Xen reports after its number, e.g. ``".7"``; empty if the file does not show it."""
    changeset: str
    """Empty if the file does not show it."""
    debug: bool | None
    """Whether it is a debug build; None if the file does not show it."""
    taken: str
    """What kind of file it was: ``xen``, ``xen.gz`` or ``xen-syms``."""


def read_hypervisor(path: Path) -> Hypervisor:
    """Return the hypervisor in a file: ``xen.gz``, ``xen`` or ``xen-syms``.

    Raises `LabUsageError` that says what the file is and what to give instead.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise LabUsageError(f"{path} is too large for a hypervisor")
        data = path.read_bytes()
    except OSError as error:
        raise LabUsageError(f"{path} cannot be read: {error.strerror}") from None
    kind = "xen"
    if data[:2] == b"\x1f\x8b":
        kind, data = "xen.gz", _unpacked(path, data)
    _refuse_others(path, data)
    number = machine_of(data)
    if data[4] == 2 and number == X86_64:
        kind, data = "xen-syms", _for_boot_loader(path, data)
    elif number != X86_32:
        raise LabUsageError(
            f"{path} is built for {machine_name(number)}; the lab's machines are x86: build with "
            f"XEN_TARGET_ARCH=x86_64"
        )
    if MULTIBOOT not in data[:MULTIBOOT_WITHIN]:
        raise LabUsageError(
            f"{path} has no Multiboot header, so it is no hypervisor that a boot loader takes"
        )
    return Hypervisor(data, *_identity(data), kind)


def _unpacked(path: Path, data: bytes) -> bytes:
    try:
        unpacker = zlib.decompressobj(wbits=31)
        plain = unpacker.decompress(data, MOST_BYTES)
    except zlib.error as error:
        raise LabUsageError(f"{path} is a damaged gzip file: {error}") from None
    if unpacker.unconsumed_tail:
        raise LabUsageError(f"{path} is too large for a hypervisor")
    if not unpacker.eof:
        raise LabUsageError(f"{path} is a gzip file that is cut short")
    return plain


def _refuse_others(path: Path, data: bytes) -> None:
    magic, at = ARM_IMAGE
    if data[at : at + 4] == magic:
        raise LabUsageError(f"{path} is a Xen for 64-bit Arm; the lab's machines are x86")
    if data[:2] == b"MZ":
        raise LabUsageError(
            f"{path} is an EFI program (xen.efi), which the lab's machines, without EFI, cannot start: "
            "give xen.gz or xen-syms of the same build"
        )
    if data[:4] == b"\x28\xb5\x2f\xfd" or data[:6] == b"\xfd7zXZ\0":
        raise LabUsageError(
            f"{path} is packed with zstd or xz, and Xen is only ever packed with gzip: unpack it"
        )
    if data[:4] != b"\x7fELF":
        raise LabUsageError(f"{path} is no hypervisor: it is neither an ELF file nor gzip")


# -- xen-syms ----------------------------------------------------------------------------------------


def _for_boot_loader(path: Path, data: bytes) -> bytes:
    """Return a 32-bit ELF file with the segment of a 64-bit one, as ``mkelf32`` of Xen's build makes it."""
    try:
        entry, every = segments(data)
    except ValueError as error:
        raise LabUsageError(f"{path} is {error}") from None
    loads = [segment for segment in every if segment.kind == PT_LOAD and segment.filesz]
    if not loads or any(segment.offset + segment.filesz > len(data) for segment in loads):
        raise LabUsageError(f"{path} has nothing to load, or is cut short")
    low = min(segment.paddr for segment in loads)
    image, size = _image(loads, data, low)
    first = min(loads, key=lambda segment: segment.paddr)
    if entry >= first.vaddr > first.paddr:
        entry = entry - first.vaddr + first.paddr
    if low + size >= 1 << 32 or not low <= entry < low + size:
        raise LabUsageError(f"{path} does not load below 4 GiB, so it is no xen-syms of an x86 build")
    header = struct.pack(
        "<16sHHIIIIIHHHHHH",
        *(b"\x7fELF\x01\x01\x01".ljust(16, b"\0"), 2, X86_32, 1, entry, 52, 0, 0, 52, 32, 1, 0, 0, 0),
    )
    load = struct.pack("<IIIIIIII", PT_LOAD, START, low, low, len(image), size, 7, 64)
    return (header + load).ljust(START, b"\0") + image


START = 128
"""Where the segment starts in the file; the Multiboot header must stay within the first 8 KiB."""


def _image(loads: list[Segment], data: bytes, low: int) -> tuple[bytes, int]:
    """Return the bytes from the lowest address on, and how much memory the image takes."""
    end = max(segment.paddr + segment.filesz for segment in loads)
    if end - low > MOST_BYTES:
        raise LabUsageError("its segments are too far apart")
    image = bytearray(end - low)
    for segment in loads:
        at = segment.paddr - low
        image[at : at + segment.filesz] = data[segment.offset : segment.offset + segment.filesz]
    memory = max(segment.paddr + segment.memsz for segment in loads)
    return bytes(image), -(-memory // ALIGNED) * ALIGNED - low


# -- which Xen it is -----------------------------------------------------------------------------------

EXTRA = re.compile(rb"\0((?:\.\d{1,4}|-)[\w.+~-]{0,14}|-unstable|\.0-rc)\0(?:Xen [^\0]{1,80}\n\0)?<denied>\0")
"""``XEN_EXTRAVERSION`` and what stands after it in ``xen/common/version.c``'s strings."""
CHANGESET = re.compile(
    rb"\0((?:[A-Z][a-z]{2} ){2}[ \d]\d [\d:]{8} \d{4} [+-]\d{4} git:[0-9a-f]{6,40}(?:-dirty)?)\0"
)
BANNER = re.compile(rb"\0Xen (\d{1,2}\.\d{1,3})[\w.+~-]{0,40}\n\0")
DEBUG = re.compile(rb"\0debug=([yn])(?: [ -~]{0,60})?\0")


def _identity(data: bytes) -> tuple[str, str, str, bool | None]:
    """Return release, extra version, changeset and whether it is a debug build, as far as strings show it."""
    release, extra, changeset, debug = (_only(pattern, data) for pattern in (BANNER, EXTRA, CHANGESET, DEBUG))
    return release, extra, changeset, debug == "y" if debug else None


def _only(pattern: re.Pattern[bytes], data: bytes) -> str:
    """Return what a pattern finds if that is unambiguous."""
    texts = {match[1] for match in pattern.finditer(data)}
    return texts.pop().decode("ascii") if len(texts) == 1 else ""
