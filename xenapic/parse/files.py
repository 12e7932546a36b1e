"""Read a file that a person named: whatever is wrong with it becomes an error that says so."""

from __future__ import annotations

import errno
import os
from typing import BinaryIO

from xenapic.errors import FileUnreadable

__all__ = ["LIMIT_BYTES", "file_name", "read_file", "read_stream", "reason"]

LIMIT_BYTES = 32 << 20
"""More than any log, policy, report or recording has (the largest recording seen: 1 MB)."""

REASONS = {
    errno.ENOENT: "there is no such file",
    errno.ENOTDIR: "there is no such file",
    errno.EISDIR: "it is a directory, not a file",
    errno.EACCES: "this user may not read it",
    errno.EPERM: "this user may not read it",
    errno.ELOOP: "its symbolic links form a loop",
    errno.ENAMETOOLONG: "the name is too long",
}


def file_name(path: str | os.PathLike[str]) -> str:
    """Return a file's name as text that can be printed, even if the name is not UTF-8."""
    return os.fsencode(path).decode(errors="replace")


def read_file(path: str | os.PathLike[str], limit: int = LIMIT_BYTES) -> bytes:
    """Return the content of a file; raise `FileUnreadable`, also for more than ``limit`` bytes."""
    name = file_name(path)
    try:
        with open(path, "rb") as file:
            return read_stream(file, name, limit)
    except OSError as error:
        raise FileUnreadable(name, reason(error)) from None
    except ValueError as error:
        raise FileUnreadable(name, reason(error)) from None


def reason(error: OSError | ValueError) -> str:
    """Return in words why a file cannot be read; a ValueError means a NUL in its name."""
    if isinstance(error, ValueError):
        return REASONS[errno.ENOENT]
    return REASONS.get(error.errno or 0) or error.strerror or "it cannot be read"


def read_stream(stream: BinaryIO, name: str, limit: int = LIMIT_BYTES) -> bytes:
    """Return what an open file holds; raise `FileUnreadable` for more than ``limit`` bytes."""
    content = stream.read(limit + 1)
    if len(content) > limit:
        raise FileUnreadable(
            name, f"it has more than {limit >> 20} MiB; nothing that xenapic reads is so large"
        )
    return content
