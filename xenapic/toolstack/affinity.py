"""Which CPUs a guest's vCPUs may run on: ``cpus`` and ``cpus_soft``, as far as xl can refuse them.

Follows ``parse_vcpu_affinity`` and ``update_cpumap_range`` (``tools/xl/xl_parse.c``), and
``apply_global_affinity_masks`` (``tools/xl/xl_vcpu.c``) with an xl.conf that sets no masks.
"""

from __future__ import annotations

import re

from xenapic.errors import ToolstackRefused
from xenapic.toolstack.reader import Getter, refused
from xenapic.toolstack.wanted import ULONG_MAX, HostFacts

__all__ = ["hard_maps", "refuse_empty", "soft_maps"]

ONE = r"[ \t\n\v\f\r]*([+-]?[0-9]+)"
RANGE = re.compile(rf"{ONE}(?:-{ONE})?")
NODES = ("nodes:", "node:")
EMPTY = "vcpu hard affinity map is empty"
GLOBAL = "apply_global_affinity_masks, tools/xl/xl_vcpu.c"
MOST_DIGITS = 20


def hard_maps(get: Getter, max_vcpus: int, host: HostFacts) -> list[int | None]:
    """Return a mask of CPUs for each vCPU that ``cpus`` names; None where the host's CPUs decide."""
    return _maps(get, "cpus", max_vcpus, host)


def soft_maps(get: Getter, max_vcpus: int, host: HostFacts) -> None:
    """Refuse what xl cannot read in ``cpus_soft``."""
    _maps(get, "cpus_soft", max_vcpus, host)


def refuse_empty(maps: list[int | None]) -> None:
    """Raise `ToolstackRefused` if a vCPU could run on no CPU; xl finds out after the whole file."""
    if 0 in maps:
        raise ToolstackRefused(EMPTY, "xl", 1, ("cpus",), "the host has none of these CPUs", GLOBAL)


def _maps(get: Getter, key: str, max_vcpus: int, host: HostFacts) -> list[int | None]:
    if get.items(key, quiet=True) is not None:
        return [_mask(text, key, host) for text in get.texts(key)[: max(max_vcpus, 0)]]
    text = get.text(key)
    if text is None:
        return []
    mask = _mask(text, key, host)  # read even without a vCPU
    return [mask] if max_vcpus > 0 else []


def _mask(text: str, key: str, host: HostFacts) -> int | None:
    width = None if host.cpus is None else (host.cpus + 7) // 8 * 8  # a libxl_bitmap has whole bytes
    mask: int | None = 0
    for part in filter(None, text.split(",")):
        mask = _changed(mask, part, key, width, host)
    return mask


def _changed(mask: int | None, part: str, key: str, width: int | None, host: HostFacts) -> int | None:
    """Return the mask after one part: ``all``, ``[^]N``, ``[^]N-M`` or ``[^]nodes:N-M``."""
    remove = part.startswith("^")
    rest = part.removeprefix("^")
    prefix = next((prefix for prefix in NODES if rest.startswith(prefix)), "")
    rest = rest.removeprefix(prefix)
    if rest == "all":
        if remove:
            raise refused('Can\'t combine "^" and "all".', (key,), "^all would leave nothing")
        return None if width is None else (1 << width) - 1
    first, last = _range(rest, key)
    if mask is None or width is None or (prefix and host.nodes != 1):
        return None
    if prefix:
        bits = (1 << (host.cpus or 0)) - 1 if first == 0 else 0
    else:
        bits = ((1 << min(last + 1, width)) - 1) & ~((1 << min(first, width)) - 1)
    return mask & ~bits if remove else mask | bits


def _range(text: str, key: str) -> tuple[int, int]:
    match = RANGE.fullmatch(text)
    numbers = [_unsigned(word) for word in match.groups() if word is not None] if match else []
    if not numbers or ULONG_MAX in numbers or numbers[-1] < numbers[0]:
        raise refused(f"Invalid pcpu range: {text}.", (key,), "CPUs are N, N-M or all; ^ takes away")
    return numbers[0], numbers[-1]


def _unsigned(word: str) -> int:
    """Return what ``strtoul`` makes of a number."""
    digits = word.lstrip("+-").lstrip("0") or "0"
    number = ULONG_MAX if len(digits) > MOST_DIGITS else min(int(digits), ULONG_MAX)
    return -number % (ULONG_MAX + 1) if word.startswith("-") else number
