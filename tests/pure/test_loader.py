"""The loader: kernels, payloads, layouts and tables; whatever the input is, the error is ours."""

from __future__ import annotations

import bz2
import gc
import gzip
import importlib
import lzma
import resource
import struct
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.kernels import bzimage, elf, note
from tests.xtftree import GUESTS
from xenapic import probe
from xenapic.errors import ConfigInvalid, ImageInvalid
from xenapic.live.load import batches
from xenapic.loader.acpi import acpi_tables
from xenapic.loader.executable import Executable, read_executable
from xenapic.loader.kernel import read_kernel
from xenapic.loader.layout import Layout, ModuleSize, lay_out
from xenapic.loader.memorymap import FOUR_GIB, HOLE_AT, MemoryType, Span
from xenapic.loader.payload import unpack
from xenapic.loader.ring import WRAP, free_pieces, used_pieces
from xenapic.loader.startinfo import ModulePlace, StartInfo, start_info_bytes

CODE = b"\xf4" * 5000
SMALL = elf(0x1000, [(0x1000, b"\xf4", 4096)])
KERNEL = elf(0x1000004, [(0x1000000, CODE, 9000), (0x1004000, b"data", 4)])


def lz4_legacy(data: bytes) -> bytes:
    """Return data as ``lz4 -l`` packs it, in blocks of 8 MiB, with the size that Linux's build appends."""
    packed = b"\x02\x21\x4c\x18"
    for at in range(0, len(data), 8 << 20):
        block = importlib.import_module("lz4.block").compress(data[at : at + (8 << 20)], store_size=False)
        packed += struct.pack("<I", len(block)) + block
    return packed + struct.pack("<I", len(data))


def zstd(data: bytes) -> bytes:
    packed = importlib.import_module("zstandard").ZstdCompressor().compress(data)
    assert isinstance(packed, bytes)
    return packed + struct.pack("<I", len(data))


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32, preset=0) + struct.pack("<I", len(data)),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE, preset=0),
    "bzip2": bz2.compress,
    "zstd": zstd,
    "lz4": lz4_legacy,
}


@pytest.mark.parametrize("bits", [32, 64])
def test_elf(bits: int) -> None:
    kernel = read_kernel(elf(0x1000004, [(0x1004000, b"data", 4), (0x1000000, CODE, 9000)], bits=bits), "k")
    assert kernel.entry == 0x1000004
    assert [(s.address, bytes(s.data), s.size) for s in kernel.segments] == [
        (0x1000000, CODE, 9000),
        (0x1004000, b"data", 4),
    ]


def test_note_in_a_section() -> None:
    data = bytearray(elf(0x1000004, [(0x1000000, CODE, 9000)], notes=b""))
    notes, sections = len(data), len(data) + len(note(0x1000004))
    data += note(0x1000004) + struct.pack("<IIQQQQIIQQ", 0, 7, 0, 0, notes, 20, 0, 0, 4, 0)
    struct.pack_into("<Q", data, 40, sections)
    struct.pack_into("<HH", data, 58, 64, 1)
    # Without a segment of notes; one that is empty hides the sections, as it does from Xen.
    struct.pack_into("<H", data, 56, 1)
    assert read_executable(bytes(data), "k").entry == 0x1000004


@pytest.mark.parametrize("form", PACKERS)
def test_bzimage(form: str) -> None:
    kernel = read_kernel(bzimage(PACKERS[form](KERNEL)), "k")
    assert kernel.entry == 0x1000004 and bytes(kernel.segments[0].data) == CODE


@pytest.mark.parametrize("form", PACKERS)
def test_a_bomb_is_refused(form: str) -> None:
    packed = PACKERS[form](b"\x7fELF" + bytes(3 << 20))
    with pytest.raises(ImageInvalid, match="more than 1 MiB"):
        unpack(memoryview(packed), "k", 1 << 20)


@pytest.mark.parametrize("form", PACKERS)
@given(data=st.data())
def test_a_damaged_payload_is_refused_or_unpacked(form: str, data: st.DataObject) -> None:
    packed = bytearray(bzimage(PACKERS[form](KERNEL)))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    read_or_refuse(bytes(packed[: data.draw(st.integers(0, len(packed)))]))


