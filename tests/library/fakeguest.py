"""A guest at the C boundary that was booted: its console, and its end."""

from __future__ import annotations

import struct
from collections.abc import Callable
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

    def __init__(self, page: Callable[[], Any]) -> None:
        self._page = page
        """Returns the console's page, to be read and written."""
        self.parameters: dict[int, int] = {}
        self.bound = False
        self.ended = False

    def run(self, *, obeys: bool) -> None:
        """Print; a guest that does not obey powers off at once."""
        ring = self._page()
        ring[0x400 : 0x400 + len(TEXT)] = TEXT
        ring[0xC0C:0xC10] = struct.pack("<I", len(TEXT))
        self.ended = not obeys

    def notice(self) -> None:
        """Read what there is to read."""
        ring = self._page()
        cons, prod = struct.unpack("<2I", ring[0xC00:0xC08])
        if b"poweroff" in ring[cons % 1024 : prod % 1024]:
            self.ended = True
        ring[0xC00:0xC04] = struct.pack("<I", prod)
