r"""Lines of Xen's console ring, each with who wrote it. Guests' text is never taken for Xen's.

Xen puts a prefix before each line: ``(XEN) `` before its own, ``(d5) `` before
those of domain 5 (``vprintk_common`` and ``guest_printk`` in ``xen/drivers/char/console.c``).
A guest's text is filtered to printable Latin-1 and cut into lines, so it can say
anything but what stands before it. What could still deceive is closed here:

* The ring wraps, and its first line may be the *tail* of a guest's: it is
  dropped unless the ring is known to be whole.
* Other separators (``\r``, form feed, U+2028 …) are no line ends: only ``\n`` is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

__all__ = ["Origin", "RingLine", "ring_lines"]

LINE = re.compile(
    rb"\((?:(?P<xen>XEN)|d(?P<domid>\d{1,5}))\) (?:\[(?P<stamp>[ 0-9a-f:.\-]+)\] )?(?P<text>.*)", re.DOTALL
)
"""A prefixed line; the time stamp's form follows ``console_timestamps=``."""


class Origin(Enum):
    """Who wrote a line."""

    XEN = "xen"
    GUEST = "guest"
    UNPREFIXED = "unprefixed"
    """Dom0's own output (option ``console_to_ring``), or a continued line."""
    LOST = "lost"
    """Not in the ring: stands for what was overwritten before it could be read."""


@dataclass(frozen=True, slots=True)
class RingLine:
    """One line of the console ring."""

    origin: Origin
    text: str
    """Without prefix and time stamp; Latin-1."""
    domid: int | None = None
    """Which guest wrote it."""
    stamp: str | None = None
    """The time stamp as Xen prints it, in the form that ``console_timestamps=`` sets."""


def ring_lines(data: bytes, whole_start: bool) -> tuple[list[RingLine], bytes]:
    """Take ring content apart; return the lines and the unfinished rest.

    ``whole_start`` says that the content begins where a line begins.
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