@pytest.mark.parametrize("form", sorted({*PACKERS} - {"plain"}))
def test_a_truncated_payload_is_refused(form: str) -> None:
    packed = PACKERS[form](KERNEL)
    with pytest.raises(ImageInvalid, match="payload is damaged"):
        unpack(memoryview(packed[: len(packed) // 2]), "k")


@pytest.mark.parametrize(("form", "package"), [("zstd", "zstandard"), ("lz4", "lz4.block")])
def test_a_missing_package_is_named(form: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = PACKERS[form](KERNEL)
    for name in (package, "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImageInvalid, match=rf"{form}.*pip install 'xenapic\[boot\]'"):
        unpack(memoryview(packed), "k")


def read_or_refuse(data: bytes) -> Executable | None:
    """Read a kernel; only our own error may come out."""
    try:
        kernel = read_kernel(data, "the kernel", 8 << 20)
    except ImageInvalid as error:
        assert str(error).startswith("the kernel: ")
        return None
    for lower, upper in pairwise(kernel.segments):
        assert lower.end <= upper.address
    assert all(len(segment.data) <= segment.size for segment in kernel.segments)
    return kernel


HOSTILE_NUMBERS = st.one_of(
    st.integers(0, (1 << 64) - 1), st.sampled_from([0, 1, 0xFFF, 0x1000, 1 << 31, 1 << 32, (1 << 64) - 1])
)


@given(
    entry=st.integers(0, (1 << 32) - 1),
    segments=st.lists(
        st.tuples(st.integers(0, (1 << 32) - 1), st.binary(max_size=64), st.integers(0, (1 << 32) - 1)),
        max_size=5,
    ),
    bits=st.sampled_from([32, 64]),
    memory=st.integers(1, 5000),
    sizes=st.lists(st.integers(0, 1 << 33), max_size=3),
)
def test_any_elf_is_laid_out_or_refused(
    entry: int,
    segments: list[tuple[int, bytes, int]],
    bits: int,
    memory: int,
    sizes: list[int],
) -> None:
    kernel = read_or_refuse(elf(entry, segments, bits=bits))
    if kernel is not None:
        lay_out_or_refuse(kernel, memory, sizes, 1)


@given(
    address=st.integers(0, 64 << 20),
    size=st.integers(1, 64 << 20),
    memory=st.integers(1, 6000),
    sizes=st.lists(st.integers(0, 64 << 20), max_size=6),
    vcpus=st.integers(1, 128),
)
def test_layouts_never_overlap(address: int, size: int, memory: int, sizes: list[int], vcpus: int) -> None:
    kernel = read_executable(elf(address, [(address, b"", size)]), "k")
    layout = lay_out_or_refuse(kernel, memory, sizes, vcpus)
    fits = address + size + sum(sizes) + (len(sizes) + 1) * (4 << 20) < memory << 20
    assert layout is not None or not fits


def lay_out_or_refuse(kernel: Executable, memory: int, sizes: list[int], vcpus: int) -> Layout | None:
    modules = [ModuleSize(f"module {number}", size, b"x") for number, size in enumerate(sizes)]
    try:
        layout = lay_out(kernel, modules, cmdline=b"a b", memory_mib=memory, vcpus=vcpus)
    except ImageInvalid:
        return None
    written = [Span(segment.address, segment.size) for segment in layout.contents]
    spans = sorted(span for span in (*written, *layout.modules) if span.size)
    for lower, upper in pairwise(spans):
        assert lower.end <= upper.address
    for span in spans:
        assert any(
            room.address <= span.address and span.end <= room.end for room in (*layout.ram, *layout.other)
        )
    assert sum(span.size for span in layout.ram) == memory << 20
    assert all(span.end <= HOLE_AT or span.address >= FOUR_GIB for span in layout.ram)
    assert layout.page_count * 4096 >= memory << 20
    return layout


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    assert read_or_refuse(data) is None


@example(at=0x20, number=1 << 63, width="Q", end=0)  # the program headers' offset, past any index
@given(
    at=st.integers(0, len(KERNEL[:300])),
    number=HOSTILE_NUMBERS,
    width=st.sampled_from("BHIQ"),
    end=st.integers(0),
)
def test_a_mutated_elf_is_refused_or_read(at: int, number: int, width: str, end: int) -> None:
    data = bytearray(KERNEL)
    struct.pack_into(f"<{width}", data, min(at, 292), number & (1 << struct.calcsize(width) * 8) - 1)
    kernel = read_or_refuse(bytes(data[: len(data) - end % 3 * 1000]))
    if kernel is not None:
        lay_out_or_refuse(kernel, 64, [1000], 2)


REAL = {
    "probe": (Path(probe.__file__).parent / "guest" / "probe.elf").read_bytes(),
    "of a test": GUESTS["fine"],
}
"""A kernel that a linker has made, and one of 32 bits."""


def mutate(data: st.DataObject, image: bytearray, head: int) -> None:
    """Change some numbers of a file, mostly in its head, where a number decides."""
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(0, head), st.integers(0, len(image) - 8)))
        width = data.draw(st.sampled_from("BHIQ"))
        number = data.draw(HOSTILE_NUMBERS) & (1 << struct.calcsize(width) * 8) - 1
        struct.pack_into(f"<{width}", image, at, number)


def lay_out_any(data: st.DataObject, image: bytes) -> None:
    """Lay out an image, unless it is refused, with any modules and memory."""
    kernel = read_or_refuse(image)
    if kernel is not None:
        sizes = data.draw(st.lists(st.integers(0, 1 << 33), max_size=3))
        lay_out_or_refuse(kernel, data.draw(st.integers(1, 5000)), sizes, 3)


@pytest.mark.parametrize("name", REAL)
@given(data=st.data())
def test_a_mutated_real_elf_is_laid_out_or_refused(name: str, data: st.DataObject) -> None:
    image = bytearray(REAL[name])
    mutate(data, image, 0x200)
    lay_out_any(data, bytes(image))


@pytest.mark.parametrize("form", PACKERS)
@settings(max_examples=30)
@given(data=st.data())
def test_a_mutated_elf_in_a_payload_is_laid_out_or_refused(form: str, data: st.DataObject) -> None:
    """The checksums of a payload agree: what is wrong is the kernel in it."""
    image = bytearray(REAL["of a test"])
    mutate(data, image, 0x200)
    lay_out_any(data, bzimage(PACKERS[form](bytes(image))))


@pytest.mark.parametrize("form", ["gzip", "zstd"])
@settings(max_examples=50)
@given(data=st.data())
def test_a_mutated_bzimage_is_laid_out_or_refused(form: str, data: st.DataObject) -> None:
    """In the setup header: where the payload is, its size, and how large the setup code is."""
    image = bytearray(bzimage(PACKERS[form](REAL["probe"])))
    fields = ((0x1F1, "B"), (0x202, "I"), (0x206, "H"), (0x248, "I"), (0x24C, "I"))
    for at, width in data.draw(st.lists(st.sampled_from(fields), min_size=1, max_size=3)):
        number = data.draw(st.one_of(HOSTILE_NUMBERS, st.integers(0, len(image))))
        struct.pack_into(f"<{width}", image, at, number & (1 << struct.calcsize(width) * 8) - 1)
    lay_out_any(data, bytes(image))


LINES = st.binary(max_size=40).map(lambda line: line.replace(b"\0", b" "))


@given(
    cmdline=st.one_of(LINES, st.sampled_from([b"x" * 4096, b"y" * 65536])),
    modules=st.lists(st.tuples(st.integers(0, 9 << 20), LINES), max_size=64),
    vcpus=st.integers(1, 128),
    acpi=st.booleans(),
)
def test_a_guest_is_told_where_everything_is(
    cmdline: bytes, modules: list[tuple[int, bytes]], vcpus: int, acpi: bool
) -> None:
    """Read the start info as a guest does: from the bytes that are written into its memory."""
    layout = lay_out(
        read_kernel(KERNEL, "k"),
        [ModuleSize("module", size, line) for size, line in modules],
        cmdline=cmdline,
        memory_mib=2048,
        vcpus=vcpus,
        acpi=acpi,
    )

    def memory(address: int, size: int) -> bytes:
        for row in layout.contents:
            if row.address <= address and address + size <= row.end:
                return bytes(row.data[address - row.address :][:size])
        raise AssertionError(f"{size} bytes at {address:#x} are not written")

    def text(address: int, length: int) -> bytes:
        return memory(address, length + 1).removesuffix(b"\0") if address else b""

    head = struct.unpack("<4I4Q2I", memory(layout.start_info, 56))
    _, _, _, count, modules_at, cmdline_at, rsdp, regions_at, lines, _ = head
    assert text(cmdline_at, len(cmdline)) == cmdline and count == len(modules)
    for number, (span, (size, line)) in enumerate(zip(layout.modules, modules, strict=True)):
        address, told, line_at, _ = struct.unpack("<4Q", memory(modules_at + 32 * number, 32))
        assert (address, told) == (span.address, size) and text(line_at, len(line)) == line
    rows = [struct.unpack("<QQII", memory(regions_at + 24 * number, 24))[:3] for number in range(lines)]
    assert rows == [(row.span.address, row.span.size, row.kind) for row in layout.regions]
    assert (memory(rsdp, 8) == b"RSD PTR ") if acpi else rsdp == 0
    (directory,) = struct.unpack("<I", memory(layout.ident_pt + 4 * 5, 4))
    assert directory >> 22 == 5 and directory & 0x81 == 0x81  # present, and 4 MiB


@given(st.integers(1, 8192), st.integers(1, 128))
def test_each_page_of_the_layout_is_given_once(memory: int, vcpus: int) -> None:
    """What is asked of Xen for a layout: all its frames, and no other."""
    layout = lay_out(read_kernel(SMALL, "k"), memory_mib=memory, vcpus=vcpus)
    given = [range(first, first + count) for span in layout.ram for first, count in batches(span)]
    for lower, upper in pairwise(given):
        assert lower.stop == upper.start or upper.start == FOUR_GIB >> 12
    assert sum(map(len, given)) == memory << 8
    assert given[0].start == 0 and all(len(frames) <= 512 * 64 for frames in given)


MOST_MORE = 40 << 20
"""Bytes that unpacking a bomb may take beyond what the process has."""


@pytest.mark.parametrize("form", sorted({*PACKERS} - {"plain"}))
def test_a_bomb_takes_little_memory(form: str) -> None:
    packed = PACKERS[form](b"\x7fELF" + bytes(64 << 20))
    gc.collect()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_MORE, before[1]))
    try:
        with pytest.raises(ImageInvalid, match="more than 4 MiB"):
            unpack(memoryview(packed), "k", 4 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "neither an ELF file nor a bzImage"),
        (b"\x7fELF", "little-endian"),
        (KERNEL[:40], "truncated"),
        (KERNEL[:-30], "truncated"),
        (elf(0, [(0, b"x", 1)], notes=b""), "no PHYS32_ENTRY note"),
        (elf(0, [(0, b"x", 1)], notes=note(0)[:-2]), "notes are truncated"),
        (elf(9, [(0, b"x", 1)]), "in none of its segments"),
        (elf(0, [(0, b"xyz", 1)]), "more bytes in the file than in memory"),
        (elf(0, [(0, b"x", 0x2000), (0x1000, b"x", 1)]), "overlap"),
        (elf(0, [(0, b"x", 1), (0xFFFFFFFF, b"x", 2)]), "past 4 GiB"),
        (elf(0, []), "nothing to load"),
        (bzimage(b"\x7fELF", version=0x207), "boot protocol 2.07"),
        (bzimage(b"\x7fELF", length=9999), "truncated"),
        (bzimage(b"none of them"), "packed in an unknown way"),
    ],
)
def test_refusals_say_why(data: bytes, why: str) -> None:
    with pytest.raises(ImageInvalid, match=why):
        read_kernel(data, "k")


