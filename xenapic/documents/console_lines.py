"""``xenapic/console``: lines of Xen's console ring."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from xenapic.parse.ring import RingLine

__all__ = ["ConsoleLines"]


@dataclass(frozen=True, slots=True)
class ConsoleLines:
    """Lines of Xen's console ring, each with its author."""

    SCHEMA: ClassVar[str] = "xenapic/console/1"

    lines: tuple[RingLine, ...]

    @classmethod
    def of(cls, lines: Iterable[RingLine]) -> ConsoleLines:
        """Return the document of some lines."""
        return cls(tuple(lines))
