"""The proposal on a real Xen: a share of ``make verify-proposal``."""

from __future__ import annotations

import os
from typing import Any

import pytest

from xenapic.lab import catalog
from xenapic.lab.added import AddedXen
from xenapic.lab.build import Order, build
from xenapic.lab.xens import RELEASES
from xenapic.proposal.series import change_digest
from xenapic.verify.check import Verdict
from xenapic.verify.matrix import Cell, run_cells

XEN = "one-bit"
pytestmark = [pytest.mark.xen, pytest.mark.xdist_group(XEN)]


@pytest.fixture(scope="module")
def one_bit(xen_lab: Any) -> str:
    """The name of a Xen with the change as it is in this checkout.

    The lab may have it. Where nothing may be skipped it is built otherwise, in minutes.
    """
    there = catalog.find(XEN) if XEN in catalog.names() else None
    if isinstance(there, AddedXen) and there.taken.get("change", {}).get("sha256") == change_digest():
        return XEN
    if not os.environ.get("CI"):
        pytest.skip("the lab has no Xen with the change as it is here: make verify-proposal builds it")
    return build(XEN, Order(release=RELEASES["4.17"], proposal=True)).version


@pytest.mark.parametrize(
    ("machine", "select", "at_least"),
    [
        pytest.param("broadwell_ult", "create,vmcs,log", 1450, id="every-request"),
        pytest.param("broadwell_ult", "-TPR_SHADOW,-DELIVERY-X2APIC_MODE", 3300, id="guests-of-two-sets"),
        pytest.param("core2_penryn_t9600", "", 5000, marks=pytest.mark.thorough),
        pytest.param("epyc", "", 2000, marks=pytest.mark.thorough),
    ],
)
def test_the_model_is_what_this_xen_does(one_bit: str, machine: str, select: str, at_least: int) -> None:
    (result,) = run_cells([Cell(machine, one_bit)], 1, lambda result: None, select)
    assert result.report is not None, result.error
    assert result.ok, "\n".join(map(str, result.report.of(Verdict.DISAGREES)))
    assert result.report.compared >= at_least
    assert result.recording is not None and result.recording.per_control
