"""Read what Linux says about a processor: the text of ``/proc/cpuinfo``, or of ``lscpu``.

Quotation marks and indentation before a line, and lists of flags that a mail program wrapped, are read too.
"""

from __future__ import annotations

import re

from xenapic.apic.signature import Signature
from xenapic.errors import LogInvalid
from xenapic.frozen import dataclass

__all__ = ["CpuInfo", "parse_cpuinfo"]

LINE = re.compile(r"[>|\s]*([A-Za-z][A-Za-z _]{0,30}?)\s*:(.*)")
MARGIN = re.compile(r"^[>|\s]*")
KEYS = {
    "vendor_id": "vendor",
    "vendor id": "vendor",
    "cpu family": "family",
    "model": "model",
    "stepping": "stepping",
    "model name": "name",
    "flags": "flags",
    "vmx flags": "vmx flags",
}
"""What ``/proc/cpuinfo`` and ``lscpu`` call what counts here, without case."""
LISTS = ("flags", "vmx flags")
WORD = re.compile(r"[a-z0-9_]{2,40}")
MAX_LINE = 20_000
MAX_NAME = 48
"""Characters in a model name: CPUID has no room for more."""


@dataclass(frozen=True, slots=True)
class CpuInfo:
    """What Linux says about the processors of a machine."""

    vendor: str
    signature: Signature
    name: str
    """As sold; empty if the text does not have it."""
    flags: frozenset[str]
    """Those that every processor has."""
    vmx_flags: frozenset[str] | None
    """Those that every processor has; None if there is no such line, as before Linux 5.6 and in lscpu."""
    mixed: frozenset[str]
    """Flags of either kind that some processors have and others lack."""
    line: int
    """The number of the line with the first list of vmx flags, else of flags; 0 if there is none."""


def parse_cpuinfo(text: str, name: str = "/proc/cpuinfo") -> CpuInfo:
    """Read the text; ``name`` is what to call it. Raises `LogInvalid` if it names no x86 processor."""
    values: dict[str, list[str]] = {}
    lines: dict[str, int] = {}
    last = ""
    for number, line in enumerate(text.splitlines(), 1):
        match = LINE.fullmatch(line[:MAX_LINE])
        if match:
            last = KEYS.get(match[1].lower(), "")
            if last:
                values.setdefault(last, []).append(match[2].strip())
                lines.setdefault(last, number)
        elif last in LISTS and (more := MARGIN.sub("", line[:MAX_LINE]).strip()):
            values[last][-1] += f" {more}"
        else:
            last = ""
    numbers = [_number(values.get(key, [""])[0]) for key in ("family", "model", "stepping")]
    family, model, stepping = numbers
    vendor = values.get("vendor", [""])[0][:16]
    if family is None or model is None or not vendor:
        raise LogInvalid(
            name, "it has no vendor, family and model of an x86 processor; save the text of /proc/cpuinfo"
        )
    every, some = _lists(values.get("flags", []))
    vmx_every, vmx_some = _lists(values.get("vmx flags", []))
    return CpuInfo(
        vendor,
        Signature(family, model, stepping, vendor),
        "".join(filter(str.isprintable, values.get("name", [""])[0]))[:MAX_NAME],
        every,
        vmx_every if "vmx flags" in values else None,
        (some - every) | (vmx_some - vmx_every),
        lines.get("vmx flags", lines.get("flags", 0)),
    )


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,3}", text) else None


def _lists(lists: list[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the flags that are in every list, and those in any."""
    sets = [frozenset(WORD.findall(each)) for each in lists]
    return (frozenset.intersection(*sets), frozenset.union(*sets)) if sets else (frozenset(), frozenset())
