"""Frames: whatever is written is read back, and an incomplete frame is refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xenapic.lab.frames import SECTOR, STDERR, STDOUT, Decoder, encode

FRAMES = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=3000)))


def blob(frames: list[tuple[int, bytes]]) -> bytes:
    return b"".join(encode(n, stream, data) for n, (stream, data) in enumerate(frames))


@given(FRAMES, st.integers(1, 1500))
def test_frames_survive_arriving_in_pieces(frames: list[tuple[int, bytes]], step: int) -> None:
    written = blob(frames)
    decoder, read, at = Decoder(), [], 0
    for end in [*range(0, len(written), step), len(written)]:
        new, used = decoder.decode(written[at:end])
        read += new
        at += used
    assert read == frames
    assert at == len(written)


@given(FRAMES.filter(bool), st.data())
def test_a_frame_being_written_is_not_taken(frames: list[tuple[int, bytes]], data: st.DataObject) -> None:
    written = blob(frames)
    whole = len(blob(frames[:-1]))
    # The rest of the last frame is still what the disk held before: zeroes.
    cut = data.draw(st.integers(whole, whole + 19))
    torn = written[:cut].ljust(len(written), b"\0")
    read, used = Decoder().decode(torn)
    assert (read, used) == (frames[:-1], whole)


@given(st.binary(min_size=1, max_size=2000), st.data())
def test_damage_is_noticed(payload: bytes, data: st.DataObject) -> None:
    written = bytearray(encode(0, STDOUT, payload))
    at = data.draw(st.integers(0, 20 + len(payload) - 1))
    written[at] ^= data.draw(st.integers(1, 255))
    assert Decoder().decode(bytes(written)) == ([], 0)


def test_frames_fill_whole_sectors() -> None:
    assert len(encode(0, STDOUT, b"")) == SECTOR
    assert len(encode(0, STDOUT, b"x" * SECTOR)) == 2 * SECTOR


def test_a_repeated_frame_is_not_taken_twice() -> None:
    once = encode(0, STDOUT, b"a")
    assert Decoder().decode(once + once) == ([(STDOUT, b"a")], SECTOR)
