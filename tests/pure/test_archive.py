"""Boot logs in archives that others made: found by content, read with limits, never unpacked."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.hosts import INTEL_LOG
from xenapic.cli.app import app
from xenapic.errors import FileUnreadable, LogInvalid
from xenapic.model.logged import host_from_log
from xenapic.parse import archive as module
from xenapic.parse.archive import is_archive, open_archive

INFO = b"nr_cpus : 7\nvirt_caps : pv hvm hvm_directio shadow\nxen_version : 4.17.7\nxen_commandline : x\n"
FILES = {
    "bug-report/etc/hosts": b"127.0.0.1\n",
    "bug-report/kern.log": b"(XEN) HVM: VMX enabled\n",
    "bug-report/xl-dmesg.out": INTEL_LOG,
    "bug-report/xl-info.out": INFO,
}


def tar(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


KINDS: dict[str, Callable[[Mapping[str, bytes]], bytes]] = {
    "tar": tar,
    "tar.gz": lambda files: tar(files, "w:gz"),
    "tar.bz2": lambda files: tar(files, "w:bz2"),
    "tar.xz": lambda files: tar(files, "w:xz"),
    "zip": zipped,
    "zip, stored": lambda files: zipped(files, zipfile.ZIP_STORED),
    "a tar in a zip": lambda files: zipped({"report.tar.bz2": tar(files, "w:bz2")}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_is_found_by_its_content(kind: str) -> None:
    data = KINDS[kind](FILES)
    assert is_archive(data)
    made = host_from_log(data, name="report")
    fact = made.host.features["tpr_shadow"]
    inner = "report.tar.bz2/" if "in a zip" in kind else ""
    assert fact.source == f"report: {inner}bug-report/xl-dmesg.out, line 4: 'APIC TPR shadow'"
    assert made.host.physinfo.nr_cpus == 7, "xl info in the archive counts too"
    assert any("there are boot logs also in" in note and "kern.log" in note for note in made.warnings)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_log_that_is_only_compressed(compress: Callable[[bytes], bytes]) -> None:
    made = host_from_log(compress(INTEL_LOG), name="xl-dmesg.gz")
    assert made.host.features["tpr_shadow"].source == "xl-dmesg.gz, line 4: 'APIC TPR shadow'"


def test_the_command_takes_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "report.tar.gz"
    path.write_bytes(tar(FILES, "w:gz"))
    done = CliRunner().invoke(app, ["host", "--log", str(path)])
    assert done.exit_code == 0 and "bug-report/xl-dmesg.out was taken" in " ".join(done.stderr.split())
    assert CliRunner().invoke(app, ["plan", "--log", "-"], input=path.read_bytes()).exit_code == 0


def test_links_and_names_reach_nothing_outside() -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, kind, target in (
            ("a", tarfile.SYMTYPE, "/etc/passwd"),
            ("b", tarfile.LNKTYPE, "c"),
            ("d", tarfile.CHRTYPE, ""),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            archive.addfile(entry)
        entry = tarfile.TarInfo("../../\x1b[31m/xl-dmesg")
        entry.size = len(INTEL_LOG)
        archive.addfile(entry, io.BytesIO(INTEL_LOG))
    opened = open_archive(made.getvalue(), "report.tar")
    assert opened.name == "report.tar: ../../?[31m/xl-dmesg" and opened.log == INTEL_LOG and not opened.notes


@pytest.mark.parametrize("kind", ["tar.gz", "tar.xz", "zip", "tar"])
def test_an_archive_without_a_log(kind: str) -> None:
    with pytest.raises(LogInvalid, match="no file in it has a line of Xen's about VMX or SVM"):
        host_from_log(KINDS[kind]({"a": b"x"}), name="report")


def test_a_damaged_archive() -> None:
    data = tar({"xl-dmesg": INTEL_LOG, "random": bytes(range(256)) * 4000}, "w:gz")
    with pytest.raises(FileUnreadable, match="damaged, encrypted or cut off; no boot log was found"):
        open_archive(data[:40], "report")
    plain = tar({"xl-dmesg": INTEL_LOG, "more": b"x" * 4000})
    opened = open_archive(plain[: 512 + 1024 + 512 + 700], "report")
    assert opened.log == INTEL_LOG
    for at in range(0, len(data), max(1, len(data) // 40)):
        with suppress(FileUnreadable):
            open_archive(data[:at], "report")


def test_a_member_without_a_name_is_an_error_of_ours() -> None:
    data = zipped({"a": INTEL_LOG})
    start, end = data.rindex(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    entry = data[start : start + 28] + b"\0\0" + data[start + 30 : end].removesuffix(b"a")
    size = (end - start - 1).to_bytes(4, "little")
    nameless = data[:start] + entry + data[end : end + 12] + size + data[end + 16 :]
    with pytest.raises(FileUnreadable):
        open_archive(nameless, "nameless")


def test_bombs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TOTAL", 1 << 20)
    monkeypatch.setattr(module, "MAX_MEMBERS", 50)
    many = {f"{number}": b"x" for number in range(60)}
    big = {str(number): b"\0" * (300 << 10) for number in range(5)}
    for kind in ("tar.gz", "tar.bz2", "tar.xz", "tar", "zip", "a tar in a zip"):
        for files, text in ((many, "more than 50 files"), (big, "more than 1 MiB")):
            with pytest.raises(FileUnreadable, match=text):
                open_archive(KINDS[kind](files), "bomb")
    with pytest.raises(FileUnreadable, match="more than 1 MiB"):
        open_archive(gzip.compress(b"\0" * (2 << 20)), "bomb")
    nested = INTEL_LOG
    for _ in range(9):
        nested = zipped({"a.zip": nested})
    assert open_archive(nested, "bomb").log is None


def test_what_was_read_before_a_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TOTAL", 1 << 20)
    opened = open_archive(tar({"xl-dmesg": INTEL_LOG, "big": b"\0" * (2 << 20)}, "w:gz"), "report")
    assert opened.log == INTEL_LOG and "more than 1 MiB" in opened.notes[0]


def test_an_encrypted_or_unusual_zip_member_is_passed_over() -> None:
    data = bytearray(zipped({"xl-dmesg": INTEL_LOG}))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1  # general purpose bit 0: encrypted
    assert open_archive(bytes(data), "report").log is None
    assert open_archive(zipped({"xl-dmesg": INTEL_LOG}, zipfile.ZIP_LZMA), "report").log is None


def test_no_archive() -> None:
    assert not is_archive(INTEL_LOG) and not is_archive(b"") and not is_archive(b"PK")
