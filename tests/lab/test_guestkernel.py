"""The kernel and the ramdisk for guests in the lab."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from tests.kernels import elf
from xenapic.lab import bochs, guestkernel
from xenapic.lab.cpio import CpioWriter, members
from xenapic.lab.errors import LabUsageError
from xenapic.lab.xens import XenFiles
from xenapic.loader.kernel import read_kernel


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    writer = CpioWriter(out)
    for name, data in files.items():
        writer.file(name, data)
    writer.close()
    return out.getvalue()


def test_an_archive_is_read_back() -> None:
    files = {"a": b"", "bin/busybox": b"\x7fELF" * 7, "long/name/x": b"12345"}
    found = {name: data for name, data in members(archive(files)) if name in files}
    assert found == files


def test_the_kernel_and_the_ramdisk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XENAPIC_CACHE", str(tmp_path / "cache"))
    kernel = bytearray(elf(0x100000, [(0x100000, b"code", 4096)]))
    size = len(kernel)
    struct.pack_into("<Q", kernel, 40, size)
    struct.pack_into("<H", kernel, 60, 9)
    (tmp_path / "vmlinux").write_bytes(kernel + b"names of symbols")
    (tmp_path / "first.cpio").write_bytes(archive({"bin/busybox": b"the busybox"}))
    files = XenFiles(tmp_path, tmp_path / "vmlinux", tmp_path / "first.cpio", tmp_path, "cpython-311")
    made = guestkernel.ensure("debian", files)
    cut = made[guestkernel.KERNEL_AT].read_bytes()
    assert len(cut) == size and read_kernel(cut, "k").entry == 0x100000
    ramdisk = dict(members(made[guestkernel.RAMDISK_AT].read_bytes()))
    assert ramdisk["bin/busybox"] == b"the busybox"
    assert b'echo "xenapic guest ready"' in ramdisk["init"]
    with pytest.raises(LabUsageError, match="there are: debian"):
        guestkernel.ensure("other", files)


def test_the_delay_loop_is_what_the_first_vcpu_computes() -> None:
    """Linux says of Bochs' 50 MHz: "value calculated using timer frequency.. 100.00 BogoMIPS (lpj=200000)"."""
    assert guestkernel.cmdline(bochs.IPS // 1000) == f"{guestkernel.CMDLINE} lpj=200000"
