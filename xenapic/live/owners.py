"""Find out whose a domain is: which process created it, and whether that process still runs."""

from __future__ import annotations

import os
import zlib
from functools import cache

from xenapic.model.owner import MAX_PID, Owner, OwnerState

__all__ = ["OwnerState", "owner_state", "released_mark", "this_process"]

START_TIME = 19
"""Index of ``starttime`` after the command's name in ``/proc/PID/stat`` (proc(5), field 22)."""


STATE = 0
ENDED = frozenset("ZXx")
"""States of a process that has ended: a zombie, which its parent has not waited for, and dead."""


@cache
def this_process() -> Owner:
    """Return the mark of the running process."""
    pid = os.getpid()
    return Owner(pid=pid & MAX_PID, namespace=_namespace(), digest=_digest(pid) or 0)


os.register_at_fork(after_in_child=this_process.cache_clear)


def released_mark() -> Owner:
    """Return the mark of a domain that was handed over."""
    return Owner(pid=0, namespace=0, digest=0)


def owner_state(owner: Owner) -> OwnerState:
    """Return the state of an owner, from the running processes."""
    if owner.released:
        return OwnerState.RELEASED
    if owner.namespace != _namespace():
        return OwnerState.ELSEWHERE
    return OwnerState.RUNNING if _digest(owner.pid) == owner.digest else OwnerState.ORPHAN


def _namespace() -> int:
    try:
        return zlib.crc32(str(os.stat("/proc/self/ns/pid").st_ino).encode()) & 0xFFFF
    except OSError:
        return 0


def _digest(pid: int) -> int | None:
    """Return a digest that identifies a process among all that had its PID; None if it does not run."""
    try:
        boot = _read("/proc/sys/kernel/random/boot_id").strip()
        stat = _read(f"/proc/{pid}/stat")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[STATE] in ENDED:
        return None
    started = fields[START_TIME]
    return zlib.crc32(f"{boot}:{started}".encode()) & 0xFFFFF


def _read(path: str) -> str:
    with open(path, errors="replace") as file:
        return file.read()
