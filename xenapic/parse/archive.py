"""Find a host's boot log in an archive that somebody sent: tar or zip, gzip, bzip2 or xz, by content.

An archive is hostile data. Members are read one after another into memory, with a limit on each, on their
number and on all of them together; nothing is written to disk, links are not followed, and a member's name is
only shown.
"""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from xenapic.errors import FileUnreadable
from xenapic.frozen import dataclass

__all__ = ["Opened", "is_archive", "open_archive"]

MAX_TOTAL = 256 << 20
"""Decompressed bytes of a whole archive; more than bug reports have."""
MAX_MEMBER = 16 << 20
MAX_MEMBERS = 20_000
MAX_DEPTH = 3
"""Archives within archives, compression included."""
MAX_NAME = 160
CHUNK = 1 << 16
LZMA_MEMORY = 128 << 20

ZIP_ENTRY = b"PK\x01\x02"
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Those of which zipfile decompresses no more than it is asked for."""
TAR_MAGIC = (257, b"ustar")
LOG = (b"VMX: Supported advanced features:", b"SVM: Supported advanced features:")
WEAK_LOG = (b"HVM: VMX enabled", b"HVM: SVM enabled", b"VMX: failed to init", b"SVM: failed to init")
INFO = (b"xen_version ", b"virt_caps ")
XE = (b"cpu_info (", b"modelname:", b"modelname :")
NAMES = ("xl-dmesg", "xl_dmesg", "xl dmesg", "xen-dmesg", "xen_dmesg", "hypervisor.log", "xl-info", "xl_info")
"""What bug tools call the files; a name decides only between members that all have a log."""
FAILURES = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,  # an encrypted member, a compression that zipfile lacks
    ValueError,
    OverflowError,
    IndexError,  # zipfile, of a member without a name
)


@dataclass(frozen=True, slots=True)
class Opened:
    """What was found in an archive."""

    name: str
    """The archive's name and the member's."""
    log: bytes | None
    """The content of the member with a boot log; None if none has one."""
    infos: tuple[tuple[str, bytes], ...]
    """Names and contents of members with ``xl info`` or ``xe host-param-list``."""
    notes: tuple[str, ...]


class _TooMuch(Exception):
    pass


class _Budget:
    """Counts what is decompressed."""

    def __init__(self) -> None:
        self.left = MAX_TOTAL
        self.members = MAX_MEMBERS

    def take(self, size: int) -> None:
        """Count bytes; raise `_TooMuch` beyond the limit."""
        self.left -= size
        if self.left < 0:
            raise _TooMuch(f"it holds more than {MAX_TOTAL >> 20} MiB")

    def member(self) -> None:
        """Count a member; raise `_TooMuch` beyond the limit."""
        self.members -= 1
        if self.members < 0:
            raise _TooMuch(f"it holds more than {MAX_MEMBERS} files")


class _Unpacked(io.RawIOBase):
    """A compressed stream, decompressed as it is read and counted."""

    def __init__(self, data: bytes, decompressor: Any, budget: _Budget) -> None:
        self._rest = io.BytesIO(data)
        self._decompressor = decompressor
        self._budget = budget
        self._input = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Decompress up to the size of the buffer."""
        while not self._decompressor.eof:
            self._input = self._input or self._rest.read(CHUNK)
            ended = not self._input
            made = self._decompress(len(buffer))
            self._budget.take(len(made))
            if made:
                buffer[: len(made)] = made
                return len(made)
            if ended:
                raise EOFError("the compressed data end early")
        return 0

    def _decompress(self, limit: int) -> bytes:
        given, self._input = self._input, b""
        made: bytes = self._decompressor.decompress(given, limit)
        self._input = getattr(self._decompressor, "unconsumed_tail", b"")  # only zlib hands it back
        return made


DECOMPRESSORS: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x1f\x8b\x08", lambda: zlib.decompressobj(31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\0", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, LZMA_MEMORY)),
)


def is_archive(data: bytes) -> bool:
    """Return True if the data are an archive, or compressed, by their first bytes."""
    return _is_zip(data) or _is_tar(data) or any(data.startswith(magic) for magic, _make in DECOMPRESSORS)


def _is_zip(data: bytes) -> bool:
    return data.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def _is_tar(data: bytes) -> bool:
    at, magic = TAR_MAGIC
    return data[at : at + len(magic)] == magic


