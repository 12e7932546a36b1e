"""The proposal on a real Xen: a share of ``make verify-proposal``, where the lab has such a Xen already."""

from __future__ import annotations

import pytest

from xenapic.lab.catalog import names
from xenapic.verify.check import Verdict
from xenapic.verify.matrix import Cell, run_cells

XEN = "one-bit"
pytestmark = [
    pytest.mark.xen,
    pytest.mark.skipif(XEN not in names(), reason=f"no Xen {XEN} in the lab: make verify-proposal builds it"),
]


@pytest.mark.parametrize(
    ("machine", "select", "at_least"),
    [
        pytest.param("broadwell_ult", "create,vmcs,log", 1450, id="every-request"),
        pytest.param("core2_penryn_t9600", "", 5000, marks=pytest.mark.thorough),
        pytest.param("epyc", "", 2000, marks=pytest.mark.thorough),
    ],
)
def test_the_model_is_what_this_xen_does(machine: str, select: str, at_least: int) -> None:
    (result,) = run_cells([Cell(machine, XEN)], 1, lambda result: None, select)
    assert result.report is not None, result.error
    assert result.ok, "\n".join(map(str, result.report.of(Verdict.DISAGREES)))
    assert result.report.compared >= at_least
    assert result.recording is not None and result.recording.per_control
