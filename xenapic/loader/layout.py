"""Decide where everything goes that a PVH domain starts with. Nothing overlaps, and all is in its memory."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache

from xenapic.errors import ConfigInvalid, ImageInvalid
from xenapic.frozen import dataclass
from xenapic.loader.acpi import acpi_tables
from xenapic.loader.executable import Executable, Segment
from xenapic.loader.memorymap import (
    ACPI_AT,
    HOLE_AT,
    PAGE_BYTES,
    SPECIAL_AT,
    SPECIAL_PAGES,
    Region,
    Span,
    memory_map,
    pages,
    ram_spans,
)
from xenapic.loader.startinfo import ModulePlace, StartInfo, start_info_bytes

__all__ = ["MODULE_ALIGN", "Layout", "ModuleSize", "lay_out"]

MODULE_ALIGN = 2 << 20
FIRST_ADDRESS = PAGE_BYTES
"""Nothing is placed at 0, where a guest's null pointers point to."""
MOST_MIB = 1 << 24
MOST_CMDLINE = 1 << 16
MOST_MODULES = 64
MOST_VCPUS = 128
"""``HVM_MAX_VCPUS`` (``xen/include/public/hvm/hvm_info_table.h``)."""
CONSOLE_PAGE, IDENT_PT_PAGE = 7, 6
"""Of the special pages; the numbers are those of ``tools/libs/guest/xg_dom_x86.c``."""
IDENT_PT_ENTRY = 0xE7
"""Present, writable, user, accessed, dirty, 4 MiB."""


@dataclass(frozen=True, slots=True)
class ModuleSize:
    """A module to find room for."""

    name: str
    """For the error."""
    size: int
    cmdline: bytes = b""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything goes, by guest physical address."""

    ram: tuple[Span, ...]
    other: tuple[Span, ...]
    """Pages that are not the guest's memory: for Xen's interfaces, and for ACPI."""
    contents: tuple[Segment, ...]
    """What is written: the kernel and the tables, lowest address first."""
    modules: tuple[Span, ...]
    """The places of the modules, in their order; the caller has the content."""
    regions: tuple[Region, ...]
    """The memory map."""
    entry: int
    start_info: int
    console: int
    """The page of the console ring."""
    ident_pt: int
    """A page directory that maps 4 GiB one to one; some processors need it while a guest's paging is off."""

    @property
    def page_count(self) -> int:
        """The pages that the domain needs."""
        return sum(pages(span.size) for span in (*self.ram, *self.other))


def lay_out(
    kernel: Executable,
    modules: Sequence[ModuleSize] = (),
    *,
    name: str = "kernel",
    cmdline: bytes = b"",
    memory_mib: int = 256,
    vcpus: int = 1,
    acpi: bool = True,
) -> Layout:
    """Return the layout; ``name`` is the kernel's, for the error.

    Raises `ImageInvalid` if the images do not fit into the memory, `ConfigInvalid` for a wrong number or
    command line.
    """
    _check(modules, cmdline, memory_mib, vcpus)
    ram = ram_spans(memory_mib << 20)
    room = _Room(ram[0], [Span(segment.address, segment.size) for segment in kernel.segments], name)
    tables = acpi_tables(ACPI_AT, vcpus) if acpi else None
    acpi_span = Span(ACPI_AT, pages(len(tables.data)) * PAGE_BYTES) if tables else None
    regions = memory_map(ram, acpi_span)
    places = tuple(
        ModulePlace(room.take(module.size, MODULE_ALIGN, kernel.end, module.name), module.cmdline)
        for module in modules
    )
    info = StartInfo(cmdline, places, regions, ACPI_AT if tables else 0)
    size = len(start_info_bytes(info, 0))
    start = room.take(size, PAGE_BYTES, FIRST_ADDRESS, "the start info")
    written = [*kernel.segments, _whole(start.address, start_info_bytes(info, start.address))]
    ident_pt = SPECIAL_AT + IDENT_PT_PAGE * PAGE_BYTES
    written.append(_whole(SPECIAL_AT, bytes(PAGE_BYTES * IDENT_PT_PAGE) + _identity() + bytes(PAGE_BYTES)))
    if tables is not None and acpi_span is not None:
        written.append(Segment(ACPI_AT, memoryview(tables.data), acpi_span.size))
    other = Span(SPECIAL_AT, SPECIAL_PAGES * PAGE_BYTES), acpi_span
    return Layout(
        ram=ram,
        other=tuple(span for span in other if span is not None),
        contents=tuple(sorted(written, key=lambda segment: segment.address)),
        modules=tuple(place.span for place in places),
        regions=regions,
        entry=kernel.entry,
        start_info=start.address,
        console=SPECIAL_AT + CONSOLE_PAGE * PAGE_BYTES,
        ident_pt=ident_pt,
    )


def _check(modules: Sequence[ModuleSize], cmdline: bytes, memory_mib: int, vcpus: int) -> None:
    if not 1 <= memory_mib <= MOST_MIB:
        raise ConfigInvalid(f"memory must be 1 to {MOST_MIB} MiB, not {memory_mib}")
    if not 1 <= vcpus <= MOST_VCPUS:
        raise ConfigInvalid(f"a PVH domain has 1 to {MOST_VCPUS} vCPUs, not {vcpus}")
    if len(modules) > MOST_MODULES:
        raise ConfigInvalid(f"a domain boots with at most {MOST_MODULES} modules, not {len(modules)}")
    for line in (cmdline, *(module.cmdline for module in modules)):
        if b"\0" in line or len(line) > MOST_CMDLINE:
            raise ConfigInvalid(f"a command line has at most {MOST_CMDLINE} bytes and no NUL")


def _whole(address: int, data: bytes) -> Segment:
    return Segment(address, memoryview(data), len(data))


@cache
def _identity() -> bytes:
    return struct.pack("<1024I", *(page << 22 | IDENT_PT_ENTRY for page in range(1024)))


class _Room:
    """What is free in the memory below 4 GiB, in whole pages."""

    def __init__(self, ram: Span, taken: Sequence[Span], name: str) -> None:
        self._end = min(ram.end, HOLE_AT)
        self._taken: list[Span] = []
        for span in taken:
            if span.end > self._end:
                raise ImageInvalid(
                    name,
                    f"it does not fit into {ram.size >> 20} MiB: a segment at {span.address:#x} has "
                    f"{span.size:#x} bytes",
                )
            self._taken.append(_whole_pages(span))
        self._taken.sort()

    def take(self, size: int, align: int, floor: int, name: str) -> Span:
        """Return the lowest free place at or above ``floor``, else the lowest at all; it is taken then."""
        for least in (floor, FIRST_ADDRESS):
            at = self._lowest(max(size, 1), align, least)
            if at is not None:
                self._taken.append(_whole_pages(Span(at, max(size, 1))))
                self._taken.sort()
                return Span(at, size)
        raise ImageInvalid(name, f"it does not fit: {self._end >> 20} MiB have no room for its {size} bytes")

    def _lowest(self, size: int, align: int, least: int) -> int | None:
        at = -(-least // align) * align
        for span in self._taken:
            if at + pages(size) * PAGE_BYTES <= span.address:
                break
            if span.end > at:
                at = -(-span.end // align) * align
        return at if at + pages(size) * PAGE_BYTES <= self._end else None


def _whole_pages(span: Span) -> Span:
    start = span.address // PAGE_BYTES * PAGE_BYTES
    return Span(start, pages(span.end - start) * PAGE_BYTES)
