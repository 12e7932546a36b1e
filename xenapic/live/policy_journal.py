"""The policies of the domains that this process owns, in one file that stays open: a create costs one write.

The file is named after the part that all marks of a process share (`xenapic.model.owner`), so everybody who
sees a domain's handle finds it. Each line is a JSON object with the handle and the policy; the last line of a
handle counts. A line whose domain is gone says nothing about another one, because no two handles are equal.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import threading
from functools import cache
from typing import Any
from uuid import UUID

from xenapic.live.owners import owner_state
from xenapic.model.owner import Owner, OwnerState

__all__ = ["add", "close_unused", "drop", "find", "sweep", "write_file"]

SHARED_DIGITS = 24
"""How many hexadecimal digits the marks of one process have in common."""
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
ROOM = 1 << 16
"""Bytes that a file may have before the lines of domains that are gone are removed from it."""


class _Journal:
    """The open file of this process in one directory."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines: dict[bytes, bytes] = {}
        self._file = _create(path)
        self._size, self._room = 0, ROOM

    @property
    def unused(self) -> bool:
        """Whether no domain needs a line."""
        return not self._lines

    def add(self, mark: bytes, line: bytes) -> None:
        """Append a line; raise `OSError`."""
        if self._size > self._room:
            self._rewrite()
        try:
            _write(self._file, line)
        except OSError:
            self._room = -1  # a part of the line may be there
            raise
        self._size += len(line)
        self._lines[mark] = line

    def drop(self, mark: bytes) -> None:
        """Forget a line; the file keeps it until it is rewritten."""
        self._lines.pop(mark, None)

    def _rewrite(self) -> None:
        """Replace the file by one with the lines that are needed, at once: others may be reading it."""
        content, new = b"".join(self._lines.values()), f"{self._path}.new"
        write_file(new, content)
        os.replace(new, self._path)
        os.close(self._file)
        self._file, self._size = os.open(self._path, FLAGS), len(content)
        self._room = max(ROOM, 2 * len(content))

    def close(self, *, remove: bool) -> None:
        """Close the file, and remove it unless it is the parent's."""
        os.close(self._file)
        if remove:
            with contextlib.suppress(OSError):
                os.unlink(self._path)


_OPEN: dict[str, _Journal] = {}
_LOCK = threading.Lock()


def add(home: str, mark: bytes, policy: str) -> None:
    """Store the policy, in JSON, of a domain that this process owns; raise `OSError`."""
    path = _path(home, mark.hex())
    line = f'{{"handle": "{mark.hex()}", "apic": {policy}}}\n'.encode()
    with _LOCK:
        journal = _OPEN.get(path)
        if journal is None:
            _at_exit()
            journal = _OPEN[path] = _Journal(path)
        journal.add(mark, line)


def drop(mark: bytes) -> None:
    """Forget the policy of a domain that this process owned."""
    with _LOCK:
        for journal in _OPEN.values():  # one, unless the directory was changed
            journal.drop(mark)


def find(home: str, handle: UUID) -> Any:
    """Return the stored policy of the domain with a handle, as parsed JSON; None if there is none.

    Raises `OSError` and `ValueError` for a file that cannot be read.
    """
    found: Any = None
    with open(_path(home, handle.hex), encoding="utf-8") as file:
        lines = file.read().splitlines()
    for line in lines:
        if handle.hex in line:
            entry = json.loads(line)
            found = entry["apic"] if entry["handle"] == handle.hex else found
    return found


def close_unused() -> None:
    """Close and remove the files that no domain needs."""
    with _LOCK:
        for path, journal in list(_OPEN.items()):
            if journal.unused:
                _OPEN.pop(path).close(remove=True)


def sweep(home: str) -> None:
    """Remove the files of processes that have ended."""
    from pathlib import Path

    for path in Path(home).glob("*.jsonl"):
        with contextlib.suppress(OSError, ValueError):
            owner = Owner.from_handle(UUID(hex=path.stem.ljust(32, "0")))
            if owner is not None and owner_state(owner) is OwnerState.ORPHAN:
                path.unlink()


def write_file(path: str, content: bytes) -> None:
    """Write a file in the directory of policies; raise `OSError`."""
    file = _create(path)
    try:
        _write(file, content)
    finally:
        os.close(file)


def _path(home: str, handle: str) -> str:
    return f"{home}/{handle[:SHARED_DIGITS]}.jsonl"


def _create(path: str) -> int:
    flags = FLAGS | os.O_CREAT | os.O_TRUNC
    try:
        return os.open(path, flags, 0o644)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        return os.open(path, flags, 0o644)


def _write(file: int, content: bytes) -> None:
    if os.write(file, content) != len(content):
        raise OSError("only a part was written")


@cache
def _at_exit() -> None:
    """Have `_close_all` run when the program ends; once, because each registration takes memory."""
    atexit.register(_close_all)


def _close_all() -> None:
    """At the end of the program, which destroys the domains that it still owns."""
    with _LOCK:
        while _OPEN:
            _OPEN.popitem()[1].close(remove=True)


def _leave_to_parent() -> None:
    """In a forked child: its marks differ from the parent's, and so does its file."""
    global _LOCK  # noqa: PLW0603  (another thread may have held it at the fork)
    _LOCK = threading.Lock()
    while _OPEN:
        _OPEN.popitem()[1].close(remove=False)


os.register_at_fork(after_in_child=_leave_to_parent)