def open_archive(data: bytes, name: str) -> Opened:
    """Return the boot log in an archive, and what ``xl info`` or ``xe`` say there.

    ``name`` is what to call the archive. If several members have a boot log, the one that bug tools name so
    is taken, else the first, and a note says it. Raises `FileUnreadable` for an archive that is damaged or
    too large before anything was found.
    """
    logs: list[tuple[str, bytes]] = []
    infos: list[tuple[str, bytes]] = []
    notes = []
    try:
        for member, content in _members(data, "", _Budget(), MAX_DEPTH):
            plain = content.replace(b"\0", b"")
            title = f"{name}: {_shown(member)}" if member else name
            if any(text in plain for text in LOG) or any(text in plain for text in WEAK_LOG):
                logs.append((title, content))
            elif all(text in plain for text in INFO) or any(text in plain for text in XE):
                infos.append((title, content))
    except (*FAILURES, _TooMuch) as error:
        why = str(error) if isinstance(error, _TooMuch) else "the archive is damaged, encrypted or cut off"
        if not logs:
            raise FileUnreadable(name, f"{why}; no boot log was found before that") from None
        notes.append(f"{name}: {why}; what was read before that counts")
    if not logs:
        return Opened(name, None, tuple(infos), tuple(notes))
    best = min(range(len(logs)), key=lambda at: (_rank(*logs[at]), at))
    if len(logs) > 1:
        others = ", ".join(title.removeprefix(f"{name}: ") for title, _log in logs if title != logs[best][0])
        notes.append(f"{logs[best][0]} was taken; there are boot logs also in {others[:400]}")
    return Opened(*logs[best], tuple(infos[:4]), tuple(notes))


def _rank(title: str, content: bytes) -> tuple[bool, bool]:
    """Return what to sort by: a list of features first, then a file that is called like a log of Xen's."""
    plain = content.replace(b"\0", b"")
    file = title.rsplit("/", 1)[-1].lower()
    return not any(text in plain for text in LOG), not any(word in file for word in NAMES)


def _shown(name: str) -> str:
    """Return a member's name as it can be printed."""
    text = "".join(character if character.isprintable() else "?" for character in name[:MAX_NAME])
    return text.encode("utf-8", "replace").decode()


def _members(data: bytes, name: str, budget: _Budget, depth: int) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of everything in the data that is no archive itself."""
    if depth == 0:
        return
    if _is_zip(data):
        found = _of_zip(data, budget)
    elif _is_tar(data):
        found = _of_tar(io.BytesIO(data), budget)
    else:
        made = next((make for magic, make in DECOMPRESSORS if data.startswith(magic)), None)
        if made is None:
            yield name, data
            return
        found = _of_stream(data, made, budget)
    for member, content in found:
        inner = "/".join(filter(None, (name, member)))
        if is_archive(content):
            yield from _members(content, inner, budget, depth - 1)
        else:
            yield inner, content


def _of_stream(data: bytes, make: Callable[[], Any], budget: _Budget) -> Iterator[tuple[str, bytes]]:
    """Yield what is compressed: the members of a tar archive, or the one content."""
    start = io.BufferedReader(_Unpacked(data, make(), _Budget()), 512).read(512)
    stream = io.BufferedReader(_Unpacked(data, make(), budget), CHUNK)
    if _is_tar(start):
        yield from _of_tar(stream, budget, counted=True)
    else:
        yield "", stream.read(MAX_MEMBER)


def _of_tar(stream: Any, budget: _Budget, counted: bool = False) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK) as archive:
        for member in archive:
            budget.member()
            archive.members.clear()  # type: ignore[attr-defined]  # it keeps all of them otherwise
            if not member.isreg() or member.size > MAX_MEMBER:
                continue
            file = archive.extractfile(member)
            if file is not None:
                content = file.read(MAX_MEMBER)
                if not counted:
                    budget.take(len(content))
                yield member.name, content


def _of_zip(data: bytes, budget: _Budget) -> Iterator[tuple[str, bytes]]:
    if data.count(ZIP_ENTRY) > MAX_MEMBERS:
        raise _TooMuch(f"it holds more than {MAX_MEMBERS} files")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            budget.member()
            if entry.is_dir() or entry.flag_bits & 1 or entry.compress_type not in ZIP_METHODS:
                continue
            with archive.open(entry) as file:
                content = file.read(MAX_MEMBER + 1)
            budget.take(len(content))
            if len(content) <= MAX_MEMBER:
                yield entry.filename, content
