"""A guest's console, with a page in memory instead of a guest."""

from __future__ import annotations

import io
import re
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenapic.errors import GuestFailed
from xenapic.live import guestconsole
from xenapic.live.guestconsole import KEPT_BYTES, GuestConsole
from xenapic.live.images import PIECE_BYTES, Source, kernel_bytes
from xenapic.loader.ring import IN_BYTES, IN_CONS_AT, IN_PROD_AT, OUT_BYTES, OUT_CONS_AT, OUT_PROD_AT, WRAP


class Page:
    """The page that the guest and the console share."""

    def __init__(self) -> None:
        self.memory = bytearray(4096)
        self.closed = False

    def number(self, at: int) -> int:
        (value,) = struct.unpack_from("<I", self.memory, at)
        return int(value)

    def set_number(self, at: int, value: int) -> None:
        struct.pack_into("<I", self.memory, at, value)

    def read(self, at: int, size: int) -> bytes:
        return bytes(self.memory[at : at + size])

    def write(self, at: int, data: bytes) -> None:
        self.memory[at : at + len(data)] = data

    def close(self) -> None:
        self.closed = True

    def say(self, data: bytes) -> None:
        """Print as a guest does that has room."""
        prod = self.number(OUT_PROD_AT)
        for step, byte in enumerate(data):
            self.memory[0x400 + (prod + step) % OUT_BYTES] = byte
        self.set_number(OUT_PROD_AT, (prod + len(data)) % WRAP)

    def hear(self) -> bytes:
        """Read as a guest does."""
        cons, prod = self.number(IN_CONS_AT), self.number(IN_PROD_AT)
        heard = bytes(self.memory[(cons + step) % IN_BYTES] for step in range((prod - cons) % WRAP))
        self.set_number(IN_CONS_AT, prod)
        return heard


class FakeChannel:
    """An event channel whose events come at once."""

    def __init__(self, *_arguments: Any) -> None:
        self.notified = 0

    def wait(self, seconds: float, *descriptors: int) -> bool:
        return True

    def notify(self) -> None:
        self.notified += 1

    def close(self) -> None:
        pass


def console(page: Page, **options: Any) -> GuestConsole:
    handle: Any = SimpleNamespace(
        library=None,
        hvm=SimpleNamespace(parameter=lambda domid, number: 1),
        memory=SimpleNamespace(window=lambda domid, frame: page),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guestconsole, "Channel", FakeChannel)
        return GuestConsole(handle, 1, **options)


@given(st.lists(st.binary(min_size=1, max_size=OUT_BYTES), max_size=8), st.integers(0, WRAP - 1))
def test_all_output_comes_in_order(pieces: list[bytes], start: int) -> None:
    page, log = Page(), io.BytesIO()
    page.set_number(OUT_CONS_AT, start)
    page.set_number(OUT_PROD_AT, start)
    served = console(page, log=log)
    for piece in pieces:
        page.say(piece)
        assert served.read() == piece
    assert log.getvalue() == b"".join(pieces) and served.read() == b"" and served.lost == 0


@given(st.lists(st.integers(0, WRAP - 1), min_size=4, max_size=4))
def test_a_guest_that_writes_nonsense_harms_only_itself(numbers: list[int]) -> None:
    page = Page()
    served = console(page)
    for at, number in zip((IN_CONS_AT, IN_PROD_AT, OUT_CONS_AT, OUT_PROD_AT), numbers, strict=True):
        page.set_number(at, number)
    assert len(served.read()) <= OUT_BYTES
    try:
        assert served.put(b"abc") <= 3
    except GuestFailed as error:
        assert "damaged its console's ring" in str(error)
    page.set_number(OUT_CONS_AT, page.number(OUT_PROD_AT))
    page.say(b"sane again")
    assert served.read() == b"sane again"


def test_expect_takes_what_it_waited_for() -> None:
    page = Page()
    served = console(page)
    page.say(b"booting\nlogin: and more")
    assert served.expect(b"login:") == b"booting\nlogin:"
    assert served.expect(re.compile(rb"m[a-z]+e")) == b" and more"
    with pytest.raises(GuestFailed, match=r"0 s passed before it printed b'never'"):
        served.expect(b"never", timeout=0)


def test_expect_ends_with_the_guest() -> None:
    page = Page()
    served = console(page, ended=lambda: True)
    page.say(b"Kernel panic")
    with pytest.raises(GuestFailed, match="domain 1 ended before") as caught:
        served.expect(b"login:")
    assert caught.value.seen == b"Kernel panic"


def test_a_long_text_is_written_as_the_guest_reads_it() -> None:
    page = Page()
    heard: list[bytes] = []

    def guest_reads(seconds: float) -> float:
        heard.append(page.hear())
        return 0.0

    text = bytes(range(256)) * 12
    console(page, meanwhile=guest_reads).write(text)
    assert b"".join([*heard, page.hear()]) == text


def test_a_guest_that_reads_nothing_stops_a_write() -> None:
    with pytest.raises(GuestFailed, match="did not read its console"):
        console(Page()).write(bytes(IN_BYTES + 1), timeout=0)


def test_a_flood_is_bounded() -> None:
    page = Page()
    served = console(page)
    served.output += bytes(KEPT_BYTES)
    page.say(b"the last")
    served.pump()
    assert len(served.output) == KEPT_BYTES and served.tail().endswith(b"the last")


def test_images_are_read_in_pieces(tmp_path: Any) -> None:
    file = tmp_path / "image"
    content = bytes(range(256)) * (PIECE_BYTES // 256) + b"rest"
    file.write_bytes(content)
    source = Source(str(file), "module 0")
    assert b"".join(piece for _, piece in source.pieces()) == content
    assert kernel_bytes(str(file)) == (content, str(file))
    file.write_bytes(b"short")
    with pytest.raises(ValueError, match="became shorter"):
        list(source.pieces())
    source.close()
    for missing, why in ((tmp_path / "none", "no such file"), (tmp_path, "not a regular file")):
        with pytest.raises(Exception, match=why):
            Source(str(missing), "module 0")
