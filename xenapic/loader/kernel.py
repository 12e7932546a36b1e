"""Read a kernel of any kind that can run as a PVH guest: an ELF file, or a bzImage of Linux.

Source of the bzImage: ``Documentation/arch/x86/boot.rst`` of Linux.
"""

from __future__ import annotations

import struct

from xenapic.errors import ImageInvalid
from xenapic.loader.executable import ELF_MAGIC, Executable, read_executable
from xenapic.loader.payload import MOST_BYTES, unpack

__all__ = ["kernel_image", "read_kernel"]

BOOT_FLAG_AT, BOOT_FLAG = 0x1FE, b"\x55\xaa"
HEADER_AT, HEADER_MAGIC = 0x202, b"HdrS"
VERSION_AT = 0x206
SETUP_SECTORS_AT = 0x1F1
PAYLOAD_AT = 0x248
WITH_PAYLOAD = 0x208
"""The boot protocol that introduced the place of the payload: 2.08, Linux 2.6.26."""
SECTOR = 512


def read_kernel(data: bytes | bytearray | memoryview, name: str, limit: int = MOST_BYTES) -> Executable:
    """Return what a kernel's file loads; ``name`` is for the error, ``limit`` for the unpacked bytes.

    Raises `ImageInvalid` for a file that is neither an ELF file nor a bzImage, or is damaged.
    """
    return read_executable(kernel_image(data, name, limit), name)


def kernel_image(data: bytes | bytearray | memoryview, name: str, limit: int = MOST_BYTES) -> memoryview:
    """Return the ELF file in a kernel's file, unpacked; errors as in `read_kernel`."""
    view = memoryview(data)
    if bytes(view[:4]) == ELF_MAGIC:
        return view
    return unpack(_payload(view, name), name, limit)


def _payload(view: memoryview, name: str) -> memoryview:
    if bytes(view[BOOT_FLAG_AT : BOOT_FLAG_AT + 2]) != BOOT_FLAG or len(view) < PAYLOAD_AT + 8:
        raise ImageInvalid(name, "it is neither an ELF file nor a bzImage")
    if bytes(view[HEADER_AT : HEADER_AT + 4]) != HEADER_MAGIC:
        raise ImageInvalid(name, "it has a boot sector, but is no bzImage")
    (version,) = struct.unpack_from("<H", view, VERSION_AT)
    if version < WITH_PAYLOAD:
        protocol = f"{version >> 8}.{version & 0xFF:02}"
        raise ImageInvalid(name, f"it is a bzImage of boot protocol {protocol}; 2.08 is needed")
    offset, length = struct.unpack_from("<II", view, PAYLOAD_AT)
    start = ((view[SETUP_SECTORS_AT] or 4) + 1) * SECTOR + offset
    if start + length > len(view) or not length:
        raise ImageInvalid(name, f"it is truncated: its payload should end at byte {start + length}")
    return view[start : start + length]
