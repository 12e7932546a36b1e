"""The host's grant table limits, from Xen's command line.

The options are ``gnttab_max_frames=`` and ``gnttab_max_maptrack_frames=`` (``xen/common/grant_table.c``,
``parse_gnttab_limit``). Up to 4.17 they set both the default *and* the upper limit for a
domain; since 4.18 (b2ea81d2b9) they set the default only.
"""

from __future__ import annotations

import re

from xenapic.frozen import dataclass
from xenapic.parse.commandline import CommandLine

__all__ = ["DEFAULT_FRAMES", "DEFAULT_MAPTRACK_FRAMES", "GrantLimits", "grant_limits", "strtoul"]

DEFAULT_FRAMES = 64
DEFAULT_MAPTRACK_FRAMES = 1024
INT_MAX = (1 << 31) - 1
GIVEN = "Xen's command line"
DEFAULTED = "Xen's default (no option given)"
NUMBER = re.compile(r"0x(?P<hex>[0-9a-fA-F]+)|0(?P<octal>[0-7]*)|(?P<decimal>[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class GrantLimits:
    """Numbers of 4 KiB frames: a domain's default and, up to 4.17, its maximum."""

    frames: int
    maptrack_frames: int
    source: str
    frames_known: bool = True
    """False for a host that is only named, whose boot options may set another limit."""
    maptrack_frames_known: bool = True


def grant_limits(options: CommandLine) -> GrantLimits:
    """Return the limits that the command line sets, or Xen's documented defaults.

    If Xen cut the command line, it may hide a lower limit. Then the smaller one of
    the visible value and the default counts.
    """
    frames = _last_valid(options.values("gnttab_max_frames"), DEFAULT_FRAMES)
    maptrack = _last_valid(options.values("gnttab_max_maptrack_frames"), DEFAULT_MAPTRACK_FRAMES)
    if options.cut:
        return GrantLimits(
            min(frames, DEFAULT_FRAMES),
            min(maptrack, DEFAULT_MAPTRACK_FRAMES),
            "Xen reports only part of its command line; the smaller of its value and the default",
        )
    given = any(option.startswith("gnttab_max_") for option in options.options)
    return GrantLimits(frames, maptrack, GIVEN if given else DEFAULTED)


def _last_valid(values: list[str], default: int) -> int:
    for text in reversed(values):
        number = strtoul(text)
        if number is not None and number <= INT_MAX:
            return number
    return default


def strtoul(text: str) -> int | None:
    """Parse a complete text as ``simple_strtoul`` with base 0 does: an empty text is 0, no number is None."""
    if not text:
        return 0
    match = NUMBER.fullmatch(text)
    if match is None:
        return None
    if match["hex"]:
        return int(match["hex"], 16)
    return int(match["decimal"]) if match["decimal"] else int(match["octal"] or "0", 8)
