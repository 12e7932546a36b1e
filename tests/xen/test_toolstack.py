"""A real xl sends the request that we derive from a file, and Xen answers as the rules say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.toolstack.randomfiles import random_cases
from tests.toolstack.record import record, safe_mode
from tests.toolstack.records import answer_differs, differences

pytestmark = [pytest.mark.xen, pytest.mark.thorough]
COUNT = 12
STUBDOMAIN = 'name="s"\ntype="hvm"\nmemory=32\nmax_grant_frames=40\ndevice_model_stubdomain_override=1\n'


@pytest.mark.parametrize("release", ["4.17", "4.20"])
@pytest.mark.usefixtures("xen_lab")
def test_random_files_and_a_stub_domain(release: str) -> None:
    cases: list[dict[str, Any]] = [
        {**case, "mode": safe_mode(case, release, "try")} for case in random_cases(COUNT, 5)
    ]
    cases.append({"id": "stub", "cfg": STUBDOMAIN, "mode": "go"})
    records = list(record(cases, xen=release))
    assert [each["id"] for each in records] == [case["id"] for case in cases]
    assert [line for each in records for line in (*differences(each), *answer_differs(each))] == []
    assert any(each["xl"] == "request" for each in records[:-1])
    assert any("answer" in each for each in records)
