"""Xens that are brought to the lab: what is taken, what is refused and why. No emulator."""

from __future__ import annotations

import gzip
import json
import lzma
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.abi.test_proof import headers_of
from tests.kernels import bzimage, elf
from xenapic.abi.generations import RELEASES
from xenapic.cli.app import app
from xenapic.lab import catalog, xens
from xenapic.lab.added import AddedXen, added, added_names, remove
from xenapic.lab.errors import LabUsageError
from xenapic.lab.hypervisor import START, read_hypervisor
from xenapic.lab.kernel import without_zeros

MULTIBOOT = struct.pack("<I", 0x1BADB002)
STRINGS = (
    b"\0Debian\0gcc 12.2.0\0.7\0<denied>\0debug=y \0Thu Nov 20 10:00:00 2025 +0100 git:0123abcd45-dirty\0"
)


def hypervisor(strings: bytes = STRINGS, machine: int = 3) -> bytes:
    """A 32-bit ELF file as a boot loader takes it."""
    header = b"\x7fELF\x01\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 2, machine)
    return header.ljust(128, b"\0") + MULTIBOOT + strings


def xen_syms(paddr: int = 0x200000, entry: int = 0x200000) -> bytes:
    """A 64-bit ELF file with one segment, and notes that nothing loads."""
    body = MULTIBOOT + STRINGS
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 2, 0x3E, 1, entry, 64, 0, 0, 64, 56, 2, 0, 0, 0
    )
    virtual = 0xFFFF82D040200000
    load = struct.pack("<IIQQQQQQ", 1, 7, 4096, virtual, paddr, len(body), 0x300000, 64)
    note = struct.pack("<IIQQQQQQ", 4, 4, 4096, virtual, paddr, 16, 16, 4)
    return (header + load + note).ljust(4096, b"\0") + body


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A libxenctrl of 4.17, one of 4.20, one that needs a library of Xen's, and one with the newest C library."""
    home = tmp_path_factory.mktemp("compiled")

    def shared(soname: str, *more: str, into: str = "") -> None:
        (home / into).mkdir(exist_ok=True)
        target = str(home / into / f"{soname}.0")
        command = ["gcc", "-shared", "-nostdlib", "-x", "c", "/dev/null", "-x", "none", "-o", target]
        subprocess.run([*command, f"-Wl,-soname,{soname}", *more], check=True)

    shared("libxenctrl.so.4.17", into="a")
    shared("libxenctrl.so.4.20", into="b")
    shared("libxennew.so.1", into="new")
    shared("libxenctrl.so.4.20", "-Wl,--no-as-needed", str(home / "new/libxennew.so.1.0"), into="lonely")
    return home


