"""The reader of xl.cfg agrees with libxlutil: recorded answers, and the library itself where it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import libxlutil
from xenapic.errors import PolicyInvalid
from xenapic.parse.xlcfg import c_number, parse_xl_cfg, read_xl_cfg

CASES = json.loads((Path(__file__).parents[1] / "data" / "toolstack" / "xlcfg.json").read_text())
"""Small files and what Debian's libxlutil of 4.17 makes of them."""

ORACLE = libxlutil.reader()
NAMES = ("a", "b")


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case["input"])[:40])
def test_recorded_answers(case: dict[str, Any]) -> None:
    if case["xl"] == "ok":
        assert parse_xl_cfg(case["input"]) == case["values"]
    else:
        with pytest.raises(PolicyInvalid):
            parse_xl_cfg(case["input"])


def ours(data: bytes) -> libxlutil.XlValues | None:
    try:
        found = read_xl_cfg(data.decode("latin-1"))
    except PolicyInvalid:
        return None
    values: libxlutil.XlValues = {}
    for name in NAMES:
        if name in found:
            value, _line, added = found[name]
            text = None if isinstance(value, list) else value
            values[name] = (text, None if text is None or added else c_number(text))
    return values


NUMBERS = ["1", "0x1f", "08", '"4 "', '" 4"', '"-1"', '"9223372036854775807"', '"9223372036854775808"']
STRINGS = [
    '"x"',
    "'y'",
    '"é"',
    '"\\012"',
    '"\\n"',
    '"\\07"',
    '"\\x41"',
    '"\\1 23"',
    '"\\7+5"',
    '"\\0012"',
    '"\\?"',
]
SETTINGS = ["a=1\n", 'b=["z"]\n', "a", "b", "=", "+=", "[", "]", ",", ";"]
STRAY = ["#c", "#", "\\", '"', "'", "-", "\r", "\v", "é", '"\\', " ", "\n", "\t"]
PIECES = [*NUMBERS, *STRINGS, *SETTINGS, *STRAY]


@pytest.mark.skipif(ORACLE is None, reason="libxlutil (Debian's libxenmisc4.17) is not installed")
@pytest.mark.parametrize("number", [400, pytest.param(4000, marks=pytest.mark.thorough)])
def test_agrees_with_the_library(number: int) -> None:
    @settings(max_examples=number)
    @given(st.lists(st.sampled_from(PIECES), max_size=10).map("".join))
    def agrees(text: str) -> None:
        assert ORACLE is not None
        data = text.encode("latin-1")
        assert ours(data) == ORACLE(data, NAMES)

    agrees()


def test_nesting_is_bounded_as_bisons_stack_is() -> None:
    for depth, fine in ((4996, True), (4997, False), (200_000, False)):
        text = "a=" + "[" * depth + "]" * depth
        if ORACLE is not None:
            assert (ORACLE(text.encode(), NAMES) is not None) is fine
        if fine:
            assert "a" in parse_xl_cfg(text)
        else:
            with pytest.raises(PolicyInvalid, match="nested 4996 deep"):
                parse_xl_cfg(text)


def test_numbers() -> None:
    read = {"0": 0, "017": 15, "0x1F": 31, " \t\v4": 4, "-0x10": -16, "+5": 5, "9" * 18: 10**18 - 1}
    for text, number in read.items():
        assert c_number(text) == number
    for text in ("", "4 ", "08", "0x", "four", "- 5", "0b1", "9223372036854775808", "9" * 5000):
        assert c_number(text) is None
    assert c_number("0b101", binary=True) == 5
    assert c_number("0b2", binary=True) is None


def test_a_setting_knows_its_line_and_how_it_was_set() -> None:
    found = read_xl_cfg("\na=1\na+='2'\n")
    assert found["a"] == ("12", 3, True)
    with pytest.raises(PolicyInvalid, match="line 1: a NUL byte"):
        read_xl_cfg("a='x\0'")
