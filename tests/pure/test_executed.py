"""What the release table says it rests on is what the recordings are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xenapic.apic.processors import PROCESSORS
from xenapic.model.executed import EXECUTED, SOURCE, Execution, basis, executions
from xenapic.model.flags import PHYSCAP
from xenapic.model.releases import XEN_RELEASES
from xenapic.verify.subject import release_of

DATA = Path(__file__).parent.parent / "data"
FILES = {path.stem: path for home in ("observed", "recorded") for path in (DATA / home).glob("*.json")}


def read(row: Execution) -> Any:
    return json.loads(FILES[row.recording].read_text())


def test_every_recording_is_named_once() -> None:
    assert sorted(row.recording for row in EXECUTED) == sorted(FILES)


@pytest.mark.parametrize("row", EXECUTED, ids=lambda row: row.recording)
def test_a_row_is_what_its_recording_says(row: Execution) -> None:
    data = read(row)
    assert (row.xen, row.processor) == (data["xen"], data["processor"])
    assert row.release == release_of(data["xen"]).name
    assert row.technology is PROCESSORS[row.processor].technology
    assert row.apicv is ("apicv=0" not in data["xen_options"])
    assert row.shadow is (PHYSCAP.shadow in PHYSCAP(data["physinfo"]["capabilities"]))


def test_a_release_without_a_recording_rests_on_the_source() -> None:
    names = [release.name for release in XEN_RELEASES]
    assert [name for name in names if not executions(name)] == ["4.15"]
    assert basis("4.15") == f"Intel: {SOURCE}; AMD: {SOURCE}"
    assert basis("4.16") == f"Intel: {SOURCE}; AMD: executed, epyc-4.16 (4.16.7)"
    assert "broadwell_ult-4.22 (4.22.0)" in basis("4.22")
