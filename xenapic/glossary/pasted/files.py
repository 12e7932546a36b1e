"""Whole files that people paste, and the command that reads each: configurations, ``xl info``, cpuinfo."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from xenapic.glossary.pasted.meaning import Meaning, quoted
from xenapic.toolstack.keys import KEYS, OTHERS

__all__ = ["FILES", "whole_files"]

LEAST = 2
"""Lines of a kind that make a text a file of that kind."""
SETTINGS = "|".join(sorted({*(row.name for row in KEYS), *OTHERS}, key=len, reverse=True))


class FileKind(NamedTuple):
    """A kind of file."""

    line: re.Pattern[str]
    title: str
    text: str


FILES = (
    FileKind(
        re.compile(rf"(?:{SETTINGS})\s*\+?=\s*(?:[\"'\[]|\d+\s*(?:#.*)?$)", re.ASCII),
        "a domain's configuration (xl.cfg)",
        "'xenapic plan FILE' checks it as xl and Xen will; save it, and name the host (--processor, --log).",
    ),
    FileKind(
        re.compile(
            r"<(?:domain type=['\"]xen['\"]|vcpu\b|type arch=|on_poweroff>|features>)",
            re.ASCII,
        ),
        "a domain's configuration (libvirt XML)",
        "'xenapic plan FILE' checks it as libvirt, libxl and Xen will; save it, and name the host.",
    ),
    FileKind(
        re.compile(
            r"(?:vendor_id|Vendor ID|cpu family|CPU family|model name|Model name|stepping)\s*:",
            re.ASCII,
        ),
        "what Linux says about a processor (/proc/cpuinfo, lscpu)",
        "'xenapic host --cpuinfo FILE' says what Xen would use there. Saved in dom0 or in a guest, it shows "
        "what Xen lets through: the flags of VMX and SVM are missing.",
    ),
    FileKind(
        re.compile(
            r"(?:xen_major|xen_version|xen_caps|xen_commandline|virt_caps|hw_caps|nr_cpus)\s*:",
            re.ASCII,
        ),
        "what 'xl info' says about a host",
        "'xenapic host --xl-info FILE' reads all of it.",
    ),
)


def whole_files(lines: Sequence[str]) -> Iterator[tuple[Meaning, frozenset[int]]]:
    """Yield each kind of file that a text has lines of, with the numbers of these lines."""
    for kind in FILES:
        numbers = frozenset(number for number, line in enumerate(lines) if kind.line.match(line))
        if len({lines[number] for number in numbers}) >= LEAST:
            quote = quoted(lines[min(numbers)])
            yield Meaning(quote, kind.title, kind.text, True, "the text's own lines"), numbers
