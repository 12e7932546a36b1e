"""Which parts of a PVH domain's address space are memory, and for whom."""

from __future__ import annotations

from enum import IntEnum

from xenapic.frozen import dataclass

__all__ = [
    "ACPI_AT",
    "FOUR_GIB",
    "HOLE_AT",
    "PAGE_BYTES",
    "SPECIAL_AT",
    "SPECIAL_PAGES",
    "MemoryType",
    "Region",
    "Span",
    "memory_map",
    "pages",
    "ram_spans",
]

PAGE_BYTES = 4096
FOUR_GIB = 1 << 32
HOLE_AT = 0xF0000000
"""Where memory below 4 GiB ends at the latest: above are the APICs and the pages below."""
ACPI_AT = 0xFC000000
SPECIAL_AT = 0xFEFF8000
"""As in ``tools/libs/guest/xg_dom_x86.c``: eight pages below 0xff000000."""
SPECIAL_PAGES = 8


class MemoryType(IntEnum):
    """``XEN_HVM_MEMMAP_TYPE_*`` (``xen/include/public/arch-x86/hvm/start_info.h``), the types of E820."""

    RAM = 1
    RESERVED = 2
    ACPI = 3


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A range of guest physical addresses, in bytes."""

    address: int
    size: int

    @property
    def end(self) -> int:
        """The address after the last byte."""
        return self.address + self.size


@dataclass(frozen=True, slots=True)
class Region:
    """A line of the memory map."""

    span: Span
    kind: MemoryType


def pages(size: int) -> int:
    """Return how many pages a number of bytes needs."""
    return -(-size // PAGE_BYTES)


def ram_spans(size: int) -> tuple[Span, ...]:
    """Return where a domain's memory of ``size`` bytes is: from 0 up, and what does not fit above 4 GiB."""
    low = min(size, HOLE_AT)
    spans = Span(0, low), Span(FOUR_GIB, size - low)
    return tuple(span for span in spans if span.size)


def memory_map(ram: tuple[Span, ...], acpi: Span | None) -> tuple[Region, ...]:
    """Return the memory map, lowest address first."""
    regions = [*(Region(span, MemoryType.RAM) for span in ram)]
    regions.append(Region(Span(SPECIAL_AT, SPECIAL_PAGES * PAGE_BYTES), MemoryType.RESERVED))
    if acpi is not None:
        regions.append(Region(acpi, MemoryType.ACPI))
    return tuple(sorted(regions, key=lambda region: region.span.address))
