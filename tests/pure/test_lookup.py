"""Processors as people have them: CPUID signatures, names in the trade, and the check against register dumps."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from xenapic.apic.brands import NO_ROW, READ, SERIES, plain_name
from xenapic.apic.features import Technology
from xenapic.apic.lookup import by_signature, combined, look_up
from xenapic.apic.processors import PROCESSORS, processor
from xenapic.apic.signature import Signature, covers, parse_signature
from xenapic.cli.app import app
from xenapic.errors import NameUnknown

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools/check_dumps.py"))
ROWS = [pytest.param(row, id=name) for name, row in PROCESSORS.items()]
MEANT = [
    ("806ea", ["kaby-lake-r"]),
    ("0x000806EA", ["kaby-lake-r"]),
    ("raw 000806ea", ["kaby-lake-r"]),
    ("06-8e-0c", ["comet-lake-u"]),
    ("06_9EH", ["coffee-lake"]),
    ("50654", ["skylake-sp"]),
    ("50657", ["cascade-lake-sp"]),
    ("a20f12", ["zen3-ryzen"]),
    ("00800F82", ["zen-plus"]),
    ("306e4", ["ivy-bridge-ep", "ivy-bridge-e"]),
    ("i7-10710U", ["comet-lake-u"]),
    ("Intel(R) Core(TM) i7-10710U CPU @ 1.10GHz", ["comet-lake-u"]),
    ("Core i7-10750H", ["comet-lake-h"]),
    ("i9-10900K", ["comet-lake-s"]),
    ("i7-4930K", ["ivy-bridge-e"]),
    ("Xeon E5-2697 v2", ["ivy-bridge-ep"]),
    ("E5-2699v3", ["haswell-ep"]),
    ("Xeon Silver 4510", ["sapphire-rapids-sp"]),
    ("Silver 4514Y", ["emerald-rapids-sp"]),
    ("Xeon Gold 6526Y", ["sapphire-rapids-sp", "emerald-rapids-sp"]),
    ("Xeon 6315P", ["raptor-lake"]),
    ("13th Gen Intel(R) Core(TM) i7-13700H", ["raptor-lake"]),
    ("i5-14600K", ["raptor-lake"]),
    ("i5-1135G7", ["tiger-lake"]),
    ("i7-1065G7", ["ice-lake-client"]),
    ("i7-11700K", ["rocket-lake"]),
    ("Core Ultra 9 288V", ["lunar-lake"]),
    ("Core Ultra 7 265H", ["arrow-lake-h"]),
    ("Celeron J1900", ["bay-trail"]),
    ("Atom C2758", ["avoton"]),
    ("Celeron N3160", ["braswell"]),
    ("Celeron J3455", ["apollo-lake"]),
    ("Celeron J4125", ["gemini-lake"]),
    ("Celeron N5105", ["jasper-lake"]),
    ("Intel(R) N100", ["alder-lake-n"]),
    ("Xeon E3-1230 v2", ["ivy-bridge-client"]),
    ("E3-1270 v6", ["coffee-lake"]),
    ("Xeon E-2276G", ["coffee-lake"]),
    ("AMD Ryzen 7 PRO 4750U with Radeon Graphics", ["renoir"]),
    ("Ryzen 5 5500U", ["renoir"]),
    ("Ryzen 7 5825U", ["zen3-ryzen"]),
    ("Ryzen 5 5560U", ["renoir", "zen3-ryzen"]),
    ("Ryzen 5 3500U", ["raven-ridge"]),
    ("Ryzen 5 2600", ["zen-plus"]),
    ("AMD Ryzen 7 8845HS w/ Radeon 780M Graphics", ["phoenix"]),
    ("Ryzen 9 7945HX", ["zen4"]),
    ("Ryzen 7 6800U", ["rembrandt"]),
    ("AMD EPYC 7543P 32-Core Processor", ["zen3-epyc"]),
    ("EPYC 74F3", ["zen3-epyc"]),
    ("EPYC 7F52", ["zen2"]),
    ("EPYC 7402P", ["zen2"]),
    ("EPYC 9354", ["zen4"]),
    ("Ryzen 9 9950X", ["granite-ridge"]),
    ("Ryzen AI 9 HX 370", ["strix"]),
]


@pytest.mark.parametrize(("text", "rows"), MEANT)
def test_what_a_text_means(text: str, rows: list[str]) -> None:
    match = look_up(text)
    assert match and [row.name for row in match.rows] == rows
    assert match.processor.technology is PROCESSORS[rows[0]].technology


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "i7",
        "4510",
        "i7-99",
        "i486",
        "ff",
        "12345",
        "806f",
        "06-8e-1f",
        "xeon",
        "core",
        "()",
        "i7-10700\0",
    ],
)
def test_what_means_nothing(text: str) -> None:
    assert look_up(text) is None
    with pytest.raises(NameUnknown):
        processor(text)


@given(st.text(max_size=120) | st.from_regex(r"[iIxX]?[0-9a-fA-F]{0,9}[-_ hHvV0-9]{0,4}", fullmatch=True))
def test_any_text_can_be_looked_up(text: str) -> None:
    match = look_up(text)
    assert match is None or match.rows


@given(st.integers(0, (1 << 24) - 1))
def test_a_signature_survives_its_texts(eax: int) -> None:
    signature = Signature.from_eax(eax)
    assert parse_signature(str(signature)) == signature
    assert Signature.from_eax(signature.eax) == signature
    if signature.eax > 0xFFFF:
        assert parse_signature(f"{signature.eax:08X}h") == signature


def test_families_and_models_are_those_of_the_manuals() -> None:
    assert str(Signature.from_eax(0x806EA)) == "06-8e-0a"
    assert str(Signature.from_eax(0x00A20F12)) == "19-21-02"
    assert str(Signature.from_eax(0x00100F42)) == "10-04-02"


def test_a_pattern_covers_its_steppings() -> None:
    steppings = [stepping for stepping in range(16) if covers("06-55-05:07", Signature(6, 0x55, stepping))]
    assert steppings == [5, 6, 7]
    assert covers("06-55-05:07", Signature(6, 0x55)) and not covers("06-55", Signature(6, 0x56, 5))


def test_the_vendor_decides_between_equal_numbers() -> None:
    names = {
        vendor: [row.name for row in by_signature(Signature(6, 0x47, 2, vendor))]
        for vendor in ("", "GenuineIntel", "CentaurHauls", "Shanghai")
    }
    assert names[""] == names["GenuineIntel"] == ["broadwell-client"]
    assert names["CentaurHauls"] == names["Shanghai"] == ["centaur-cns"]


@pytest.mark.parametrize("row", ROWS)
def test_a_real_processor_has_a_signature_and_a_model_has_none(row: object) -> None:
    assert isinstance(row, type(PROCESSORS["zen1"]))
    assert bool(row.signatures) is not bool(row.emulated_by)
    for pattern in row.signatures:
        assert re.fullmatch(r"(zhaoxin/)?[0-9a-f]{2}-[0-9a-f]{2}(-[0-9a-f]{2}(:[0-9a-f]{2})?)?", pattern)


def test_rows_share_a_signature_only_where_the_notes_say_so() -> None:
    numbers = {
        tuple(each.rpartition("/")[2].split("-")) for row in PROCESSORS.values() for each in row.signatures
    }
    models = {(int(family, 16), int(model, 16)) for family, model, *_steppings in numbers}
    found = (
        by_signature(Signature(family, model, stepping)) for family, model in models for stepping in range(16)
    )
    shared = {tuple(row.name for row in rows) for rows in found if len(rows) > 1}
    assert shared == {("ivy-bridge-ep", "ivy-bridge-e")}
    assert "same signature" in PROCESSORS["ivy-bridge-e"].notes


def test_every_name_that_was_read_is_found_at_its_signature() -> None:
    for text, names in READ.items():
        for name in names.split(", "):
            match = look_up(name)
            signature = parse_signature(text)
            assert match and signature, name
            assert set(match.rows) <= set(by_signature(signature)), name


def test_a_series_contains_what_was_read() -> None:
    """The schemes of numbers and the names that were read from real processors do not contradict."""
    for text, names in READ.items():
        signature = parse_signature(text)
        assert signature
        rows = {row.name for row in by_signature(signature)}
        for name in names.split(", "):
            series = next((row for row in SERIES if re.fullmatch(row.pattern, plain_name(name))), None)
            if series and name not in OTHERWISE:
                assert rows & set(series.rows), (name, series.title, rows)


OTHERWISE = {"Core i3-8121U"}
"""Names that are exceptions to their scheme; what was read comes first."""


def test_a_missing_processor_has_a_reason() -> None:
    for row in NO_ROW:
        assert row.why
        assert not [found for found in by_signature(_first(row.signature)) if "/" not in found.signatures[0]]
    with pytest.raises(NameUnknown, match="Cooper Lake.* has no row"):
        processor("5065b")
    with pytest.raises(NameUnknown, match="six cores on the die.* has no row"):
        processor("i3-10100")
    with pytest.raises(NameUnknown, match="other steppings of the model are known"):
        processor("06-8e-0f")


def _first(pattern: str) -> Signature:
    family, model, *stepping = pattern.split("-")
    return Signature(int(family, 16), int(model, 16), int(stepping[0][:2], 16) if stepping else 0)


def test_what_only_some_rows_offer_is_unknown() -> None:
    both = combined((PROCESSORS["ivy-bridge-ep"], PROCESSORS["ivy-bridge-e"]))
    assert both.offers == PROCESSORS["ivy-bridge-e"].offers
    assert both.unknown == {"apic_register_virtualization", "virtual_interrupt_delivery", "posted_interrupts"}
    assert processor("306e4") == both


def test_what_the_dumps_disagree_about_is_unknown() -> None:
    assert "avic" in PROCESSORS["phoenix"].unknown and "x2avic" in PROCESSORS["phoenix"].offers
    assert PROCESSORS["granite-ridge"].unknown == {"avic", "x2avic"}


# -- the command ---------------------------------------------------------------------------------------


def run(*words: str) -> str:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return " ".join(done.stdout.split())


def test_the_command_takes_names_in_the_trade() -> None:
    assert "on i7-10710U (comet-lake-u) Xen 4.20" in run("plan", "--processor", "i7-10710U")
    assert "on 806ea (kaby-lake-r) Xen 4.17" in run("plan", "--processor", "806ea", "--xen", "4.17")
    shown = run("explain", "Xeon", "Silver", "4510")
    assert "(processor sapphire-rapids-sp)" in shown and "06-8f-08" in shown
    shown = run("explain", "Xeon Gold 6526Y")
    assert "which of these it is, is open: sapphire-rapids-sp, emerald-rapids-sp" in shown


def test_the_command_says_why_a_processor_is_missing() -> None:
    done = CliRunner().invoke(app, ["plan", "--processor", "i3-10100"])
    assert done.exit_code == 2 and "steppings of model A5H differ" in done.stderr


# -- the check against register dumps --------------------------------------------------------------------

DUMP = """CPUID 00000001: 000806EA-00100800-{leaf1}-BFEBFBFF
CPUID 80000001: 00000000-00000000-{ecx}-2C100800
{rest}
"""
LACKING = (
    "MSR 0000048D: 0000-007F-0000-0016\nMSR 0000048E: FFF9-FFFE-0400-6172\nMSR 0000048B: 001F-FCFF-0000-0000"
)
HAVING = (
    "MSR 0000048D: 0000-00FF-0000-0016\nMSR 0000048E: FFF9-FFFE-0400-6172\nMSR 0000048B: 001F-FFFF-0000-0000"
)


def checked(
    tmp_path: Path, rest: str, *, leaf1: str = "7FFAFBBF", ecx: str = "00000121", name: str
) -> tuple[int, str]:
    (tmp_path / name).write_text(DUMP.format(leaf1=leaf1, ecx=ecx, rest=rest))
    return TOOL["main"](str(tmp_path)), name


def test_the_check_tells_a_dump_that_agrees_from_one_that_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "GenuineIntel00806EA_Test_CPUID.txt"
    assert checked(tmp_path, LACKING, name=name)[0] == 0
    assert "1 VMX, agree" in capsys.readouterr().out
    assert checked(tmp_path, HAVING, name=name)[0] == 1
    shown = capsys.readouterr().out
    assert "1 VMX, disagree" in shown and "virtual_interrupt_delivery" in shown


def test_the_check_leaves_out_what_shows_no_hardware(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked(tmp_path, "", leaf1="FFFAFBBF", name="GenuineIntel00806EA_Test_CPUID.txt")[0] == 1
    assert "1 made in a virtual machine" in capsys.readouterr().out
    svm = "CPUID 8000000A: 00000001-00008000-00000000-1EBF9CFF"
    shown = TOOL["shown"](
        "AuthenticAMD0A70F41_Test_CPUID.txt", svm.replace("8000000A", "80000001") + "\n" + svm
    )
    assert shown is None, "a processor whose SVM bit is 0 shows nothing"
    shown = TOOL["shown"](
        "AuthenticAMD0A70F41_T.txt",
        "CPUID 80000001: 0-0-0-0\n".replace("0-0-0-0", "00A70F41-00000000-00000004-00000000") + svm,
    )
    assert shown.technology is Technology.SVM and shown.offers == {"x2avic"} and shown.lacks == {"avic"}


@pytest.mark.parametrize("name", ["i5-10600", "a0653"])
def test_explain_says_why_a_real_processor_has_no_row(name: str) -> None:
    done = CliRunner().invoke(app, ["explain", name])
    assert done.exit_code == 2 and "Comet Lake-S) has no row: no dump" in done.output