def test_a_kernel_beyond_the_memory_is_refused() -> None:
    kernel = read_kernel(KERNEL, "k")
    with pytest.raises(ImageInvalid, match="k: it does not fit into 16 MiB"):
        lay_out(kernel, name="k", memory_mib=16)
    with pytest.raises(ImageInvalid, match="initrd: it does not fit: 32 MiB"):
        lay_out(kernel, [ModuleSize("initrd", 20 << 20)], memory_mib=32)


@pytest.mark.parametrize(
    "wrong",
    [{"memory_mib": 0}, {"memory_mib": 1 << 40}, {"vcpus": 0}, {"vcpus": 129}, {"cmdline": b"\0"}],
)
def test_wrong_numbers_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigInvalid):
        lay_out(read_kernel(KERNEL, "k"), **wrong)  # type: ignore[arg-type]


def test_memory_above_four_gib() -> None:
    layout = lay_out(read_kernel(KERNEL, "k"), memory_mib=5 << 10)
    assert layout.ram == (Span(0, HOLE_AT), Span(FOUR_GIB, (5 << 30) - HOLE_AT))
    kinds = [(row.span.address, row.kind) for row in layout.regions]
    assert kinds == [
        (0, MemoryType.RAM),
        (0xFC000000, MemoryType.ACPI),
        (0xFEFF8000, MemoryType.RESERVED),
        (FOUR_GIB, MemoryType.RAM),
    ]


