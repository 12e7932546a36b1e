"""Read facts from Xen's boot log in the console ring, without believing a guest.

A fact is taken only from a *complete* ring, which was never wrapped or cleared and so starts
with Xen's boot, and only from the first feature list in it, which was printed before any guest existed.
A prefix alone is not enough: Xen adds none to text that follows an unfinished line of its own, and that
text may be a guest's (``vprintk_common`` keeps ``continued`` per CPU, for guests too). With the
option ``console_to_ring`` dom0 writes into the ring without a prefix; then nothing in
the ring is believed. A log that a person saved is another matter: `xenapic.parse.logtext`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field

from xenapic.apic.features import Technology
from xenapic.frozen import dataclass
from xenapic.parse.commandline import CommandLine
from xenapic.parse.featurelist import LogLine, find_list, plain
from xenapic.parse.ring import Origin, ring_lines

__all__ = ["VERSION", "BootLog", "built_in_options", "parse"]

BUILT_IN = "Built-in command line: "
"""The start of the line with the options of Xen's build (``cmdline_parse``, ``xen/common/kernel.c``)."""
VERSION = re.compile(r"Xen version (\d{1,4})\.(\d{1,4})(\S*)(?: .*)?")
"""The line with the version (``print_version``, ``xen/common/version.c``)."""
NOT_WHOLE = (
    "Xen's log no longer holds its start (it wrapped or was cleared), so a guest may have written any of it"
)
TO_RING = "dom0 can write into Xen's log (console_to_ring), so it is not believed"


@dataclass(frozen=True)
class BootLog:
    """What a log shows about Xen's start."""

    trusted: bool
    """False if dom0 can write lines of its own into the ring (``console_to_ring``)."""
    whole: bool = False
    """Whether the log has everything since Xen's start, so that a missing line was not printed."""
    technology: Technology | None = None
    """The extension whose feature list was found; None without a list that can be believed."""
    features: frozenset[str] = field(default_factory=frozenset)
    """The list's items as Xen words them, for example ``"APIC TPR shadow"``."""
    lines: tuple[str, ...] = ()
    """Xen's own lines up to the end of that list."""
    gap: str = ""
    """Why a missing item may still have been printed; empty if the list is complete."""
    built_in: str = ""
    """The options that this Xen was built with; Xen does not report them with its command line."""
    doubt: str = NOT_WHOLE
    """Why nothing follows from a missing line, if the log is not `whole`."""
    name: str = "Xen's boot log"
    """What to call the log in the source of a fact."""
    where: Mapping[str, int] = field(default_factory=dict)
    """The number of the line of each item; only for a saved log."""
    list_lines: tuple[int, int] | None = None
    """The numbers of the first and the last line of the list; only for a saved log."""
    numbers: tuple[int, ...] = ()
    """The number of each of `lines`; only for a saved log."""

    @property
    def options_complete(self) -> bool:
        """Whether the log shows every option that Xen was built with: it has some, or its start has none."""
        return self.whole or bool(self.built_in)

    def says(self, start: str) -> bool:
        """Return True if Xen printed a line that starts so before its feature list ended."""
        return any(line.startswith(start) for line in self.lines)

    @property
    def listed(self) -> str:
        """What to call the place of the feature list in the source of a fact."""
        if self.list_lines is None:
            return self.name
        first, last = self.list_lines
        return f"{self.name}, lines {first} to {last}" if last > first else f"{self.name}, line {first}"

    def place(self, at: int) -> str:
        """Return the place of one of `lines` for the source of a fact."""
        number = f", line {self.numbers[at]}" if self.numbers else ""
        return f"{self.name}{number}: '{self.lines[at]}'"

    def source(self, item: str) -> str:
        """Return the place of an item for the source of a fact."""
        line = self.where.get(item)
        return f"{self.name}, line {line}: '{item}'" if line else f"{self.name}: '{item}'"


def built_in_options(lines: Iterable[str]) -> str:
    """Return the options that a Xen was built with, from its own lines; empty without any.

    Xen prints them before its version, when no guest exists.
    """
    for text in lines:
        if text.startswith(BUILT_IN):
            return text.removeprefix(BUILT_IN)
        if VERSION.fullmatch(text):
            break
    return ""


def parse(ring: bytes, start: int, commandline: str) -> BootLog:
    """Read the ring's content; ``start`` is the position of its first byte, 0 for a complete ring."""
    if start != 0:
        return BootLog(trusted=not CommandLine(commandline).flag("console_to_ring"))
    lines = [
        LogLine(number, plain(line.text), line.origin is Origin.XEN)
        for number, line in enumerate(ring_lines(ring, whole_start=True)[0], 1)
    ]
    found = find_list(lines)
    own = tuple(line.text for line in lines[: found.end if found else None] if line.own)
    built_in = built_in_options(own)
    if CommandLine(f"{built_in} {commandline}").flag("console_to_ring"):
        return BootLog(trusted=False, built_in=built_in, doubt=TO_RING)
    if found is None:
        return BootLog(True, True, lines=own, built_in=built_in)
    return BootLog(
        True, True, found.technology, frozenset(found.items), own, gap=found.gap, built_in=built_in
    )
