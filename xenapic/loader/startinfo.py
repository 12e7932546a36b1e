"""``struct hvm_start_info`` and what it points to.

Source: ``xen/include/public/arch-x86/hvm/start_info.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from xenapic.frozen import dataclass
from xenapic.loader.memorymap import Region, Span

__all__ = ["ModulePlace", "StartInfo", "start_info_bytes"]

MAGIC, VERSION = 0x336EC578, 1
HEAD = struct.Struct("<IIIIQQQQII")
MODULE = struct.Struct("<QQQQ")
REGION = struct.Struct("<QQII")


@dataclass(frozen=True, slots=True)
class ModulePlace:
    """Where a module is, and its command line."""

    span: Span
    cmdline: bytes


@dataclass(frozen=True, slots=True)
class StartInfo:
    """What a PVH guest is told at its start."""

    cmdline: bytes
    modules: tuple[ModulePlace, ...]
    regions: tuple[Region, ...]
    rsdp: int
    """0 without ACPI."""


def start_info_bytes(info: StartInfo, address: int) -> bytes:
    """Return the structure and what it points to, as bytes for one address."""
    modules_at = address + HEAD.size
    regions_at = modules_at + MODULE.size * len(info.modules)
    texts_at = regions_at + REGION.size * len(info.regions)
    texts, places = _texts([info.cmdline, *(module.cmdline for module in info.modules)], texts_at)
    cmdline_at, *module_cmdlines = places
    head = HEAD.pack(
        MAGIC, VERSION, 0, len(info.modules), modules_at if info.modules else 0, cmdline_at, info.rsdp,
        regions_at, len(info.regions), 0,
    )  # fmt: skip
    modules = (
        MODULE.pack(module.span.address, module.span.size, at, 0)
        for module, at in zip(info.modules, module_cmdlines, strict=True)
    )
    regions = (REGION.pack(row.span.address, row.span.size, row.kind, 0) for row in info.regions)
    return b"".join([head, *modules, *regions, texts])


def _texts(lines: Sequence[bytes], address: int) -> tuple[bytes, list[int]]:
    """Return command lines as C strings, and the address of each; 0 for an empty one."""
    data, places = bytearray(), []
    for line in lines:
        places.append(address + len(data) if line else 0)
        if line:
            data += line + b"\0"
    return bytes(data), places
