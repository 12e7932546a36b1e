"""Read facts from Xen's boot log without believing a guest.

A fact is taken only from a ring that is *whole*: never wrapped, never cleared,
so that it begins with Xen's boot, and the first feature list in it was
printed before any guest existed. A prefix alone would not do: Xen adds none to
text that follows an unfinished line of its own, and that text may be a guest's
(``vprintk_common`` keeps ``continued`` per CPU, for guests too). With the
option ``console_to_ring`` dom0 writes into the ring without a prefix; then nothing in
it is believed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from xenapic.apic.features import Technology
from xenapic.parse.commandline import CommandLine
from xenapic.parse.ring import Origin, ring_lines

__all__ = ["BootLog", "parse"]

HEADER = re.compile(r"(VMX|SVM): Supported advanced features:")
ITEM = re.compile(r" - (.+)")


@dataclass(frozen=True)
class BootLog:
    """What the ring still says of Xen's start."""

    trusted: bool
    """False when dom0 can write lines of its own into the ring (``console_to_ring``)."""
    whole: bool = False
    """Whether the ring still holds all since Xen's start, so that what is absent was not printed."""
    technology: Technology | None = None
    """Which extension printed its features; None when no such list can be believed."""
    features: frozenset[str] = field(default_factory=frozenset)
    """The list's lines as Xen words them, e.g. ``"APIC TPR shadow"``."""
    lines: tuple[str, ...] = ()
    """Xen's own lines up to the end of that list."""

    def says(self, start: str) -> bool:
        """Tell whether Xen printed a line that starts so, before it knew its features."""
        return any(line.startswith(start) for line in self.lines)


def parse(ring: bytes, start: int, commandline: str) -> BootLog:
    """Read the ring's content; ``start`` is the position of its first byte, 0 for a whole ring."""
    if CommandLine(commandline).flag("console_to_ring"):
        return BootLog(trusted=False)
    if start != 0:
        return BootLog(trusted=True)
    own = [line.text for line in ring_lines(ring, whole_start=True)[0] if line.origin is Origin.XEN]
    for number, text in enumerate(own):
        if header := HEADER.fullmatch(text):
            items = _items(own[number + 1 :])
            before = tuple(own[: number + 1 + len(items)])
            return BootLog(True, True, Technology(header[1]), frozenset(items), before)
    return BootLog(True, True, lines=tuple(own))


def _items(lines: list[str]) -> list[str]:
    items = []
    for line in lines:
        item = ITEM.fullmatch(line)
        if item is None:
            break
        items.append(item[1])
    return items
