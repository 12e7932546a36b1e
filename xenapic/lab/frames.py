"""The form in which dom0 sends its output: frames, appended to a raw disk.

This file is used on both sides, in dom0 by whatever Python is there; it imports next to nothing
because every module costs time in an emulated machine. A frame is a header, its data, and
padding to whole sectors. The reader tails the disk's file while it grows: the sequence number
and the checksum tell a whole frame from one that is still being written.
"""

from __future__ import annotations

import struct
import zlib

SECTOR = 512
MAX_DATA = 128 * 1024
CHANNEL_MAGIC = b"XENAPIC-CHANNEL\n"
# Disks hold whole cylinders of 16 heads and 63 sectors: Bochs takes no others.
CYLINDER = 16 * 63 * SECTOR
CHANNEL_SIZE = 2048 * CYLINDER

START, STDOUT, STDERR, EXIT, TROUBLE = range(1, 6)

Frame = tuple[int, bytes]
"""A stream's number and bytes of it."""

_MAGIC = b"XALF"
_HEADER = struct.Struct("<4sIIII")
_SUMMED = struct.Struct("<III")


def encode(sequence: int, stream: int, data: bytes) -> bytes:
    """A frame as whole sectors; `sequence` counts frames from 0."""
    check = _sum(sequence, stream, data)
    blob = _HEADER.pack(_MAGIC, sequence, stream, len(data), check) + data
    return blob + b"\0" * (-len(blob) % SECTOR)


def _sum(sequence: int, stream: int, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(_SUMMED.pack(sequence, stream, len(data))))


class Decoder:
    """Cut frames, in order and only whole ones, from bytes fed as they arrive."""

    def __init__(self) -> None:
        self._sequence = 0

    def decode(self, blob: bytes) -> tuple[list[Frame], int]:
        """Whole frames at the start of `blob`, and how many bytes they took."""
        frames: list[Frame] = []
        at = 0
        while (found := self._frame(blob, at)) is not None:
            frames.append(found)
            self._sequence += 1
            at += _HEADER.size + len(found[1])
            at += -at % SECTOR
        return frames, min(at, len(blob))

    def _frame(self, blob: bytes, at: int) -> Frame | None:
        if len(blob) - at < _HEADER.size:
            return None
        magic, sequence, stream, length, check = _HEADER.unpack_from(blob, at)
        if magic != _MAGIC or sequence != self._sequence or length > MAX_DATA:
            return None
        start = at + _HEADER.size
        data = blob[start : start + length]
        # The padding belongs to the frame: the next one starts after it.
        end = start + length + -(start + length) % SECTOR
        if len(blob) < end or _sum(sequence, stream, data) != check:
            return None
        return stream, data
