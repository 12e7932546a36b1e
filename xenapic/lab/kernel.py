"""Make what dom0 boots from a Debian kernel package start quickly: the kernel, and its drivers."""

from __future__ import annotations

import lzma
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from xenapic.lab.elffiles import PT_LOAD, segments

# Drivers dom0 needs: Xen's devices for libxenctrl, and the disks with root and channel.
DRIVERS = (
    "xen-privcmd",
    "xen-evtchn",
    "xen-gntdev",
    "xen-gntalloc",
    "xenfs",
    "ata_piix",
    "sd_mod",
    "isofs",
    "overlay",
)


# In xen_vmalloc_p2m_tree (arch/x86/xen/p2m.c): mov $0x8000000,%edx …, cmp %rdx,%rax …, cmovb %rdx,%rax,
# lea 0x1fffff(,%rax,8),%rax, and $-0x200000,%rax. The number is CONFIG_XEN_MEMORY_HOTPLUG_LIMIT in pages.
P2M_LIMIT = re.compile(
    rb"\xba\x00\x00\x00\x08"
    rb"(?=.{0,64}?\x48\x39\xd0.{0,16}?\x48\x0f\x42\xc2\x48\x8d\x04\xc5\xff\xff\x1f\x00\x48\x25\x00\x00\xe0\xff)",
    re.DOTALL,
)
SHORT_LIMIT_PAGES = 1 << 20


def quick(kernel: bytes) -> bytes:
    """Return a kernel that dom0 starts from sooner, with the same code."""
    return without_zeros(with_short_p2m(kernel))


def without_zeros(kernel: bytes) -> bytes:
    """Return an ELF kernel whose segments end before their last zeros, and which has no sections.

    Xen writes the zeros (System V ABI: a segment's size in memory can be larger). Debian's kernel has .bss in
    the file: 23 of 66 MB, which are read and copied several times before it starts. What is no ELF file
    stays unchanged.
    """
    try:
        _entry, found = segments(kernel)
    except ValueError:
        return kernel
    made, end = bytearray(kernel), 0
    for part in found:
        size = part.filesz
        if part.kind == PT_LOAD:
            size = len(kernel[part.offset : part.offset + size].rstrip(b"\0"))
            struct.pack_into("<Q", made, part.header + FILE_SIZE, size)
        end = max(end, part.offset + size)
    struct.pack_into("<Q", made, SECTIONS, 0)
    struct.pack_into("<HHH", made, SECTION_COUNTS, 0, 0, 0)
    return bytes(made[:end])


FILE_SIZE = 32
"""``p_filesz`` in a program header."""
SECTIONS, SECTION_COUNTS = 40, 58
"""``e_shoff``, and ``e_shentsize`` to ``e_shstrndx``, in the header of an ELF file."""


def with_short_p2m(kernel: bytes) -> bytes:
    """Return the kernel with a table for 4 GiB instead of 512 GiB, which a PV dom0 fills at boot.

    Filling the table took 27 of the 46 emulated seconds that dom0's start took in Bochs. A kernel in which
    the place is not found exactly once stays unchanged, and starts more slowly.
    """
    places = list(P2M_LIMIT.finditer(kernel))
    if len(places) != 1:
        return kernel
    at = places[0].start() + 1
    return b"".join((kernel[:at], struct.pack("<I", SHORT_LIMIT_PAGES), kernel[at + 4 :]))


@dataclass(frozen=True)
class Driver:
    """An uncompressed kernel module, and the names of the modules it needs."""

    name: str
    data: bytes
    needs: tuple[str, ...]

    def dependency_line(self) -> str:
        """Return the module's line in modules.dep."""
        return f"{self.name}.ko:{''.join(f' {name}.ko' for name in self.needs)}\n"


@dataclass(frozen=True)
class Drivers:
    """The modules for the kernel release `kernel`, in loading order."""

    kernel: str
    files: tuple[Driver, ...]


def driver_files(tree: Path, wanted: Iterable[str] = DRIVERS) -> tuple[Driver, ...]:
    """Return the `wanted` modules and those they need, in loading order."""
    files = {_module_name(p): p for p in tree.rglob("*.ko*")}
    order: dict[str, Driver] = {}
    for name in wanted:
        _collect(name.replace("-", "_"), files, order)
    return tuple(order.values())


def _collect(name: str, files: dict[str, Path], order: dict[str, Driver]) -> tuple[str, ...]:
    """Add a module to `order` after those it needs; return their names, nearest first."""
    # A name without a file is built into this kernel.
    if name not in files:
        return ()
    if name not in order:
        path = files[name]
        data = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        data = without_type_information(without_signature(data))
        needs: list[str] = []
        for needed in filter(None, module_info(data, "depends").split(",")):
            needs += _collect(needed.replace("-", "_"), files, order)
        order[name] = Driver(name, data, tuple(dict.fromkeys(needs)))
    return (name, *order[name].needs)


def without_signature(module: bytes) -> bytes:
    """Return a kernel module without its signature, whose check costs seconds in an emulator.

    The signature is followed by a descriptor that ends with its length, and by a text (Linux,
    include/linux/module_signature.h). Debian's kernel loads modules without one.
    """
    if not module.endswith(SIGNED):
        return module
    end = len(module) - len(SIGNED)
    (length,) = struct.unpack_from(">I", module, end - 4)
    return module[: end - SIGNATURE_DESCRIPTOR - length]


def without_type_information(module: bytes) -> bytes:
    """Return a kernel module whose BTF section has another name.

    Only BPF programs use that section. The first module that has it makes the kernel parse the type
    information of the complete kernel, which is a second of an emulator's time.
    """
    return module.replace(b"\0.BTF\0", b"\0.btf\0")


SIGNED = b"~Module signature appended~\n"
SIGNATURE_DESCRIPTOR = 12


def module_info(module: bytes, key: str) -> str:
    """Return the value of `key` in a kernel module's ``.modinfo``, or ""."""
    start = module.find(b"\0" + key.encode() + b"=")
    if start < 0:
        return ""
    start += len(key) + 2
    return module[start : module.index(b"\0", start)].decode()


def _module_name(path: Path) -> str:
    return path.name.split(".ko", 1)[0].replace("-", "_")
