"""What planning costs: recorded, and compared with two limits. Run with ``make bench``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.hosts import host, situation
from xenapic.apic.processors import PROCESSORS
from xenapic.documents import from_json, to_json
from xenapic.model.config import DomainConfig
from xenapic.model.create import prepare_request
from xenapic.model.named import named_host
from xenapic.model.releases import xen_release
from xenapic.policy.outlook import access_rows
from xenapic.policy.plan import Plan, plan
from xenapic.policy.pool import plan_pool
from xenapic.policy.terms import Aspect, Policy, Want

PLAN_SECONDS, POOL_SECONDS = 50e-6, 0.2
POLICIES = {
    "default": Policy(),
    "effects": Policy(effects=("x2apic-reads-stay",), aspects={Aspect.POSTED: Want.PREFER}),
    "refused": Policy(effects=("nothing-accelerated",)),
    "everything": Policy(aspects=dict.fromkeys(Aspect, Want.REQUIRE)),
}
RELEASES = ("4.17-rc", "4.20")


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", POLICIES)
def test_plan(benchmark: Any, name: str, release: str) -> None:
    there = named_host(PROCESSORS["broadwell_ult"], xen_release(release))
    benchmark(plan, POLICIES[name], there)
    assert benchmark.stats.stats.median < PLAN_SECONDS


@pytest.mark.parametrize("name", POLICIES)
def test_pool_of_a_thousand(benchmark: Any, name: str) -> None:
    hosts = {f"host{n}": host(commandline="apicv=0" if n % 7 == 0 else "") for n in range(1000)}
    benchmark(plan_pool, POLICIES[name], hosts)
    assert benchmark.stats.stats.median < POOL_SECONDS


def test_pool_of_a_thousand_reports_parsing_included(benchmark: Any) -> None:
    text = json.dumps(to_json(host()))

    def whole() -> None:
        hosts = {f"host{n}": from_json(text) for n in range(1000)}
        plan_pool(POLICIES["effects"], hosts)

    benchmark(whole)
    assert benchmark.stats.stats.median < POOL_SECONDS


def test_access_table(benchmark: Any) -> None:
    found = plan(Policy(), named_host(PROCESSORS["broadwell_ult"], xen_release("4.20")))
    assert isinstance(found, Plan)
    benchmark(lambda: [list(access_rows(found, state)) for state in found.states])


def test_check(benchmark: Any) -> None:
    there, config = situation(), DomainConfig.pvh(max_vcpus=2)
    assert benchmark(prepare_request, config, there).problems == ()
