"""A kernel and a ramdisk for guests in dom0: the very kernel that boots dom0, and busybox."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xenapic.lab.cache import Entry, cache_root
from xenapic.lab.cpio import CpioWriter, members
from xenapic.lab.errors import FetchFailed, LabUsageError
from xenapic.lab.xens import XenFiles

__all__ = ["CMDLINE", "GUEST_KERNELS", "KERNEL_AT", "RAMDISK_AT", "READY", "cmdline", "ensure"]

GUEST_KERNELS = ("debian",)
KERNEL_AT, RAMDISK_AT = "/guest/vmlinuz", "/guest/initrd.img"
READY = "xenapic guest ready"
"""What the ramdisk's init prints when the guest runs."""
CMDLINE = "console=hvc0 quiet mitigations=off nokaslr noxsaves cryptomgr.notests nopti audit=0 tsc=reliable"
"""Makes the kernel use the PV console, and leave out what takes long in an emulator."""
HZ = 250
"""Ticks in a second of Debian's kernels."""

# Increase it when this module makes something else of the same inputs.
FORMAT = 2
BUSYBOX = "bin/busybox"

INIT = """\
#!/bin/busybox sh
# First program of the guest: says that it runs, then gives a shell, or powers off.
bb=/bin/busybox
$bb mkdir -p /proc /sys /dev /root /bin
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t devtmpfs dev /dev
$bb --install -s /bin
echo "READY"
case " $($bb cat /proc/cmdline) " in
*" xenapic.test=poweroff "*) $bb poweroff -f ;;
*" xenapic.test=reboot "*) $bb reboot -f ;;
*" xenapic.test=crash "*) echo c >/proc/sysrq-trigger ;;
esac
export HOME=/root PATH=/bin PS1='guest:\\w# '
cd /root
while :; do
    $bb setsid -c $bb sh -i </dev/hvc0 >/dev/hvc0 2>&1
done
"""


def cmdline(tsc_khz: int) -> str:
    """Return `CMDLINE` for a machine whose time-stamp counter has this frequency.

    With ``lpj=`` no vCPU calibrates its delay loop. A second vCPU does so with interrupts disabled, until the
    first has counted a tick. Bochs does not leave such a guest for an interrupt of the host, so with one
    physical CPU the first never runs.
    """
    return f"{CMDLINE} lpj={tsc_khz * 1000 // HZ}"


def ensure(name: str, xen: XenFiles) -> dict[str, Path]:
    """Return the files of a guest's kernel by their place in dom0; make them unless the cache has them.

    Raises `LabUsageError` for an unknown kernel.
    """
    if name not in GUEST_KERNELS:
        raise LabUsageError(f"no guest kernel {name!r} in the lab; there are: {', '.join(GUEST_KERNELS)}")
    path = _entry(name, xen).ensure(lambda into: _make(into, xen))
    return {KERNEL_AT: path / "vmlinuz", RAMDISK_AT: path / "initrd.img"}


def _entry(name: str, xen: XenFiles) -> Entry:
    files = [(file.stat().st_size, file.stat().st_mtime_ns) for file in (xen.kernel, xen.first)]
    digest = hashlib.sha256(repr((FORMAT, name, INIT, files)).encode()).hexdigest()
    return Entry(cache_root() / "lab" / f"guest-{name}-{digest[:12]}", digest)


def _make(into: Path, xen: XenFiles) -> dict[str, Any]:
    (into / "vmlinuz").write_bytes(without_sections(xen.kernel.read_bytes()))
    with (into / "initrd.img").open("wb") as out:
        writer = CpioWriter(out)
        writer.file(BUSYBOX, _busybox(xen.first.read_bytes()), executable=True)
        writer.file("init", INIT.replace("READY", READY).encode(), executable=True)
        for name in ("proc", "sys", "dev", "root"):
            writer.directory(name)
        writer.close()
    return {}


def _busybox(archive: bytes) -> bytes:
    for name, data in members(archive):
        if name == BUSYBOX:
            return data
    raise FetchFailed("dom0's first files hold no busybox")


def without_sections(kernel: bytes) -> bytes:
    """Return an ELF kernel that ends after what is loaded: names and debug data take half of the file."""
    image = bytearray(kernel[: max(_ends(kernel))])
    struct.pack_into("<Q", image, 40, 0)
    struct.pack_into("<HH", image, 60, 0, 0)
    return bytes(image)


def _ends(kernel: bytes) -> Iterator[int]:
    """Yield where the content of each program header ends in the file."""
    (at,) = struct.unpack_from("<Q", kernel, 32)
    size, count = struct.unpack_from("<HH", kernel, 54)
    for index in range(count):
        offset, _, _, length = struct.unpack_from("<4Q", kernel, at + index * size + 8)
        yield offset + length
