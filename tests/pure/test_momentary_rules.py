"""A request that was checked once is checked again only against what changes from one moment to the next."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hosts import host
from xenapic.model.conditions import Rule, Situation
from xenapic.model.config import CreateRequest, DomainConfig
from xenapic.model.create import check_request, pages_to_fit, prepare_request
from xenapic.model.flags import CDF, EMU
from xenapic.model.rules import RULES

REQUESTS = st.builds(
    CreateRequest,
    flags=st.integers(0, 511),
    iommu_opts=st.integers(0, 3),
    max_vcpus=st.integers(0, 200),
    max_grant_frames=st.integers(-1, 2000),
    max_maptrack_frames=st.integers(-1, 2000),
    grant_opts=st.integers(0, 3),
    emulation_flags=st.sampled_from([0, int(EMU.LAPIC), 0x3FF]),
    misc_flags=st.integers(0, 7),
)
LASTING = [row for row in RULES if row.pages is None]


def situation(free_pages: int, outstanding_pages: int = 0) -> Situation:
    there = host()
    now = replace(there.physinfo, free_pages=free_pages, outstanding_pages=outstanding_pages)
    return Situation(there, now=now)


@pytest.mark.parametrize("row", LASTING, ids=lambda row: row.code)
@given(request=REQUESTS, free=st.integers(0, 1 << 32), outstanding=st.integers(0, 1 << 20))
def test_other_rules_do_not_look_at_the_free_memory(
    row: Rule, request: CreateRequest, free: int, outstanding: int
) -> None:
    assert row.broken(request, situation(free, outstanding)) == row.broken(request, situation(1 << 30))


def still_fits(request: CreateRequest, free: int) -> bool:
    return free >= pages_to_fit(request, situation(1 << 30))


@given(request=REQUESTS, free=st.integers(0, 20000))
def test_a_request_that_fitted_is_judged_as_by_all_rules(request: CreateRequest, free: int) -> None:
    if not check_request(request, situation(1 << 30)).problems:
        assert still_fits(request, free) == (not check_request(request, situation(free)).problems)


def test_too_little_memory_is_noticed() -> None:
    request = prepare_request(DomainConfig.pvh(), situation(1 << 30)).request
    assert request.flags == CDF.hvm | CDF.hap
    assert still_fits(request, 1 << 20)
    assert not still_fits(request, 100)
