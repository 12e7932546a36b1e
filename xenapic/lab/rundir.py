"""A directory per run, gone afterwards; what a killed run left is removed by the next."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "xenapic-lab-"
YOUNG = 10.0


@contextlib.contextmanager
def run_directory() -> Iterator[Path]:
    """A new directory, locked while in use and removed at the end."""
    sweep()
    path = Path(tempfile.mkdtemp(prefix=PREFIX))
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(fd)


def sweep() -> None:
    """Remove directories of this user's runs that were killed outright."""
    for path in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            # Young ones may not be locked yet.
            old = time.time() - status.st_mtime > YOUNG
            if old and status.st_uid == os.getuid() and not _in_use(path):
                shutil.rmtree(path, ignore_errors=True)


def _in_use(path: Path) -> bool:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
