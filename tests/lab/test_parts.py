"""The lab's parts that need no emulator."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from xenapic.lab import bootdisk, job, overlay, watch, xens
from xenapic.lab.cpio import CpioWriter
from xenapic.lab.elffiles import segments
from xenapic.lab.errors import (
    LabPrerequisite,
    LabUsageError,
    StageTimeout,
)
from xenapic.lab.frames import CHANNEL_SIZE, CYLINDER, EXIT, READY, SECTOR, START, STDOUT, encode
from xenapic.lab.kernel import (
    SIGNED,
    module_info,
    with_short_p2m,
    without_signature,
    without_type_information,
    without_zeros,
)
from xenapic.lab.machines import MACHINES, machine
from xenapic.lab.programs import need

GUEST = Path(bootdisk.__file__).parent / "guest"


def test_every_machine_asked_for_is_there() -> None:
    asked = "penryn lynnfield sandy_bridge ivy_bridge haswell broadwell skylake_x icelake tigerlake"
    for name in [*asked.split(), "cnl", "ryzen"]:
        assert [m for m in MACHINES.values() if name in m.name and m.emulator == "bochs"], name
    assert [m for m in MACHINES.values() if m.emulator == "qemu" and m.vendor == "AMD"]


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(LabUsageError, match="broadwell_ult"):
        machine("pentium")
    with pytest.raises(LabUsageError, match=r"4\.17, 4\.20"):
        xens.release("4.16")


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabPrerequisite, match="apt-get install bochs bochsbios vgabios"):
        need("bochs")


def test_a_timeout_names_stage_log_and_last_lines(tmp_path: Path) -> None:
    log = "\n".join(f"line {n}" for n in range(40))
    text = str(StageTimeout("too long", stage="Xen", serial=log, serial_path=tmp_path / "s.log"))
    assert "line 39" in text
    assert "line 20" not in text
    assert str(tmp_path / "s.log") in text


@pytest.mark.skipif(not (shutil.which("as") and shutil.which("ld")), reason="needs an assembler (binutils)")
def test_the_boot_sector_is_what_its_source_says(tmp_path: Path) -> None:
    made, built = tmp_path / "loader.o", tmp_path / "loader.bin"
    subprocess.run(["as", "--32", GUEST / "loader.S", "-o", made], check=True)
    link = ["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-e", "start"]
    subprocess.run([*link, made, "-o", built], check=True)
    assert built.read_bytes() == (GUEST / "loader.bin").read_bytes()


def fake_xen(text: bytes) -> bytes:
    header = struct.pack("<16sHHIIIIIHHH", b"\x7fELF\x01\x01\x01", 2, 3, 1, 0x200000, 52, 0, 0, 52, 32, 1)
    header += b"\0" * (52 - len(header))
    return header + struct.pack("<8I", 1, 84, 0, 0x200000, len(text), len(text), 7, 64) + text


def test_the_boot_disk_lays_out_every_byte(tmp_path: Path) -> None:
    """Do what the boot sector does, and find Xen, modules and command lines in memory."""
    text, kernel = b"xen!" * 100, b"\0" * bootdisk.PIECE + b"kernel" * 30000
    modules = [(kernel, "vmlinux c"), (b"rd", "rd")]
    with (tmp_path / "disk").open("wb") as disk:
        bootdisk.write_boot_disk(disk, fake_xen(text), "xen a=b", modules, 512)
    data = (tmp_path / "disk").read_bytes()
    assert data[:SECTOR] == (GUEST / "loader.bin").read_bytes()
    assert len(data) % CYLINDER == 0
    entry, info, count, _ = struct.unpack_from("<4I", data, SECTOR)
    memory = bytearray(bootdisk.FIRST_MODULE + (1 << 20))
    for number in range(count):
        first, sectors, address, _ = struct.unpack_from("<4I", data, SECTOR + 16 * (number + 1))
        assert 1 <= sectors <= 256
        piece = data[first * SECTOR : (first + sectors) * SECTOR]
        memory[address : address + len(piece)] = piece
    assert memory[entry : entry + len(text)] == text
    flags, _, _, _, line, modules, table = struct.unpack_from("<7I", memory, info)
    assert flags & 0b1000
    assert memory[line:].startswith(b"xen a=b\0")
    starts = [struct.unpack_from("<4I", memory, table + 16 * n) for n in range(modules)]
    assert memory[starts[0][0] : starts[0][1]] == kernel
    assert memory[starts[1][0] : starts[1][1]] == b"rd"
    assert memory[starts[0][2] :].startswith(b"vmlinux c\0")
    assert all(start % bootdisk.PAGE == 0 for start, *_ in starts)


def test_archives_can_be_read_by_cpio(tmp_path: Path) -> None:
    if not shutil.which("cpio"):
        pytest.skip("needs cpio")
    with (tmp_path / "a").open("wb") as out:
        for name in ("one", "two"):
            writer = CpioWriter(out)
            writer.file(f"d/{name}", name.encode() * 3, executable=True)
            writer.close()
    with (tmp_path / "a").open("rb") as stream:
        for _ in range(2):
            subprocess.run(["cpio", "-id", "--quiet"], stdin=stream, cwd=tmp_path, check=True)
    assert (tmp_path / "d/one").read_text() == "oneoneone"
    assert (tmp_path / "d/two").stat().st_mode & 0o111


def test_the_p2m_limit_is_shortened_where_it_is_found_once() -> None:
    code = bytes.fromhex("ba00000008be00002000 4839d0488905023d3e00480f42c2488d04c5ffff1f0048250000e0ff")
    other = bytes.fromhex("ba00000008ffff1f00") + bytes(80)
    short = with_short_p2m(other + code + other)
    assert short == other + b"\xba\x00\x00\x10\x00" + code[5:] + other
    assert with_short_p2m(other) == other
    assert with_short_p2m(code + code) == code + code


def test_a_kernel_loses_the_zeros_that_whoever_loads_it_writes() -> None:
    header = bytearray(64 + 2 * 56)
    header[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<QQQ", header, 24, 0x1000000, 64, 0x999)
    struct.pack_into("<HHHHH", header, 54, 56, 2, 64, 9, 8)
    code = b"code\0\0code"
    struct.pack_into("<IIQQQQQQ", header, 64, 1, 5, 0x200, 0, 0, 0x100, 0x100, 0)
    struct.pack_into("<IIQQQQQQ", header, 120, 4, 4, 0x202, 0, 0, 4, 4, 0)
    kernel = bytes(header).ljust(0x200, b"\0") + code.ljust(0x1000, b"\0") + b"sections"
    short = without_zeros(kernel)
    assert short[0x200:] == code
    entry, (loaded, note) = segments(short)
    assert (entry, loaded.filesz, loaded.memsz, note.filesz) == (0x1000000, len(code), 0x100, 4)
    assert short[40:48] == bytes(8) and short[58:64] == bytes(6)
    assert without_zeros(b"no ELF file") == b"no ELF file"


def test_a_module_loses_its_signature_and_its_type_information() -> None:
    code, signature = b"ELF code \0.BTF\0.BTF_ids\0", b"s" * 300
    descriptor = bytes(8) + struct.pack(">I", len(signature))
    assert without_signature(code + signature + descriptor + SIGNED) == code
    assert without_signature(code) == code
    assert without_type_information(code) == b"ELF code \0.btf\0.BTF_ids\0"


def test_module_info() -> None:
    module = b"ELF\0depends=a,b-c\0name=x\0"
    assert module_info(module, "depends") == "a,b-c"
    assert module_info(module, "vermagic") == ""


def test_paths_are_merged_into_usr_and_never_leave_the_root() -> None:
    assert xens.merged("./lib/x/y") == "usr/lib/x/y"
    assert xens.merged("./usr/bin/z") == "usr/bin/z"
    assert xens.merged("../etc/passwd") == ""
    assert xens.is_dropped("usr/lib/python3.13/test/x.py")
    assert not xens.is_dropped("usr/lib/python3.13/json/x.py")


def test_the_checkout_goes_in_complete_and_without_leftovers() -> None:
    names = [name for name, _ in overlay.package_files()]
    assert "xenapic/__init__.py" in names
    assert "xenapic/lab/guest/init" in names
    assert "tests/lab/test_parts.py" in [name for name, _ in overlay.test_files()]
    assert not [n for n in names if "__pycache__" in n]


def test_a_command_with_a_nul_is_refused() -> None:
    with pytest.raises(LabUsageError, match="NUL"):
        job.command(["a\0b"], {}, [])


def test_files_must_exist_and_have_absolute_places(tmp_path: Path) -> None:
    for files in ({"relative": __file__}, {"/a/../b": __file__}, {"/a": tmp_path / "no"}):
        with pytest.raises(LabUsageError):
            list(job.given_files(files))


def test_too_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "JOB_ROOM", 4 * SECTOR)
    (tmp_path / "channel").touch()
    given = job.command(["true"], {}, [job.File("/f", 0o644, bytes(3 * SECTOR))])
    with pytest.raises(LabUsageError, match="too large"):
        given.post(tmp_path / "channel", 1)


@pytest.fixture
def watched(tmp_path: Path) -> tuple[watch.Watch, Path, Path, list[bytes]]:
    serial, channel = tmp_path / "serial", tmp_path / "channel"
    said: list[bytes] = []
    channel.write_bytes(b"\0" * SECTOR)
    seen = watch.Watch(serial, channel, os.getpid())
    seen.expect(said.append, said.append)
    return seen, serial, channel, said


def test_stages_are_told_from_log_and_channel(
    watched: tuple[watch.Watch, Path, Path, list[bytes]],
) -> None:
    seen, serial, channel, said = watched
    assert seen.stage == "load"
    serial.write_bytes(b"(XEN) Xen version 4.17.7\n")
    seen.poll()
    assert seen.stage == "Xen"
    serial.write_bytes(serial.read_bytes() + b"(XEN) *** Serial input to DOM0 (type\n")
    seen.poll()
    assert seen.stage == "dom0"
    frames = [(READY, b""), (START, b""), (STDOUT, b"hi"), (EXIT, b"7")]
    with channel.open("ab") as out:
        for number, (stream, data) in enumerate(frames):
            out.write(encode(number, stream, data))
    seen.poll()
    assert (seen.answers, seen.stage, seen.status, said) == (1, "command", 7, [b"hi"])
    assert list(seen.split()) == ["load", "Xen", "dom0", "command"]
    seen.close()


@pytest.mark.parametrize(
    ("line", "dead"),
    [
        ("(XEN) Panic on CPU 0:", True),
        ("(XEN) [2026-01-01 00:00:00] Xen BUG at common/domain.c:1", True),
        ("(d3) (XEN) Panic on CPU 0:", False),
        ("(XEN) all is well", False),
    ],
)
def test_a_dying_xen_is_told_from_a_guest_that_says_so(
    watched: tuple[watch.Watch, Path, Path, list[bytes]], line: str, dead: bool
) -> None:
    seen, serial, _, _ = watched
    serial.write_text(f"(XEN) before\n{line}\n")
    seen.poll()
    assert seen.xen_died is dead
    seen.close()


def test_the_channel_is_a_disk_bochs_takes() -> None:
    assert CHANNEL_SIZE % CYLINDER == 0


def test_the_plugin_is_cheap_to_import() -> None:
    code = "import sys, xenapic.lab.pytest_plugin; print('xenapic.lab.runner' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
