"""Write cpio archives in the format that the Linux kernel unpacks at boot ("newc")."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

_HEADER_BYTES = 110
_DIRECTORY, _FILE, _LINK = 0o040000, 0o100000, 0o120000


def members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each entry of an archive that `CpioWriter` wrote."""
    at = 0
    while True:
        size = int(archive[at + 54 : at + 62], 16)
        name_end = at + _HEADER_BYTES + int(archive[at + 94 : at + 102], 16)
        name = archive[at + _HEADER_BYTES : name_end - 1].decode()
        start = name_end + -name_end % 4
        if name == "TRAILER!!!":
            return
        yield name, archive[start : start + size]
        at = start + size
        at += -at % 4


class CpioWriter:
    """A writer of entries to `out`; it adds missing parents. All belong to root and date from 1970."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._inode = 0
        self._made: set[PurePosixPath] = {PurePosixPath(".")}

    def file(self, path: str, data: bytes, *, executable: bool = False) -> None:
        """Add a regular file."""
        self._parents(path)
        self._entry(path, _FILE | (0o755 if executable else 0o644), data)

    def directory(self, path: str) -> None:
        """Add a directory unless this writer has added it before."""
        self._parents(path + "/x")

    def symlink(self, path: str, target: str) -> None:
        """Add a symbolic link to `target`."""
        self._parents(path)
        self._entry(path, _LINK | 0o777, target.encode())

    def close(self) -> None:
        """Write the trailer and pad, so that another archive may follow."""
        self._entry("TRAILER!!!", 0, b"")
        self._pad(512)

    def _parents(self, path: str) -> None:
        for parent in reversed(PurePosixPath(path).parents):
            if parent not in self._made:
                self._made.add(parent)
                self._entry(str(parent), _DIRECTORY | 0o755, b"")

    def _entry(self, path: str, mode: int, data: bytes) -> None:
        self._inode += 1
        name = path.encode() + b"\0"
        # inode, mode, uid, gid, links, mtime, size, device, special device, name size, checksum
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
        self._out.write(b"070701" + b"".join(b"%08x" % field for field in fields))
        self._out.write(name)
        self._pad(4)
        self._out.write(data)
        self._pad(4)

    def _pad(self, to: int) -> None:
        self._out.write(b"\0" * (-self._out.tell() % to))
