"""A directory for each run, removed at its end; the next run removes those of killed runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from xenapic.lab.errors import LabError

PREFIX = "xenapic-lab-"
YOUNG = 10.0


@contextlib.contextmanager
def run_directory() -> Iterator[Path]:
    """Provide a new directory, locked while in use and removed at the end."""
    sweep()
    try:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as error:
        raise LabError(f"no directory for the run can be made (TMPDIR): {error.strerror}") from error
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(fd)


@contextlib.contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Turn an error of writing a run's files into one that names their directory."""
    try:
        yield
    except OSError as error:
        raise LabError(f"{directory} (TMPDIR) cannot be written: {error.strerror}") from error


def sweep() -> None:
    """Remove the directories of this user's runs that were killed."""
    for path in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            # A new directory may not be locked yet.
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
