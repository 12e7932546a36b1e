"""The saved state of an HVM-type domain: a sequence of records, each with a ``struct hvm_save_descriptor``.

Source: ``xen/include/public/hvm/save.h``.
"""

from __future__ import annotations

from collections.abc import Iterator

from xenapic.frozen import dataclass

__all__ = ["HvmRecord", "hvm_records"]

DESCRIPTOR_BYTES = 8


@dataclass(frozen=True, slots=True)
class HvmRecord:
    """One record of an HVM context: ``struct hvm_save_descriptor`` and its data."""

    typecode: int
    instance: int
    data: bytes

    def to_bytes(self) -> bytes:
        """Return the record in Xen's format."""
        head = (self.typecode, 2), (self.instance, 2), (len(self.data), 4)
        return b"".join(value.to_bytes(size, "little") for value, size in head) + self.data


def hvm_records(context: bytes) -> Iterator[HvmRecord]:
    """Yield the records of an HVM context; raise ValueError when it is truncated."""
    at = 0
    while at < len(context):
        head = context[at : at + DESCRIPTOR_BYTES]
        length = int.from_bytes(head[4:8], "little")
        start = at + DESCRIPTOR_BYTES
        if len(head) < DESCRIPTOR_BYTES or start + length > len(context):
            raise ValueError(
                f"HVM context is truncated: the record at byte {at} goes past the end, at {len(context)}"
            )
        yield HvmRecord(
            int.from_bytes(head[0:2], "little"),
            int.from_bytes(head[2:4], "little"),
            context[start : start + length],
        )
        at = start + length
