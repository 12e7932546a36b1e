"""The mark that xenapic leaves on a domain, so that one whose creator died can be found.

Xen keeps 16 bytes for the toolstack in each domain, its *handle*. While a
domain belongs to a running program the handle holds a UUID of version 8
(RFC 9562: custom) made of

======  ==========================================================
bits    meaning
======  ==========================================================
32      `MAGIC`
16      which PID namespace (a digest of its inode)
4       the UUID's version, 8
12      digest of the owner's start time and the boot, high half
2       the UUID's variant
22      the owner's PID; 0 when the domain was handed over
8       digest, low part
32      random
======  ==========================================================

A PID alone is not enough: it is used again. The digest tells a later process
with the same PID apart. A process in another PID namespace cannot be judged
from here, so its domains are never called orphans.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from uuid import UUID

__all__ = ["MAGIC", "MAX_PID", "Owner"]

MAGIC = 0x58415049  # "XAPI"
MAX_PID = (1 << 22) - 1
DIGEST_BITS = 20


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a domain."""

    pid: int
    """Process that created the domain; 0 when it was handed over (`Domain.release`)."""
    namespace: int
    """16-bit digest of the PID namespace ``pid`` belongs to."""
    digest: int
    """20-bit digest of the process's start time and the machine's boot."""

    @property
    def released(self) -> bool:
        """Whether the domain was handed over, to live on without its creator."""
        return self.pid == 0

    def to_handle(self) -> UUID:
        """Return a new handle with this mark; no two are the same."""
        high, low = self.digest >> 8, self.digest & 0xFF
        number = MAGIC << 96 | self.namespace << 80 | 8 << 76 | high << 64
        number |= 0b10 << 62 | self.pid << 40 | low << 32 | int.from_bytes(os.urandom(4), "big")
        return UUID(int=number)

    @classmethod
    def from_handle(cls, handle: UUID) -> Owner | None:
        """Read a mark; None when the handle holds none."""
        number = handle.int
        if number >> 96 != MAGIC or number >> 76 & 0xF != 8 or number >> 62 & 0b11 != 0b10:
            return None
        digest = (number >> 64 & 0xFFF) << 8 | number >> 32 & 0xFF
        return cls(pid=number >> 40 & MAX_PID, namespace=number >> 80 & 0xFFFF, digest=digest)
