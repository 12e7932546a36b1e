"""Read facts from Xen's boot log without believing a guest.

The console ring holds Xen's own lines and those that guests print. Xen puts a
prefix before each line: ``(XEN) `` before its own, ``(d5) `` before those of
domain 5 (``vprintk_common``, ``guest_printk`` in ``xen/drivers/char/console.c``).
Guests' text is filtered to printable characters and cut into lines, so a guest
can write anything but the start of a line. Three ways remain to be fooled, and
each is closed here:

* The ring wraps, and its first line may be the *tail* of a guest's line: the
  first line is dropped.
* Other line separators (``\\r``, form feed, U+2028 …): only ``\\n`` ends a line.
* The option ``console_to_ring`` lets dom0 write lines of its own into the ring, without
  a prefix: then nothing in the ring is believed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from xenapic.apic import Technology
from xenapic.model.cmdline import CommandLine

__all__ = ["BootLog", "parse", "xen_lines"]

XEN_LINE = re.compile(rb"\(XEN\) (?:\[[ 0-9a-f:.\-]+\] )?(?P<text>.*)", re.DOTALL)
"""A line of Xen's own; the time stamp's form follows ``console_timestamps=``."""
HEADER = re.compile(r"(VMX|SVM): Supported advanced features:")
ITEM = re.compile(r" - (.+)")
BANNER = re.compile(r"Xen version \d+\.\d+")


@dataclass(frozen=True)
class BootLog:
    """What the ring still says of Xen's start."""

    trusted: bool
    """False when dom0 can write lines of its own into the ring (``console_to_ring``)."""
    from_start: bool = False
    """Whether the ring still holds Xen's banner, so that what is absent was not printed."""
    technology: Technology | None = None
    """Which extension printed its features; None when no such block is there."""
    features: frozenset[str] = field(default_factory=frozenset)
    """The block's lines as Xen words them, e.g. ``"APIC TPR shadow"``."""
    lines: tuple[str, ...] = ()
    """Xen's own lines before the first domain other than dom0 could have printed one."""

    def says(self, start: str) -> bool:
        """Tell whether Xen printed a line that starts so, while booting."""
        return any(line.startswith(start) for line in self.lines)


def xen_lines(ring: bytes) -> list[str]:
    """Return the text of Xen's own lines; guests' lines and the first, possibly cut, line are left out."""
    whole = ring.split(b"\n")[1:-1]
    matches = (XEN_LINE.fullmatch(line.removesuffix(b"\r")) for line in whole)
    return [match["text"].decode("latin-1") for match in matches if match]


def parse(ring: bytes, commandline: str) -> BootLog:
    """Read the ring's whole content."""
    if CommandLine(commandline).flag("console_to_ring"):
        return BootLog(trusted=False)
    lines = xen_lines(ring)
    from_start = any(BANNER.match(line) for line in lines)
    for number, line in enumerate(lines):
        if header := HEADER.fullmatch(line):
            items = _block(lines[number + 1 :])
            return BootLog(True, from_start, Technology(header[1]), frozenset(items), tuple(lines))
    return BootLog(True, from_start, lines=tuple(lines))


def _block(lines: list[str]) -> list[str]:
    items = []
    for line in lines:
        item = ITEM.fullmatch(line)
        if item is None:
            break
        items.append(item[1])
    return items
