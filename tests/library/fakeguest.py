"""A guest at the C boundary that was booted: its memory, its console and its end."""

from __future__ import annotations

import struct
from typing import Any

PAGE = 4096
CONSOLE_FRAME = 0xFEFFF
"""The frame of the console's ring: the last of the special pages."""
CONSOLE_PFN, CONSOLE_EVTCHN = 17, 18
PORT, BOUND = 5, 11
"""The channel's port in the guest and, when it is bound, here."""
SHUTDOWN = 1 << 2
"""``XEN_DOMINF_shutdown``."""
TEXT = b"--- xenapic guest ready ---\r\nTest result: SUCCESS\r\n"


class FakeGuest:
    """Prints `TEXT` when it runs, and powers off when it reads ``poweroff``, or at once."""

    def __init__(self, ffi: Any) -> None:
        self._ffi = ffi
        self._areas: dict[int, tuple[int, Any]] = {}
        self.parameters: dict[int, int] = {}
        self.regions: list[tuple[int, int, int]] = []
        self.offered = False
        self.bound = False
        self.mapped = 0
        self.ended = False

    def populate(self, frames: list[int], order: int) -> None:
        """Give the guest pages; each run of frames is an area of its own."""
        pages = [frame + page for frame in frames for page in range(1 << order)]
        first, area = self._before(pages[0])
        count = pages[0] - first + len(pages)
        grown = self._ffi.new("char[]", count * PAGE)
        if area is not None:
            self._ffi.memmove(grown, area[1], area[0] * PAGE)
        self._areas[first] = count, grown

    def _before(self, frame: int) -> tuple[int, tuple[int, Any] | None]:
        """Return the area that ends where another begins."""
        for first, area in self._areas.items():
            if first + area[0] == frame:
                return first, area
        return frame, None

    def map(self, frames: list[int]) -> Any:
        """Return where frames are; None if the guest does not have all of them."""
        for first, (count, memory) in self._areas.items():
            if first <= frames[0] and frames[-1] < first + count:
                self.mapped += 1
                return memory + (frames[0] - first) * PAGE
        return None

    def has(self, address: Any) -> bool:
        """Return whether an address is in the guest's memory."""
        at = int(self._ffi.cast("uintptr_t", address))
        starts = ((int(self._ffi.cast("uintptr_t", memory)), count) for count, memory in self._areas.values())
        return any(start <= at < start + count * PAGE for start, count in starts)

    @property
    def ring(self) -> Any:
        """The console's page, to be read and written."""
        for first, (count, memory) in self._areas.items():
            if first <= CONSOLE_FRAME < first + count:
                return self._ffi.buffer(memory + (CONSOLE_FRAME - first) * PAGE, PAGE)
        raise AssertionError("the guest has no page for its console")

    def run(self, *, obeys: bool) -> None:
        """Print; a guest that does not obey powers off at once."""
        ring = self.ring
        ring[0x400 : 0x400 + len(TEXT)] = TEXT
        ring[0xC0C:0xC10] = struct.pack("<I", len(TEXT))
        self.ended = not obeys

    def notice(self) -> None:
        """Read what there is to read."""
        ring = self.ring
        cons, prod = struct.unpack("<2I", ring[0xC00:0xC08])
        if b"poweroff" in ring[cons % 1024 : prod % 1024]:
            self.ended = True
        ring[0xC00:0xC04] = struct.pack("<I", prod)
