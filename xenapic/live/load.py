"""Load a guest into a new domain as its layout says: memory, contents, memory map and the first vCPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from xenapic.apic.state import ApicState
from xenapic.live.domain import Domain
from xenapic.live.images import Source
from xenapic.live.vcpu import FLAT_REGISTERS, set_first_vcpu
from xenapic.loader.layout import Layout
from xenapic.loader.memorymap import PAGE_BYTES, Span

__all__ = ["SLACK_KIB", "Progress", "batches", "load"]

Progress = Callable[[str, int, int], None]
"""Called with what is loaded, the bytes that are done and the bytes in all."""

HVM_PARAM_IDENT_PT = 12
LARGE_ORDER = 9
LARGE_PAGES = 1 << LARGE_ORDER
EXTENTS = 64
"""How many extents a call asks for, so that Ctrl-C need not wait for all."""
SLACK_KIB = 1024
"""As libxl gives: room for pages that Xen takes from the domain (``LIBXL_MAXMEM_CONSTANT``)."""


def load(
    domain: Domain,
    layout: Layout,
    sources: Sequence[Source],
    *,
    state: ApicState,
    native_tsc: bool,
    progress: Progress = lambda what, done, size: None,
) -> None:
    """Load a PVH domain that has vCPUs and no memory; ``sources`` are the modules, in their order.

    ``state`` is that of the first vCPU's local APIC. Raises `CallFailed`, and `FileUnreadable` or
    `ImageInvalid` for a module that cannot be read.
    """
    domain.set_max_mem(layout.page_count * PAGE_BYTES // 1024 + SLACK_KIB)
    if native_tsc:
        domain.set_native_tsc()
    _populate(domain, layout, progress)
    _copy(domain, layout, sources, progress)
    rows = [(row.span.address, row.span.size, row.kind) for row in layout.regions]
    domain.handle.memory.set_map(domain.domid, rows)
    domain.handle.hvm.set_parameter(domain.domid, HVM_PARAM_IDENT_PT, layout.ident_pt)
    registers = {**FLAT_REGISTERS, "rip": layout.entry, "rbx": layout.start_info}
    set_first_vcpu(domain, registers, state)


def _populate(domain: Domain, layout: Layout, progress: Progress) -> None:
    size, done = layout.page_count * PAGE_BYTES, 0
    for span in (*layout.ram, *layout.other):
        for first, count in batches(span):
            _populate_batch(domain, first, count)
            done += count * PAGE_BYTES
            progress("memory", done, size)


def batches(span: Span) -> Iterator[tuple[int, int]]:
    """Yield first frame and number of the frames of each call."""
    first, end = span.address // PAGE_BYTES, span.end // PAGE_BYTES
    for frame in range(first, end, LARGE_PAGES * EXTENTS):
        yield frame, min(LARGE_PAGES * EXTENTS, end - frame)


def _populate_batch(domain: Domain, first: int, count: int) -> None:
    """Give the guest frames: in large pages where they fit and Xen has some, else one by one."""
    memory, domid, done = domain.handle.memory, domain.domid, 0
    if first % LARGE_PAGES == 0 and count >= LARGE_PAGES:
        large = range(first, first + count - count % LARGE_PAGES, LARGE_PAGES)
        done = memory.populate_extents(domid, list(large), LARGE_ORDER) * LARGE_PAGES
    for frame in range(first + done, first + count, LARGE_PAGES):
        memory.populate(domid, list(range(frame, min(frame + LARGE_PAGES, first + count))))


def _copy(domain: Domain, layout: Layout, sources: Sequence[Source], progress: Progress) -> None:
    size = sum(segment.size for segment in layout.contents) + sum(source.size for source in sources)
    done = 0
    for segment in layout.contents:
        domain.memory.fill(segment.address, segment.data, segment.size)
        done += segment.size
        progress("kernel", done, size)
    for span, source in zip(layout.modules, sources, strict=True):
        for at, piece in source.pieces():
            domain.memory.write(span.address + at, piece)
            done += len(piece)
            progress(source.name, done, size)
