"""The form in which dom0 sends its output: frames, appended to a raw disk.

This file is used on both sides, in dom0 by whatever Python is there. A frame is a header, its
data, and padding to whole sectors. The reader tails the disk's file while it grows: the sequence
number and the checksum tell a whole frame from one that is still being written.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

SECTOR = 512
MAX_DATA = 128 * 1024
CHANNEL_MAGIC = b"XENAPIC-CHANNEL\n"
CHANNEL_SIZE = 1 << 30

START, STDOUT, STDERR, EXIT, TROUBLE = range(1, 6)

_MAGIC = b"XALF"
_HEADER = struct.Struct("<4sIIII")


class Frame(NamedTuple):
    """One piece of output: its stream and its bytes."""

    stream: int
    data: bytes


def encode(sequence: int, frame: Frame) -> bytes:
    """`frame` as whole sectors."""
    head = _HEADER.pack(_MAGIC, sequence, frame.stream, len(frame.data), _sum(sequence, frame))
    blob = head + frame.data
    return blob + b"\0" * (-len(blob) % SECTOR)


def _sum(sequence: int, frame: Frame) -> int:
    head = struct.pack("<III", sequence, frame.stream, len(frame.data))
    return zlib.crc32(frame.data, zlib.crc32(head))


class Decoder:
    """Cut frames, in order and only whole ones, from bytes fed as they arrive."""

    def __init__(self) -> None:
        self._sequence = 0

    def decode(self, blob: bytes) -> tuple[list[Frame], int]:
        """Whole frames at the start of `blob`, and how many bytes they took."""
        frames: list[Frame] = []
        at = 0
        for frame, size in self._frames(blob):
            frames.append(frame)
            at += size
        return frames, at

    def _frames(self, blob: bytes) -> Iterator[tuple[Frame, int]]:
        at = 0
        while len(blob) - at >= _HEADER.size:
            magic, sequence, stream, length, check = _HEADER.unpack_from(blob, at)
            if magic != _MAGIC or sequence != self._sequence or length > MAX_DATA:
                return
            start = at + _HEADER.size
            frame = Frame(stream, blob[start : start + length])
            if len(frame.data) < length or _sum(sequence, frame) != check:
                return
            size = _HEADER.size + length
            size += -size % SECTOR
            self._sequence += 1
            at += size
            yield frame, size
