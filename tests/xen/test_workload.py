"""What one operation costs on real Xens: exits, which do not depend on the time that an emulator takes."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from tests.xen.boots import on, thorough
from tests.xen.test_real_xen import in_dom0
from xenapic.documents import schema_text
from xenapic.probe.workload import WORKLOADS

pytestmark = pytest.mark.xen
STAYS, LEAVES = (0.0, 0.4), (0.9, 1.6)
"""Exits for an operation: some are the host's own interrupts."""
OFTEN = (1.9, 12.0)
EXPECTED = {
    ("epyc", "tpr", "xapic"): LEAVES,
    ("epyc", "tpr", "x2apic"): LEAVES,
    ("epyc", "cr8", "xapic"): STAYS,
    ("epyc", "cr8", "x2apic"): STAYS,
    ("epyc", "eoi", "xapic"): OFTEN,
    ("epyc", "eoi", "x2apic"): OFTEN,
    ("epyc", "timer", "xapic"): OFTEN,
    ("epyc", "timer", "x2apic"): OFTEN,
    ("broadwell_ult", "tpr", "xapic"): STAYS,
    ("broadwell_ult", "tpr", "x2apic"): STAYS,
    ("broadwell_ult", "cr8", "xapic"): STAYS,
    ("broadwell_ult", "cr8", "x2apic"): STAYS,
    ("broadwell_ult", "eoi", "xapic"): STAYS,
    ("broadwell_ult", "eoi", "x2apic"): LEAVES,
}
"""AMD without AVIC, and Intel with all of APICv: a self-IPI through the ICR's MSR exits all the same."""


@pytest.mark.parametrize(
    "where", [thorough(("epyc", "4.17")), ("epyc", "4.20"), on("broadwell_ult", "4.17")], ids="-".join
)
def test_exits_of_an_operation(xen_lab: Any, where: tuple[str, str]) -> None:
    machine, release = where
    answer = in_dom0(xen_lab, "dom0_workload.py", *WORKLOADS, machine=machine, xen=release)
    assert answer["left"] == [0]
    for name in WORKLOADS:
        document = answer["found"][name]
        jsonschema.validate(document, json.loads(schema_text("workload")))
        for entry in document["costs"]:
            assert entry["complete"] and len(entry["exits_per_operation"]) == 2, entry
            low, high = EXPECTED.get((machine, name, entry["state"]), (0.0, 1000.0))
            assert low <= entry["exits_per_operation"][0] <= high, (name, entry)
    assert "eoi: an interrupt that the guest sends itself" in answer["shown"], answer["shown"]
    assert "only the exits count" in answer["shown"]
