"""Take from a Debian kernel package what dom0 boots: the plain kernel and its drivers."""

from __future__ import annotations

import ctypes
import lzma
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from xenapic.lab.errors import FetchFailed

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


def plain_kernel(bzimage: bytes) -> bytes:
    """The ELF kernel inside a bzImage: in an emulator, Xen's own unpacking costs many seconds."""
    if bzimage[0x202:0x206] != b"HdrS" and bzimage[0x1FE:0x200] != b"\x55\xaa":
        raise FetchFailed("the kernel package does not hold a bzImage")
    setup_sectors = bzimage[0x1F1] or 4
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = bzimage[start : start + length]
    if payload.startswith(b"\xfd7zXZ\0"):
        plain = lzma.LZMADecompressor().decompress(payload)
    elif payload.startswith(b"\x28\xb5\x2f\xfd"):
        plain = _unzstd(payload)
    else:
        raise FetchFailed(f"the kernel is packed in an unknown way ({payload[:6].hex()})")
    if not plain.startswith(b"\x7fELF"):
        raise FetchFailed("the kernel package does not hold an ELF kernel")
    return plain


def _unzstd(payload: bytes) -> bytes:
    # Python has no zstd before 3.14; every Debian has the library, because dpkg uses it.
    # The kernel's build appends the plain size to the packed data.
    try:
        lib = ctypes.CDLL("libzstd.so.1")
    except OSError as error:
        raise FetchFailed(f"unpacking the kernel needs libzstd1: {error}") from None
    lib.ZSTD_decompress.restype = ctypes.c_size_t
    size = int.from_bytes(payload[-4:], "little")
    buffer = ctypes.create_string_buffer(size)
    sizes = ctypes.c_size_t(size), ctypes.c_size_t(len(payload) - 4)
    done = lib.ZSTD_decompress(buffer, sizes[0], payload, sizes[1])
    if done != size:
        raise FetchFailed("the kernel's zstd payload is damaged")
    return buffer.raw


# In xen_vmalloc_p2m_tree (arch/x86/xen/p2m.c): mov $0x8000000,%edx …, cmp %rdx,%rax …, cmovb %rdx,%rax,
# lea 0x1fffff(,%rax,8),%rax, and $-0x200000,%rax. The number is CONFIG_XEN_MEMORY_HOTPLUG_LIMIT in pages.
P2M_LIMIT = re.compile(
    rb"\xba\x00\x00\x00\x08"
    rb"(?=.{0,64}?\x48\x39\xd0.{0,16}?\x48\x0f\x42\xc2\x48\x8d\x04\xc5\xff\xff\x1f\x00\x48\x25\x00\x00\xe0\xff)",
    re.DOTALL,
)
SHORT_LIMIT_PAGES = 1 << 22


def with_short_p2m(kernel: bytes) -> bytes:
    """The kernel with room for 16 GiB in the table that a PV dom0 makes at boot, not for 512 GiB.

    Filling that table was 27 of the 46 emulated seconds that Bochs takes to start dom0. A kernel in which
    the place is not found exactly once stays as it is, and starts more slowly.
    """
    places = list(P2M_LIMIT.finditer(kernel))
    if len(places) != 1:
        return kernel
    at = places[0].start() + 1
    return b"".join((kernel[:at], struct.pack("<I", SHORT_LIMIT_PAGES), kernel[at + 4 :]))


@dataclass(frozen=True)
class Driver:
    """A kernel module, unpacked, and the modules it needs."""

    name: str
    data: bytes
    needs: tuple[str, ...]

    def dependency_line(self) -> str:
        """The module's line in modules.dep."""
        return f"{self.name}.ko:{''.join(f' {name}.ko' for name in self.needs)}\n"


@dataclass(frozen=True)
class Drivers:
    """Modules for the kernel whose release is `kernel`, in loading order."""

    kernel: str
    files: tuple[Driver, ...]


def driver_files(tree: Path, wanted: Iterable[str] = DRIVERS) -> tuple[Driver, ...]:
    """The `wanted` modules and what they need, in loading order."""
    files = {_module_name(p): p for p in tree.rglob("*.ko*")}
    order: dict[str, Driver] = {}
    for name in wanted:
        _collect(name.replace("-", "_"), files, order)
    return tuple(order.values())


def _collect(name: str, files: dict[str, Path], order: dict[str, Driver]) -> tuple[str, ...]:
    """Put a module after all it needs into `order`; return it and them, nearest first."""
    # A name without a file is built into this kernel.
    if name not in files:
        return ()
    if name not in order:
        path = files[name]
        data = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        needs: list[str] = []
        for needed in filter(None, module_info(data, "depends").split(",")):
            needs += _collect(needed.replace("-", "_"), files, order)
        order[name] = Driver(name, data, tuple(dict.fromkeys(needs)))
    return (name, *order[name].needs)


def module_info(module: bytes, key: str) -> str:
    """The value of `key` in a kernel module's ``.modinfo``, or ""."""
    start = module.find(b"\0" + key.encode() + b"=")
    if start < 0:
        return ""
    start += len(key) + 2
    return module[start : module.index(b"\0", start)].decode()


def _module_name(path: Path) -> str:
    return path.name.split(".ko", 1)[0].replace("-", "_")
