"""The table of known defects: well formed, and consistent with the releases."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from xenapic.model.defects import DEFECTS, Defect, Evidence, defects_of
from xenapic.model.facts import Answer
from xenapic.model.fates import fates
from xenapic.model.releases import XEN_RELEASES
from xenapic.parse.xenversion import parse_version

NAMES = [row.name for row in XEN_RELEASES]
each = pytest.mark.parametrize("row", DEFECTS, ids=lambda row: row.code)


def test_the_defect_that_rules_refuse_comes_first() -> None:
    assert DEFECTS[0].code == "apic-defect-memory"
    assert DEFECTS[0].releases == ("4.17-rc",)


def test_codes_are_unique() -> None:
    assert len({row.code for row in DEFECTS}) == len(DEFECTS)


@each
def test_row(row: Defect) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", row.code)
    assert row.commits or row.sources
    assert all(re.fullmatch(r"[0-9a-f]{10}", commit) for commit in row.commits)
    assert row.evidence in get_args(Evidence)
    assert list(row.releases) == [name for name in NAMES if name in row.releases]
    for text in (row.title, row.effect, row.since, row.condition, row.avoid):
        assert text
        assert text == " ".join(text.split())


@each
def test_never_fixed_means_still_there(row: Defect) -> None:
    assert ("4.22" in row.releases) is not bool(row.until)


@each
def test_hashes_in_texts_are_listed(row: Defect) -> None:
    found = set(re.findall(r"\b[0-9a-f]{10}\b", row.until))
    assert found <= set(row.commits)


@pytest.mark.parametrize("name", NAMES)
def test_defects_of(name: str) -> None:
    rows = defects_of(name)
    assert rows
    assert all(name in row.releases for row in rows)


def test_defects_of_an_unknown_release() -> None:
    with pytest.raises(KeyError):
        defects_of("4.12")


def test_defects_of_an_older_release() -> None:
    codes = {row.code for row in defects_of("4.13")}
    assert codes - {row.code for row in defects_of("4.14")}, "some were fixed in 4.14.0"
    version = parse_version("4.13.0")
    assert version is not None
    assert codes == {fate.defect.code for fate in fates(version) if fate.answer is Answer.YES}


def test_the_panic_skips_the_releases_with_a_global_page() -> None:
    (row,) = (row for row in DEFECTS if row.code == "late-refused-create-panic")
    assert set(NAMES) - set(row.releases) == {"4.16"}
