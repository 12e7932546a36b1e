"""The probe guest on real Xens, compared with recordings of another Xen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.xen.test_real_xen import in_dom0
from xenapic.probe.findings import PERIODS

pytestmark = pytest.mark.xen
OBSERVED = Path(__file__).parent.parent / "data" / "observed"
EXIT_TICKS = 100
"""Ticks in a recording: 12 at most without an exit, 770 at least with one."""

Table = list[tuple[int, str, str, int]]


def recorded(name: str, misc_flags: int, mode: str) -> Table:
    found = json.loads((OBSERVED / f"xen-4.17-rc-{name}.json").read_text())["guest"]
    (guest,) = (one for one in found if (one["misc_flags"], one["apic_mode"]) == (misc_flags, mode))
    return [
        (
            one["offset"],
            one["op"],
            "leaves" if one["ticks_per_access"] > EXIT_TICKS else "stays",
            one["value"],
        )
        for one in guest["accesses"]
    ]


def measured(found: dict[str, Any]) -> Table:
    return [(one["offset"], one["op"], one["outcome"], one["value"]) for one in found["accesses"]]


def arrivals(found: dict[str, Any]) -> dict[str, int]:
    """Return how often each interrupt arrived; a periodic timer may fire once more before it is stopped."""
    times = {one["kind"]: one["arrivals"] for one in found["deliveries"]}
    if times.get("timer-periodic", 0) >= PERIODS:
        times["timer-periodic"] = PERIODS
    return times


@pytest.mark.shares_boot("broadwell_ult", "4.17")
def test_intel_with_all_of_it(xen_lab: Any) -> None:
    """A released Xen does what the development one did with both of its flags."""
    answer = in_dom0(xen_lab, "dom0_probe.py", "xapic", "x2apic", machine="broadwell_ult", xen="4.17")
    assert answer["left"] == [0]
    for mode, found in answer["found"].items():
        assert measured(found) == recorded("broadwell_ult", 6, mode)
        assert found["cpuid_apic"] & 3 == 3
    xapic, x2apic = answer["found"]["xapic"], answer["found"]["x2apic"]
    both = {"icr-self": 1, "icr-all": 1, "timer": 1, "timer-periodic": PERIODS, "tsc-deadline": 1}
    assert arrivals(xapic) == both
    assert arrivals(x2apic) == {"self-ipi-msr": 1, **both}
    assert not xapic["page_is_memory"] and x2apic["page_is_memory"]
    # Register virtualization reads whatever is asked for, also what is no register.
    reads = [one for one in x2apic["extra"] if one["op"] == "read"]
    assert {one["outcome"] for one in reads} == {"stays"}
    assert {0xB0, 0xE0, 0x3F0, 0xFF0} <= {one["offset"] for one in reads}
    assert {one["outcome"] for one in xapic["msrs"]} == {"faults"}
    assert xapic["move"]["fault"] == 13
    assert (x2apic["move"]["fault"], x2apic["move"]["version"]["outcome"]) == (None, "leaves")


def test_amd(xen_lab: Any) -> None:
    """Without AVIC every access leaves the guest, also where there is no APIC."""
    states = ("xapic", "x2apic", "disabled", "xapic-relocated")
    answer = in_dom0(xen_lab, "dom0_probe.py", *states, machine="epyc", xen="4.20")
    assert answer["left"] == [0]
    for state, found in answer["found"].items():
        assert {one["outcome"] for one in found["accesses"]} == {"leaves"}
        assert not found["page_is_memory"]
        assert set(arrivals(found).values()) == (set() if state == "disabled" else {1, PERIODS})
    for mode in ("xapic", "x2apic"):
        assert measured(answer["found"][mode]) == recorded("ryzen", 0, mode)