def test_start_info() -> None:
    modules = (ModulePlace(Span(0x200000, 7), b"root"), ModulePlace(Span(0x400000, 0), b""))
    layout = lay_out(read_kernel(KERNEL, "k"))
    data = start_info_bytes(StartInfo(b"console=hvc0", modules, layout.regions, 0xFC000000), 0x1000)

    def text(address: int) -> bytes:
        return data[address - 0x1000 :].split(b"\0")[0]

    magic, version, flags, count, mods, cmdline, rsdp, memmap, lines, _ = struct.unpack_from("<4I4Q2I", data)
    assert (magic, version, flags, count, rsdp) == (0x336EC578, 1, 0, 2, 0xFC000000)
    assert text(cmdline) == b"console=hvc0"
    first = struct.unpack_from("<4Q", data, mods - 0x1000)
    assert first[:2] == (0x200000, 7) and text(first[2]) == b"root"
    assert struct.unpack_from("<4Q", data, mods - 0x1000 + 32) == (0x400000, 0, 0, 0)
    assert struct.unpack_from("<QQII", data, memmap - 0x1000) == (0, 256 << 20, 1, 0)
    assert lines == len(layout.regions)


@given(st.integers(1, 200))
def test_acpi_tables_have_their_sums_and_processors(vcpus: int) -> None:
    base = 0xFC000000
    data = acpi_tables(base, vcpus).data
    assert sum(data[:20]) & 0xFF == 0 and sum(data[:36]) & 0xFF == 0
    (xsdt,) = struct.unpack_from("<Q", data, 24)
    tables = {}
    for address in (xsdt, *struct.unpack_from("<2Q", data, xsdt - base + 36)):
        at = address - base
        signature, length = struct.unpack_from("<4sI", data, at)
        table = tables[signature] = data[at : at + length]
        assert len(table) == length and sum(table) & 0xFF == 0
    (dsdt,) = struct.unpack_from("<Q", tables[b"FACP"], 140)
    assert data[dsdt - base :][:4] == b"DSDT"
    assert struct.unpack_from("<I", tables[b"FACP"], 112)[0] >> 20 & 1
    identities, at = [], 44
    madt = tables[b"APIC"]
    while at < len(madt):
        kind, size = madt[at], madt[at + 1]
        identities.append(madt[at + 3] if kind == 0 else struct.unpack_from("<I", madt, at + 4)[0])
        assert (kind, size) == ((0, 8) if identities[-1] <= 254 else (9, 16))
        at += size
    assert identities == [vcpu * 2 for vcpu in range(vcpus)]


@given(st.integers(0, WRAP - 1), st.integers(0, WRAP - 1), st.sampled_from([1024, 2048]))
def test_ring_positions(cons: int, prod: int, size: int) -> None:
    used, free = used_pieces(cons, prod, size), free_pieces(cons, prod, size)
    unread = (prod - cons) % WRAP
    if unread > size:
        assert used is None and free is None
        return
    assert used is not None and free is not None
    places = [at + place for at, length in (*used, *free) for place in range(length)]
    assert sorted(places) == [*range(size)]
    assert sum(length for _, length in used) == unread


@given(st.integers(0, WRAP - 1), st.integers(0, 2048))
def test_ring_content_is_read_in_order(cons: int, unread: int) -> None:
    pieces = used_pieces(cons, (cons + unread) % WRAP, 2048)
    assert pieces is not None
    places = [at + place for at, length in pieces for place in range(length)]
    assert places == [(cons + step) % 2048 for step in range(unread)]
