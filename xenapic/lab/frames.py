"""The layout of the channel, a raw disk by which host and dom0 talk.

Dom0 appends its output as frames: a header, data, and padding to complete sectors. The host reads the
disk's file while it grows; the sequence number and the checksum show if a frame is completely written.
Near the end of the disk the host writes jobs, which dom0 waits for: a header sector, a marshalled
description, then the data of each file, all of them padded to complete sectors.

Both sides use this file, dom0 with whatever Python it has. It imports very little, because every module
costs time in an emulated machine.
"""

from __future__ import annotations

import struct
import zlib

SECTOR = 512
MAX_DATA = 128 * 1024
CHANNEL_MAGIC = b"XENAPIC-CHANNEL\n"
# Bochs accepts only disks of complete cylinders, of 16 heads and 63 sectors.
CYLINDER = 16 * 63 * SECTOR
JOBS_AT = 2048 * CYLINDER
JOB_ROOM = 256 * CYLINDER
"""Where a job lies and how much room it has, in bytes."""
CHANNEL_SIZE = JOBS_AT + JOB_ROOM

START, STDOUT, STDERR, EXIT, TROUBLE, READY = range(1, 7)

Frame = tuple[int, bytes]
"""A stream's number and bytes of it."""

JOB_HEADER = struct.Struct("<4sIII")
"""Magic, number of the job (from 1), length of its description in bytes, checksum of the description."""
JOB_MAGIC = b"XALJ"

_MAGIC = b"XALF"
_HEADER = struct.Struct("<4sIIII")
_SUMMED = struct.Struct("<III")


def encode(sequence: int, stream: int, data: bytes) -> bytes:
    """Return a frame as complete sectors; `sequence` counts frames from 0."""
    check = _sum(sequence, stream, data)
    blob = _HEADER.pack(_MAGIC, sequence, stream, len(data), check) + data
    return blob + b"\0" * (-len(blob) % SECTOR)


def _sum(sequence: int, stream: int, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(_SUMMED.pack(sequence, stream, len(data))))


def padded(size: int) -> int:
    """Return a size rounded up to complete sectors."""
    return size + -size % SECTOR


class Decoder:
    """Cuts frames, in order and only complete ones, from bytes fed as they arrive."""

    def __init__(self, sequence: int = 0) -> None:
        self._sequence = sequence

    def decode(self, blob: bytes) -> tuple[list[Frame], int]:
        """Return the complete frames at the start of `blob` and how many bytes they take."""
        frames: list[Frame] = []
        at = 0
        while (frame := self._frame(blob, at)) is not None:
            frames.append(frame)
            self._sequence += 1
            at += _HEADER.size + len(frame[1])
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