@pytest.fixture
def given(compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with what somebody has; the lab's cache is empty."""
    monkeypatch.setenv("XENAPIC_CACHE", str(tmp_path / "cache"))
    home = tmp_path / "given"
    shutil.copytree(compiled, home)
    (home / "xen.gz").write_bytes(gzip.compress(hypervisor()))
    return home


def lab(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["lab", *map(str, arguments)])


def add(*arguments: object) -> Result:
    done = lab("add", *arguments)
    assert done.exit_code == 0, done.output
    return done


def refused(*arguments: object) -> str:
    done = lab("add", *arguments)
    assert done.exit_code, done.output
    return str(done.exception) + done.output


def test_what_is_taken_is_read_copied_and_listed(given: Path) -> None:
    add("mine", "--hypervisor", given / "xen.gz", "--libraries", given / "a", "--xen-args", "apicv=0 x=1")
    mine = added("mine")
    assert mine is not None
    assert (mine.xen, mine.release, mine.debug, mine.root) == ("4.17.7", "4.17", True, "bookworm")
    assert mine.changeset.endswith("git:0123abcd45-dirty")
    assert catalog.xen_args(mine) == ("apicv=0", "x=1")
    assert mine.taken["hypervisor"]["path"] == str(given / "xen.gz")
    assert len(mine.taken["libxenctrl.so.4.17"]["sha256"]) == 64
    (given / "xen.gz").unlink()
    assert (mine.entry.path / "xen").read_bytes() == hypervisor()
    assert (
        b"overlay/usr/lib/x86_64-linux-gnu/libxenctrl.so.4.17"
        in (mine.entry.path / "libraries.cpio").read_bytes()
    )
    assert lab("list").output.split("mine")[1].split()[:3] == ["4.17.7", "debug", "Thu"]
    (entry,) = [row for row in json.loads(lab("list", "--json").output)["xens"] if row["name"] == "mine"]
    assert entry["options"] == ["apicv=0", "x=1"] and entry["origin"] == "added"


def test_adding_again_replaces_and_removing_removes(given: Path) -> None:
    add("mine", "--hypervisor", given / "xen.gz", "--libraries", given / "a")
    add("mine", "--hypervisor", given / "xen.gz", "--libraries", given / "b")
    assert added("mine").release == "4.20"  # type: ignore[union-attr]
    assert catalog.names() == ["4.17", "4.20", "mine"]
    assert lab("remove", "mine").exit_code == 0
    assert added_names() == [] and lab("remove", "mine").exit_code == 2
    with pytest.raises(LabUsageError, match=r"no Xen 'mine' in the lab; there are: 4\.17, 4\.20"):
        catalog.find("mine")
    with pytest.raises(LabUsageError, match="part of the lab"):
        remove("4.17")


def test_a_failed_addition_leaves_the_earlier_one(given: Path) -> None:
    add("mine", "--hypervisor", given / "xen.gz", "--libraries", given / "a")
    refused("mine", "--hypervisor", given / "xen.gz", "--libraries", given / "lonely")
    assert added("mine").release == "4.17"  # type: ignore[union-attr]
    assert not list((given.parent / "cache/lab/added/mine").glob("making-*"))


@pytest.mark.parametrize("prefix", ["usr", "usr/local", "opt/xen-4.20"])
def test_a_tree_with_any_prefix(given: Path, prefix: str) -> None:
    place = given / "src/dist/install"
    (place / "boot").mkdir(parents=True)
    shutil.copy(given / "xen.gz", place / "boot/xen-4.20.1.gz")
    (place / "boot/xen.gz").symlink_to("xen-4.20.1.gz")
    shutil.copytree(given / "b", place / prefix / "lib")
    for tree in (given / "src", given / "src/dist", place):
        add("tree", "--tree", tree)
        assert added("tree").release == "4.20"  # type: ignore[union-attr]
    found = catalog.find(f"{given}/src")
    assert found.version in added_names() and found.version.startswith("src-")
    same = catalog.find(given / "src")
    assert same == found, "unchanged: what was copied stays, and with it the snapshots"
    (place / "boot/xen-4.20.1.gz").write_bytes(gzip.compress(hypervisor().replace(b"debug=y", b"debug=n")))
    rebuilt = catalog.find(f"{given}/src")
    assert isinstance(found, AddedXen) and isinstance(rebuilt, AddedXen)
    assert (found.debug, rebuilt.debug) == (True, False) and rebuilt.version == found.version
    (rebuilt.entry.path / "xen").write_bytes(b"damaged")
    again = catalog.find(given / "src")
    assert isinstance(again, AddedXen) and again.entry.problem() is None
    shutil.copy(given / "xen.gz", place / "boot/xen-4.19.0.gz")
    assert "several hypervisors" in refused("tree", "--tree", place)


def test_a_build_that_was_not_installed(given: Path) -> None:
    source = given / "src"
    (source / "xen").mkdir(parents=True)
    (source / "xen/xen-syms").write_bytes(xen_syms())
    assert "no libxenctrl" in refused("tree", "--tree", source)
    shutil.copytree(given / "b", source / "tools/libs/ctrl")
    add("tree", "--tree", source)
    assert added("tree").xen == "4.20.7"  # type: ignore[union-attr]


def test_packages(given: Path) -> None:
    root = given / "package"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: xen\nVersion: 1\nArchitecture: amd64\nMaintainer: me <me@example.org>\nDescription: x\n"
    )
    (root / "boot").mkdir()
    shutil.copy(given / "xen.gz", root / "boot/xen-4.17-amd64.gz")
    shutil.copytree(given / "a", root / "usr/lib/x86_64-linux-gnu")
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", str(root), str(given / "x.deb")], check=True, stdout=-3
    )
    done = add("distro", "--packages", given / "x.deb")
    assert "hypervisor: /boot/xen-4.17-amd64.gz" in done.output and "x.deb" in done.output
    assert "neither a .deb nor a .rpm" in refused("distro", "--packages", given / "xen.gz")


