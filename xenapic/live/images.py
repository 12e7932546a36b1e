"""The images that a guest boots with: bytes, or files that are read in pieces."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from xenapic.errors import FileUnreadable, ImageInvalid
from xenapic.frozen import dataclass
from xenapic.loader.payload import MOST_BYTES
from xenapic.parse.files import file_name, reason

__all__ = ["PIECE_BYTES", "Content", "Module", "Source", "kernel_bytes"]

Content = bytes | str | os.PathLike[str]
"""An image, or the path of the file that holds it."""

PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Module:
    """A module for a guest, and the command line that comes with it."""

    content: Content
    cmdline: str = ""


def kernel_bytes(kernel: Content) -> tuple[bytes | bytearray, str]:
    """Return a kernel's content and what to call it; raise `FileUnreadable`."""
    if isinstance(kernel, bytes):
        return kernel, "the kernel"
    source = Source(kernel, "the kernel")
    try:
        if source.size > MOST_BYTES:
            raise FileUnreadable(source.name, f"it has more than {MOST_BYTES >> 20} MiB")
        data = bytearray(source.size)
        for at, piece in source.pieces():
            data[at : at + len(piece)] = piece
        return data, source.name
    finally:
        source.close()


class Source:
    """A module to copy. A file stays open until `close`, so that it is the same when it is copied."""

    def __init__(self, content: Content, name: str) -> None:
        self._data = content if isinstance(content, bytes) else None
        self._file: int | None = None
        self.name = name
        if isinstance(content, bytes):
            self.size = len(content)
            return
        self.name = file_name(content)
        try:
            self._file = _open(content)
            status = os.fstat(self._file)
        except (OSError, ValueError) as error:
            self.close()
            raise FileUnreadable(self.name, reason(error)) from None
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise FileUnreadable(self.name, "it is not a regular file")
        self.size = status.st_size

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Yield offset and content of each piece; raise `ImageInvalid` if the file became shorter."""
        for at in range(0, self.size, PIECE_BYTES):
            length = min(PIECE_BYTES, self.size - at)
            piece = self._read(at, length)
            if len(piece) != length:
                raise ImageInvalid(self.name, f"the file became shorter than {self.size} bytes meanwhile")
            yield at, piece

    def _read(self, at: int, length: int) -> bytes:
        if self._data is not None:
            return self._data[at : at + length]
        assert self._file is not None
        try:
            return os.pread(self._file, length, at)
        except OSError as error:
            raise FileUnreadable(self.name, reason(error)) from None

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _open(path: str | os.PathLike[str]) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
