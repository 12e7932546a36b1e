"""A job: what a run asks of dom0, and how it is written to the channel for dom0's relay to read.

Jobs reach dom0 after it has started, so that one snapshot of a started dom0 serves every run.
"""

from __future__ import annotations

import marshal
import os
import secrets
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xenapic.lab.errors import LabUsageError
from xenapic.lab.frames import JOB_HEADER, JOB_MAGIC, JOB_ROOM, JOBS_AT, SECTOR, padded

# dom0's Python may be older or newer than this one; every version reads this form.
MARSHAL_VERSION = 2
RANDOM_BYTES = 64


@dataclass(frozen=True)
class File:
    """A file for dom0: its absolute path there, its permissions, and its contents."""

    path: str
    mode: int
    data: bytes


def command(argv: Sequence[str], env: Mapping[str, str], files: Sequence[File]) -> Job:
    """Return the job of running `argv` in dom0; raise `LabUsageError` if that cannot be described."""
    body = {"argv": _encoded(argv), "env": _encoded([f"{name}={value}" for name, value in env.items()])}
    return Job(body, tuple(files))


def warm_up(commands: Sequence[Sequence[str]], env: Mapping[str, str]) -> Job:
    """Return the job of starting the server that forks commands, and of running these commands once."""
    body = {
        "warm": [_encoded(argv) for argv in commands],
        "env": _encoded([f"{name}={value}" for name, value in env.items()]),
    }
    return Job(body, ())


def answer() -> Job:
    """Return the job of saying that dom0 is ready."""
    return Job({}, ())


@dataclass(frozen=True)
class Job:
    """A description and the files it brings."""

    body: Mapping[str, Any]
    files: tuple[File, ...]

    def post(self, channel: Path, number: int) -> None:
        """Write the job to a channel's file as the job `number`; dom0 sees it when it is complete.

        Dom0 also gets the time and random bytes: a restored machine has those of its snapshot.
        """
        described = {
            **self.body,
            "files": [(os.fsencode(file.path), file.mode, len(file.data)) for file in self.files],
            "now": time.time(),
            "random": secrets.token_bytes(RANDOM_BYTES),
        }
        blob = marshal.dumps(described, MARSHAL_VERSION)
        at = JOBS_AT + SECTOR
        with channel.open("r+b") as out:
            for data in (blob, *(file.data for file in self.files)):
                if at + len(data) > JOBS_AT + JOB_ROOM:
                    room = (JOB_ROOM - SECTOR) >> 20
                    raise LabUsageError(f"the files for dom0 are too large; there is room for {room} MiB")
                out.seek(at)
                out.write(data)
                at += padded(len(data))
            out.flush()
            out.seek(JOBS_AT)
            out.write(JOB_HEADER.pack(JOB_MAGIC, number, len(blob), zlib.crc32(blob)))


def given_files(files: Mapping[str, Path | str]) -> Iterable[File]:
    """Return the files given by absolute path in dom0; a directory stands for all files below it."""
    for path, given in files.items():
        source = Path(given)
        if not path.startswith("/") or ".." in path.split("/"):
            raise LabUsageError(f"a file's place in dom0 must be an absolute path, not {path!r}")
        if source.is_dir():
            for below in sorted(p for p in source.rglob("*") if p.is_file()):
                yield read_file(f"{path}/{below.relative_to(source)}", below)
        elif source.is_file():
            yield read_file(path, source)
        else:
            raise LabUsageError(f"no file {source} to put into dom0 as {path}")


def read_file(path: str, source: Path) -> File:
    """Return the file `source` for dom0; of its permissions only those to execute count."""
    return File(path, 0o755 if source.stat().st_mode & 0o100 else 0o644, source.read_bytes())


def _encoded(items: Sequence[str]) -> list[bytes]:
    encoded = [item.encode(errors="surrogateescape") for item in items]
    if any(b"\0" in item for item in encoded):
        raise LabUsageError("a command or its environment cannot hold a NUL character")
    return encoded
