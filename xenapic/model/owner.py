"""The mark that xenapic puts on a domain, so that a domain whose creator died can be found.

Xen stores 16 bytes for the toolstack in each domain, the *handle*. While a
domain belongs to a running program, the handle holds a UUID of version 8
(RFC 9562: custom) with these parts:

======  ==========================================================
bits    meaning
======  ==========================================================
32      `MAGIC`
16      the PID namespace (a digest of its inode)
4       the UUID's version, 8
12      digest of the owner's start time and the boot, high part
2       the UUID's variant
22      the owner's PID; 0 once the domain was handed over
8       digest, low part
32      a number that no other domain of this owner has
======  ==========================================================

A PID alone is not enough because PIDs are reused; the digest distinguishes a later process
with the same PID. Nothing can be said about a process in another PID namespace,
so its domains never count as orphans.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import field
from enum import Enum
from uuid import UUID

from xenapic.frozen import dataclass

__all__ = ["MAGIC", "MAX_PID", "Owner", "OwnerState"]

MAGIC = 0x58415049  # "XAPI"
MAX_PID = (1 << 22) - 1
DIGEST_BITS = 20
SERIALS = itertools.count(int.from_bytes(os.urandom(4), "big"))
"""The last part of an owner's handles. A forked process continues the count, but its PID differs."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that owns a domain."""

    pid: int
    """The process that created the domain; 0 once it was handed over (`Domain.release`)."""
    namespace: int
    """A 16-bit digest of the PID namespace of ``pid``."""
    digest: int
    """A 20-bit digest of the process's start time and the machine's boot."""
    _fixed: int = field(init=False, repr=False, compare=False)
    """The handles' bits without the serial number."""

    def __post_init__(self) -> None:
        high, low = self.digest >> 8, self.digest & 0xFF
        number = MAGIC << 96 | self.namespace << 80 | 8 << 76 | high << 64
        object.__setattr__(self, "_fixed", number | 0b10 << 62 | self.pid << 40 | low << 32)

    @property
    def released(self) -> bool:
        """Whether the domain was handed over and outlives its creator."""
        return self.pid == 0

    def to_handle(self) -> UUID:
        """Return a new, unique handle with this mark."""
        return UUID(bytes=self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return the 16 bytes of a new, unique handle: a `uuid.UUID` takes longer to make than they do."""
        serial = next(SERIALS) & 0xFFFFFFFF if self.pid else int.from_bytes(os.urandom(4), "big")
        return (self._fixed | serial).to_bytes(16, "big")

    @classmethod
    def from_handle(cls, handle: UUID) -> Owner | None:
        """Return the mark in a handle; None if it has none."""
        number = handle.int
        if number >> 96 != MAGIC or number >> 76 & 0xF != 8 or number >> 62 & 0b11 != 0b10:
            return None
        digest = (number >> 64 & 0xFFF) << 8 | number >> 32 & 0xFF
        return cls(pid=number >> 40 & MAX_PID, namespace=number >> 80 & 0xFFFF, digest=digest)


class OwnerState(Enum):
    """What became of a domain's owner."""

    RELEASED = "released"
    """The domain was handed over and has no owner."""
    RUNNING = "running"
    ORPHAN = "orphan"
    """The process that owned the domain is gone."""
    ELSEWHERE = "elsewhere"
    """The owner is in another PID namespace, so it is unknown whether it still runs."""
