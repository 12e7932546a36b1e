"""Unpack the compressed payload of a kernel; a payload cannot make more of itself than the limit."""

from __future__ import annotations

import importlib
import struct
import zlib
from collections.abc import Callable
from types import ModuleType

from xenapic.errors import ImageInvalid

__all__ = ["FORMATS", "MOST_BYTES", "unpack"]

MOST_BYTES = 1 << 30
"""No kernel is larger when it is unpacked; Debian's has some 50 MiB."""
PIECE = 1 << 20
EXTRA = "pip install 'xenapic[boot]'"

Take = Callable[[bytes], None]


class _Output:
    """The unpacked bytes; raises OverflowError when they exceed the limit."""

    def __init__(self, limit: int) -> None:
        self.data = bytearray()
        self._limit = limit

    def take(self, piece: bytes) -> None:
        if len(self.data) + len(piece) > self._limit:
            raise OverflowError
        self.data += piece


def unpack(payload: memoryview, name: str, limit: int = MOST_BYTES) -> memoryview:
    """Return an unpacked payload of a bzImage; ``name`` is for the error.

    Raises `ImageInvalid` for a payload that is damaged, is packed in an unknown way, needs a package that is
    not installed, or has more than ``limit`` bytes.
    """
    row = next((row for row in FORMATS if bytes(payload[: len(row[0])]) == row[0]), None)
    if row is None:
        raise ImageInvalid(name, f"its payload is packed in an unknown way ({bytes(payload[:6]).hex()})")
    _, title, unpacker = row
    output = _Output(limit)
    try:
        unpacker(payload, output.take)
    except OverflowError:
        raise ImageInvalid(name, f"its {title} payload has more than {limit >> 20} MiB unpacked") from None
    except ImportError as error:
        raise ImageInvalid(
            name,
            f"its payload is packed with {title}, which this Python cannot unpack without the package "
            f"{error.name}: {EXTRA}",
        ) from None
    except MemoryError:
        raise ImageInvalid(name, f"there is not enough memory to unpack its {title} payload") from None
    except Exception as error:  # each package has errors of its own
        raise ImageInvalid(name, f"its {title} payload is damaged ({error})") from None
    return memoryview(output.data)


def _plain(payload: memoryview, take: Take) -> None:
    take(payload)  # type: ignore[arg-type]  # bytearray appends any buffer


def _gzip(payload: memoryview, take: Take) -> None:
    _stepwise(zlib.decompressobj(wbits=31), payload, take)


def _stepwise(unpacker: zlib._Decompress, payload: memoryview, take: Take) -> None:
    rest: bytes | memoryview = payload
    while not unpacker.eof:
        piece = unpacker.decompress(rest, PIECE)
        rest = unpacker.unconsumed_tail
        if not piece and not rest:
            raise EOFError("it ends too early")
        take(piece)


def _xz(payload: memoryview, take: Take) -> None:
    import lzma

    _limited(lzma.LZMADecompressor(memlimit=MOST_BYTES), payload, take)


def _lzma(payload: memoryview, take: Take) -> None:
    import lzma

    _limited(lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MOST_BYTES), payload, take)


def _bzip2(payload: memoryview, take: Take) -> None:
    import bz2

    _limited(bz2.BZ2Decompressor(), payload, take)


def _limited(unpacker: object, payload: memoryview, take: Take) -> None:
    """Unpack with a decompressor of the standard library whose ``decompress`` has a ``max_length``."""
    rest: bytes | memoryview = payload
    while not unpacker.eof:  # type: ignore[attr-defined]
        piece = unpacker.decompress(rest, PIECE)  # type: ignore[attr-defined]
        rest = b""
        if not piece and unpacker.needs_input:  # type: ignore[attr-defined]
            raise EOFError("it ends too early")
        take(piece)


def _zstd(payload: memoryview, take: Take) -> None:
    try:
        standard: ModuleType | None = importlib.import_module("compression.zstd")  # Python 3.14
    except ImportError:
        standard = None
    if standard is not None:
        _limited(standard.ZstdDecompressor(), payload, take)
        return
    package = importlib.import_module("zstandard")
    unpacker = package.ZstdDecompressor(max_window_size=MOST_BYTES).decompressobj()
    for at in range(0, len(payload), FEED):
        # A feed is unpacked at once, whatever it makes: at most 128 KiB of 4 bytes, the smallest block.
        take(unpacker.decompress(payload[at : at + FEED]))
        if unpacker.eof:
            return
    raise EOFError("it ends too early")


FEED = 1 << 10


def _lz4(payload: memoryview, take: Take) -> None:
    """Unpack the legacy frame, which Linux's build makes: blocks of at most 8 MiB, each after its size."""
    block = importlib.import_module("lz4.block")
    at = len(LZ4_LEGACY)
    while at + 4 <= len(payload):
        (size,) = struct.unpack_from("<I", payload, at)
        at += 4
        if at + size > len(payload):
            # The build appends the unpacked size, which looks like the size of one more block.
            if at == len(payload):
                return
            raise EOFError("it ends too early")
        take(block.decompress(payload[at : at + size], uncompressed_size=LZ4_BLOCK))
        at += size
    if at != len(payload):
        raise EOFError("it ends too early")


LZ4_LEGACY = b"\x02\x21\x4c\x18"
LZ4_BLOCK = 8 << 20

FORMATS: tuple[tuple[bytes, str, Callable[[memoryview, Take], None]], ...] = (
    (b"\x7fELF", "plain", _plain),
    (b"\x1f\x8b", "gzip", _gzip),
    (b"\xfd7zXZ\0", "xz", _xz),
    (b"\x28\xb5\x2f\xfd", "zstd", _zstd),
    (LZ4_LEGACY, "lz4", _lz4),
    (b"BZh", "bzip2", _bzip2),
    (b"\x5d\0\0", "lzma", _lzma),
)
"""What a payload starts with, its name, and what unpacks it (Linux, ``lib/decompress.c``)."""
