r"""The lines of Xen's console ring, each with its author, so that a guest's text is never taken for Xen's.

Xen puts a prefix before each line: ``(XEN) `` before its own, ``(d5) `` before
those of domain 5 (``vprintk_common`` and ``guest_printk`` in ``xen/drivers/char/console.c``).
Xen filters a guest's text to printable Latin-1 and cuts it into lines, so a guest controls
everything on its line except the prefix. Two tricks remain, and this module blocks them:

* The ring wraps, so its first line may be the *tail* of a guest's line. It is
  dropped unless the ring is known to be complete.
* Other separators (``\r``, form feed, U+2028 …) do not end a line; only ``\n`` does.
"""

from __future__ import annotations

import re
from enum import Enum

from xenapic.frozen import dataclass

__all__ = ["Origin", "RingLine", "ring_lines"]

LINE = re.compile(
    rb"\((?:(?P<xen>XEN)|d(?P<domid>\d{1,5}))\) (?:\[(?P<stamp>[ 0-9a-f:.\-]+)\] )?(?P<text>.*)", re.DOTALL
)
"""A line with a prefix; ``console_timestamps=`` sets the form of its time stamp."""


class Origin(Enum):
    """The author of a line."""

    XEN = "xen"
    GUEST = "guest"
    UNPREFIXED = "unprefixed"
    """Dom0's own output (option ``console_to_ring``), or the continuation of a line."""
    LOST = "lost"
    """Not in the ring: it marks where text was overwritten before it could be read."""


@dataclass(frozen=True, slots=True)
class RingLine:
    """A line of the console ring."""

    origin: Origin
    text: str
    """The text without prefix and time stamp, decoded as Latin-1."""
    domid: int | None = None
    """The guest that wrote it; None for other authors."""
    stamp: str | None = None
    """The time stamp as Xen printed it; ``console_timestamps=`` sets its form."""


def ring_lines(data: bytes, whole_start: bool) -> tuple[list[RingLine], bytes]:
    """Split the ring's content; return its lines and the unfinished rest.

    ``whole_start`` means that the content starts at the beginning of a line.
    """
    *whole, rest = data.split(b"\n")
    if not whole_start and whole:
        del whole[0]
    return [_line(line.removesuffix(b"\r")) for line in whole], rest


def _line(line: bytes) -> RingLine:
    match = LINE.fullmatch(line)
    if match is None:
        return RingLine(Origin.UNPREFIXED, line.decode("latin-1"))
    domid = match["domid"]
    return RingLine(
        origin=Origin.GUEST if domid else Origin.XEN,
        text=match["text"].decode("latin-1"),
        domid=int(domid) if domid else None,
        stamp=match["stamp"].decode("ascii") if match["stamp"] else None,
    )