def test_an_rpm(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = given / "xen.rpm"
    package.write_bytes(b"\xed\xab\xee\xdb" + bytes(100))
    tools = given / "bin"
    tools.mkdir()
    for name in ("setpriv", "sh"):
        (tools / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(tools))
    assert "libarchive-tools" in refused("distro", "--packages", package)
    (tools / "bsdtar").write_text(
        f"#!/bin/sh\n/bin/mkdir -p $5/boot $5/usr && /bin/cp {given}/xen.gz $5/boot/xen-4.17.7.gz && "
        f"/bin/cp -r {given}/a $5/usr/lib64\n"
    )
    (tools / "bsdtar").chmod(0o755)
    add("distro", "--packages", package)
    assert added("distro").release == "4.17"  # type: ignore[union-attr]


SPEC = """Name: xen
Version: 4.17.7
Release: 1
Summary: x
License: GPLv2
AutoReqProv: no
%description
x
%install
mkdir -p %{{buildroot}}/boot %{{buildroot}}/usr
cp {given}/xen.gz %{{buildroot}}/boot/xen-4.17.7.gz
cp -r {given}/a %{{buildroot}}/usr/lib64
%files
/boot
/usr/lib64
"""


@pytest.mark.skipif(shutil.which("rpmbuild") is None, reason="needs rpmbuild")
@pytest.mark.parametrize("unpacker", ["bsdtar", "rpm2cpio"])
def test_a_package_made_by_rpmbuild(given: Path, unpacker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which(unpacker) is None:
        pytest.skip(f"needs {unpacker}")
    (given / "xen.spec").write_text(SPEC.format(given=given))
    settings = {"_topdir": given / "rpm", "debug_package": "%{nil}", "__os_install_post": "%{nil}"}
    defines = [word for name, value in settings.items() for word in ("--define", f"{name} {value}")]
    subprocess.run(["rpmbuild", *defines, "-bb", given / "xen.spec"], check=True, capture_output=True)
    (package,) = (given / "rpm/RPMS").glob("*/*.rpm")
    which = shutil.which
    hidden = {"bsdtar"} - {unpacker}
    monkeypatch.setattr(
        "xenapic.lab.gather.shutil.which", lambda name: None if name in hidden else which(name)
    )
    done = add("distro", "--packages", package)
    assert "hypervisor: /boot/xen-4.17.7.gz" in done.output
    assert added("distro").release == "4.17"  # type: ignore[union-attr]


def test_xen_syms_becomes_what_a_boot_loader_takes(tmp_path: Path) -> None:
    path = tmp_path / "xen-syms"
    for entry in (0x200000, 0xFFFF82D040200000):  # Xen links it with a physical or a virtual entry
        path.write_bytes(xen_syms(entry=entry))
        made = read_hypervisor(path)
        assert made.taken == "xen-syms" and made.image[4] == 1
        assert struct.unpack_from("<I", made.image, 24) == (0x200000,)
        kind, offset, virtual, physical, size, memory = struct.unpack_from("<IIIIII", made.image, 52)
        assert (kind, offset, virtual, physical, memory) == (1, START, 0x200000, 0x200000, 0x400000)
        assert made.image[START : START + 4] == MULTIBOOT and size == len(made.image) - START
        assert made.extra == ".7"


def test_a_hypervisor_that_says_its_release_must_be_that_of_the_libraries(given: Path) -> None:
    strings = b"\0-unstable\0Xen 4.23-unstable\n\0<denied>\0"
    (given / "xen.gz").write_bytes(hypervisor(strings))
    made = read_hypervisor(given / "xen.gz")
    assert (made.release, made.extra, made.changeset, made.debug) == ("4.23", "-unstable", "", None)
    said = refused("mine", "--hypervisor", given / "xen.gz", "--libraries", given / "a")
    assert "is Xen 4.23, and the libraries are of Xen 4.17" in said


REFUSED = {
    "is an EFI program": b"MZ" + bytes(200),
    "64-bit Arm": bytes(0x38) + b"ARMd" + bytes(100),
    "is built for 64-bit Arm": hypervisor(machine=0xB7),
    "no Multiboot header": hypervisor().replace(MULTIBOOT, b"none"),
    "cut short": gzip.compress(hypervisor())[:-10],
    "damaged gzip": b"\x1f\x8b" + b"\xff" * 100,
    "zstd or xz": b"\x28\xb5\x2f\xfd" + bytes(100),
    "neither an ELF file nor gzip": b"text",
    "nothing to load": xen_syms()[:64].ljust(300, b"\0"),
    "below 4 GiB": xen_syms(paddr=1 << 33),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_no_hypervisor_is_refused(why: str, given: Path) -> None:
    (given / "xen.gz").write_bytes(REFUSED[why])
    said = refused("mine", "--hypervisor", given / "xen.gz", "--libraries", given / "a")
    assert why in said and str(given / "xen.gz") in said


def test_libraries_that_do_not_fit_are_refused(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(libraries: str, *more: str) -> str:
        return refused("mine", "--hypervisor", given / "xen.gz", "--libraries", given / libraries, *more)

    assert "needs libxennew.so.1" in said("lonely")
    assert "no libxenctrl.so.4.N" in said("new")
    shutil.copy(given / "xen.gz", given / "xen-4.19.2.gz")
    wrong = refused("mine", "--hypervisor", given / "xen-4.19.2.gz", "--libraries", given / "a")
    assert "is Xen 4.19, and the libraries are of Xen 4.17" in wrong
    (given / "both").mkdir()
    for name in ("a", "b"):
        shutil.copytree(given / name, given / "both", dirs_exist_ok=True)
    assert "has several" in said("both")
    data = bytearray((given / "a/libxenctrl.so.4.17.0").read_bytes())
    data[18] = 0xB7
    (given / "arm").mkdir()
    (given / "arm/libxenctrl.so.4.17.0").write_bytes(data)
    assert "64-bit Arm" in said("arm")
    (given / "arm/libxenctrl.so.4.17.0").write_bytes(data[:100])
    assert "cannot be read as a library" in said("arm") or "64-bit Arm" in said("arm")
    assert "no root 'sid'" in said("a", "--root", "sid")


def test_the_root_of_dom0_follows_the_c_library(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xenapic.lab.libraries import Libraries

    def needing(minor: int) -> None:
        monkeypatch.setattr(Libraries, "glibc", (2, minor))

    given_both = ("--hypervisor", given / "xen.gz", "--libraries", given / "b")
    needing(38)
    add("mine", *given_both)
    assert added("mine").root == "trixie"  # type: ignore[union-attr]
    assert "use --root trixie" in refused("mine", *given_both, "--root", "bookworm")
    needing(99)
    assert "need glibc 2.99" in refused("mine", *given_both)
    needing(34)
    add("mine", *given_both, "--root", "trixie")
    assert added("mine").root == "trixie"  # type: ignore[union-attr]


def test_real_libraries_say_what_they_need() -> None:
    from xenapic.lab.elffiles import shared_object

    real = next(Path("/usr/lib").glob("*/libc.so.6"))
    described = shared_object(real)
    assert described.soname == "libc.so.6" and any("ld-linux" in name for name in described.needed)
    assert any(version.startswith("GLIBC_2.") for _file, version in described.versions)


@pytest.mark.parametrize("name", ["../x", "", "4.17", ".hidden", "a b", "x" * 65])
def test_bad_names(given: Path, name: str) -> None:
    assert refused(name, "--hypervisor", given / "xen.gz", "--libraries", given / "a")
    assert not (given.parent / "cache/lab/x").exists()


def test_incomplete_requests(given: Path) -> None:
    assert "nothing to add" in refused("mine")
    assert "no libxenctrl" in refused("mine", "--hypervisor", given / "xen.gz")
    assert "packages follow --packages" in refused("mine", given / "xen.gz")
    only_efi = given / "efi"
    (only_efi / "boot").mkdir(parents=True)
    (only_efi / "boot/xen-4.17.efi").write_bytes(b"MZ")
    assert "xen.efi alone" in refused("mine", "--tree", only_efi)


def test_a_release_that_is_not_known_needs_its_headers(given: Path) -> None:
    source = ["gcc", "-shared", "-nostdlib", "-x", "c", "/dev/null", "-Wl,-soname,libxenctrl.so.4.23"]
    (given / "new/libxennew.so.1.0").unlink()
    subprocess.run([*source, "-o", str(given / "new/libxenctrl.so.4.23")], check=True)
    parts = ("next", "--hypervisor", given / "xen.gz", "--libraries", given / "new")
    assert "does not know: give its --headers" in refused(*parts)
    headers = headers_of(RELEASES[-1], given / "include")
    assert "used with 4.22's layout" in add(*parts, "--headers", headers).output
    found = added("next")
    assert found is not None and (found.release, found.as_release) == ("4.23", "4.22")
    archive = (found.entry.path / "libraries.cpio").read_bytes()
    assert b"overlay/etc/xenapic/layout.json" in archive and b'"as_release": "4.22"' in archive
    assert "as 4.22" in lab("list").output
    headers_of(RELEASES[-1], headers, ("uint32_t max_vcpus;", "uint64_t max_vcpus;"))
    assert "xen_domctl_createdomain.max_vcpus" in refused(*parts, "--headers", headers)


KERNEL = elf(0x1000000, [(0x1000000, b"note: xen-3.0\0", 4096)])


def test_a_kernel_for_dom0(given: Path) -> None:
    parts = ("mine", "--hypervisor", given / "xen.gz", "--libraries", given / "a", "--kernel")
    kernel = given / "vmlinuz"
    for data in (KERNEL, bzimage(gzip.compress(KERNEL)), bzimage(lzma.compress(KERNEL))):
        kernel.write_bytes(data)
        assert f"kernel: {kernel}" in add(*parts, kernel).output
        found = added("mine")
        assert found is not None and (found.entry.path / "vmlinux").read_bytes() == without_zeros(KERNEL)
    for data, why in (
        (b"", "neither an ELF file nor a bzImage"),
        (b"text" * 400, "neither an ELF file nor a bzImage"),
        (bzimage(gzip.compress(KERNEL))[:-9], "truncated"),
        (bzimage(lzma.compress(KERNEL)[:-40]), "damaged"),
        (bzimage(gzip.compress(KERNEL.replace(b"xen-3.0", b"no-xen3"))), "built without CONFIG_XEN_DOM0"),
    ):
        kernel.write_bytes(data)
        said = refused(*parts, kernel)
        assert why in said and str(kernel) in said


def test_a_damaged_copy_is_said(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add("mine", "--hypervisor", given / "xen.gz", "--libraries", given / "a")
    monkeypatch.setattr(
        "xenapic.lab.added.ensure_release", lambda *_a, **_k: xens.XenFiles(given, given, given, given, "x")
    )
    found: Any = catalog.find("mine")
    files = catalog.ensure(found, print)
    assert files.hypervisor.name == "xen" and files.archives[1].name == "libraries.cpio"
    with (found.entry.path / "xen").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(LabUsageError, match="add it again"):
        catalog.ensure(found, print)
    (found.entry.path / "manifest.json").write_text("{}")
    with pytest.raises(LabUsageError, match="add it again"):
        catalog.find("mine")
