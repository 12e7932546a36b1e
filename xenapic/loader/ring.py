"""The page that a guest's PV console shares with whoever serves it: two rings of bytes.

Source: ``xen/include/public/io/console.h``. Positions count all bytes, modulo 2**32; what is unread is their
difference. The guest writes what it likes into them, so each is checked.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = [
    "IN_AT",
    "IN_BYTES",
    "IN_CONS_AT",
    "IN_PROD_AT",
    "OUT_AT",
    "OUT_BYTES",
    "OUT_CONS_AT",
    "OUT_PROD_AT",
    "WRAP",
    "free_pieces",
    "used_pieces",
]

IN_BYTES, OUT_BYTES = 1024, 2048
"""The size of the ring for what the guest reads, and for what it prints."""
WRAP = 1 << 32

IN_AT, OUT_AT = 0, 0x400
IN_CONS_AT, IN_PROD_AT, OUT_CONS_AT, OUT_PROD_AT = 0xC00, 0xC04, 0xC08, 0xC0C


def used_pieces(cons: int, prod: int, size: int) -> list[tuple[int, int]] | None:
    """Return start and length of the pieces with unread bytes; None for positions that make no sense."""
    length = (prod - cons) % WRAP
    return list(_pieces(cons % size, length, size)) if length <= size else None


def free_pieces(cons: int, prod: int, size: int) -> list[tuple[int, int]] | None:
    """Return start and length of the free pieces; None for positions that make no sense."""
    length = (prod - cons) % WRAP
    return list(_pieces(prod % size, size - length, size)) if length <= size else None


def _pieces(start: int, length: int, size: int) -> Iterator[tuple[int, int]]:
    first = min(length, size - start)
    for at, count in ((start, first), (0, length - first)):
        if count:
            yield at, count
