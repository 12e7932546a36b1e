"""Parse the list of features that Xen prints at boot, without taking a damaged list for a short one.

``vmx_display_features`` (``xen/arch/x86/hvm/vmx/vmcs.c``) and ``start_svm`` (``xen/arch/x86/hvm/svm/svm.c``)
print a header, then one line per feature, or `` - none``. On both, the next line starts with ``HVM: ``
(``hvm_asid_init``, ``hvm_enable``). So a list is complete if every line between its header and such
an end is an item that some Xen prints. Otherwise the items that were read hold, and nothing
follows from an item that is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field

from xenapic.apic.features import Technology
from xenapic.frozen import dataclass

__all__ = ["ITEMS", "WRAPPED_LINES", "FeatureList", "LogLine", "find_list", "plain"]

ITEMS: dict[Technology, frozenset[str]] = {
    Technology.VMX: frozenset(
        {
            "APIC MMIO access virtualisation",
            "APIC TPR shadow",
            "Extended Page Tables (EPT)",
            "Virtual-Processor Identifiers (VPID)",
            "Virtual NMI",
            "MSR direct-access bitmap",
            "Unrestricted Guest",
            "APIC Register Virtualization",
            "Virtual Interrupt Delivery",
            "Posted Interrupt Processing",
            "VMCS shadowing",
            "VM Functions",
            "Virtualisation Exceptions",
            "Page Modification Logging",
            "TSC Scaling",
            "Bus Lock Detection",
            "Notify VM Exit",
            "Virtualize SPEC_CTRL",
            "EPT Paging-Write",
        }
    ),
    Technology.SVM: frozenset(
        {
            "Nested Page Tables (NPT)",
            "Last Branch Record (LBR) Virtualisation",
            "Next-RIP Saved on #VMEXIT",
            "VMCB Clean Bits",
            "TLB flush by ASID",
            "DecodeAssists",
            "Virtual VMLOAD/VMSAVE",
            "Virtual GIF",
            "Pause-Intercept Filter",
            "Pause-Intercept Filter Threshold",
            "TSC Rate MSR",
            "NPT Supervisor Shadow Stack",
            "MSR_SPEC_CTRL virtualisation",
            "Virtual NMI",
            "Bus Lock Filter",
        }
    ),
}
"""Every item that a Xen from 4.0 to 4.22 prints, in its order; a new Xen's new items are added here."""

HEADER = re.compile(r"(VMX|SVM): Supported advanced features:")
ITEM = re.compile(r"[-–—•*] ?(.*)")
NONE = "none"
NO_END = "its end is missing"
ENDS = ("HVM: ", "VMX: Disabling executable EPT superpages")
"""The start of a line that Xen prints after the list."""
WRAPPED_LINES = 2
"""At most this many lines without a prefix can continue an item that was wrapped."""
SHOWN_CHARACTERS = 60
"""At most this much of an unreadable line is quoted."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a log, as `plain` text."""

    number: int
    """The number of the line in its text, from 1."""
    text: str
    own: bool
    """Whether Xen wrote it; False for a line without Xen's prefix."""


def plain(text: str) -> str:
    """Return text with every run of blanks (no-break ones too) as one space and none at the ends."""
    return " ".join(text.split())


@dataclass(frozen=True)
class FeatureList:
    """A list of features as far as it could be read."""

    technology: Technology
    items: Mapping[str, int] = field(default_factory=dict)
    """The number of the line of each item that was read."""
    gap: str = ""
    """Why an item that is missing may still have been printed; empty if the list is complete."""
    end: int = 0
    """The index of the first line after the list."""
    lines: tuple[int, int] | None = None
    """The numbers of its first and last line; None without a header."""


def find_list(lines: Sequence[LogLine], *, wrapped: bool = False) -> FeatureList | None:
    """Return the first list in these lines, None if there is none.

    ``wrapped`` means that somebody else's program may have broken lines, so that an item can
    continue on a line without a prefix. The console ring never has that.
    """
    for at, line in enumerate(lines):
        header, used = _header(lines, at, wrapped)
        if header and line.own:
            return _Reader(lines, Technology(header[1]), wrapped).read(at + used)
    return None


def _header(lines: Sequence[LogLine], at: int, wrapped: bool) -> tuple[re.Match[str] | None, int]:
    """Return the match of a header that starts at a line, and the number of its lines."""
    if match := HEADER.fullmatch(lines[at].text):
        return match, 1
    if wrapped and at + 1 < len(lines) and not lines[at + 1].own:
        return HEADER.fullmatch(f"{lines[at].text} {lines[at + 1].text}"), 2
    return None, 1


class _Reader:
    """Reads one list."""

    def __init__(self, lines: Sequence[LogLine], technology: Technology, wrapped: bool) -> None:
        self.lines = lines
        self.technology = technology
        self.wrapped = wrapped
        self.items: dict[str, int] = {}
        self.gap = ""

    def read(self, at: int) -> FeatureList:
        """Read the list whose items start at an index."""
        first = at
        while at < len(self.lines):
            line = self.lines[at]
            if line.own and line.text.startswith(ENDS):
                break
            if line.own and HEADER.fullmatch(line.text):  # another list starts
                self.gap = self.gap or NO_END
                break
            name, used = self._item(at)
            if name == NONE and not self.items and not self.gap:
                at += used
                break
            if name in ITEMS[self.technology]:
                self.items.setdefault(str(name), line.number)
            elif line.text:
                self.gap = self.gap or f"line {line.number} cannot be read ({_shown(line.text)})"
            at += used
        else:
            self.gap = self.gap or NO_END
        last = self.lines[max(at - 1, first - 1)].number
        return FeatureList(self.technology, self.items, self.gap, at, (self.lines[first - 1].number, last))

    def _item(self, at: int) -> tuple[str | None, int]:
        """Return the name of the item that starts at a line, and the number of its lines."""
        line = self.lines[at]
        match = ITEM.fullmatch(line.text)
        if match is None or not line.own:
            return None, 1
        known = {*ITEMS[self.technology], NONE}
        for more in range(self._continued(at), -1, -1):
            parts = [match[1], *(self.lines[at + step].text for step in range(1, more + 1))]
            name = " ".join(filter(None, parts)).replace("- ", "-")  # no item has a hyphen before a blank
            if name in known:
                return name, 1 + more
        return None, 1

    def _continued(self, at: int) -> int:
        """Return how many of the next lines can continue a line that was wrapped."""
        if not self.wrapped:
            return 0
        following = self.lines[at + 1 : at + 1 + WRAPPED_LINES]
        return next(
            (count for count, line in enumerate(following) if line.own or not line.text), len(following)
        )


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…")
