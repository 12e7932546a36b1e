"""Real kernels as guests of real Xens."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.xen.boots import on, run

pytestmark = pytest.mark.xen
MOMENTS = ("0", "0.02", "0.1", "0.3", "1")
"""Seconds after the domain was created at which its boot is interrupted."""
BOTH = ("1:x2apic", "4:xapic")
TRACE_PAGES = 512
"""More than counting exits leaves allocated, and less than the smallest guest here has."""


def booted(xen_lab: Any, machine: str, release: str, *kinds: str) -> dict[str, Any]:
    done = run(
        xen_lab,
        ["python3", "tests/xen/dom0_boot.py", *kinds],
        machine=machine,
        xen=release,
        timeout=2000,
        guest_kernel="debian",
    )
    assert done.status == 0, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize(
    ("machine", "release", "kinds"),
    [
        pytest.param("epyc", "4.17", BOTH, id="epyc-4.17", marks=pytest.mark.thorough),
        pytest.param("epyc", "4.20", BOTH, id="epyc-4.20", marks=pytest.mark.thorough),
        pytest.param(
            "broadwell_ult", "4.17", ("1:x2apic", "1:xapic"), id="bochs-4.17", marks=pytest.mark.thorough
        ),
    ],
)
def test_linux_boots_and_obeys(xen_lab: Any, machine: str, release: str, kinds: tuple[str, ...]) -> None:
    answer = booted(xen_lab, machine, release, *(["bochs"] if machine != "epyc" else []), *kinds)
    for kind in kinds:
        vcpus, mode = kind.split(":")
        seen = answer[kind]
        assert seen["answer"] == f"42 of {vcpus} {int(mode == 'x2apic')}"
        assert seen["inspected"] and seen["states"] == [mode]
        assert seen["reason"] == "poweroff"
        assert seen["total"] > 100
        if machine == "epyc":  # nothing is accelerated: every end of an interrupt leaves the guest
            assert "EOI write" in seen["registers"]
    assert answer["hostile"]["read"] <= 2048 and answer["hostile"]["lost"] > 0
    assert "damaged its console's ring" in answer["hostile"]["written"]
    assert answer["hostile"]["triple fault"] == "reboot"
    assert "truncated" in answer["hostile"]["refused"]
    assert answer["killed"] == {"orphans": 1, "after": 0}
    assert answer["domains"] == [0]
    assert answer["pages lost"] <= TRACE_PAGES


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(("epyc", "4.17", ("0", "0.1")), id="epyc-4.17"),
        pytest.param(("epyc", "4.20", MOMENTS), id="epyc-4.20", marks=pytest.mark.thorough),
        on("broadwell_ult", "4.17", ("broadwell_ult", "4.17", MOMENTS), thorough=True),
    ],
)
def test_a_guest_echoes_and_nothing_is_left(xen_lab: Any, where: tuple[str, str, tuple[str, ...]]) -> None:
    machine, release, moments = where
    done = run(
        xen_lab,
        ["python3", "tests/xen/dom0_echo.py", *moments],
        machine=machine,
        xen=release,
        timeout=1200,
    )
    assert done.status == 0, done.stderr.decode()
    answer = json.loads(done.stdout)
    for number, name in enumerate(("one", "two"), 1):
        seen = answer[name]
        assert seen["heard"] and seen["inspected"] and seen["complete"]
        assert (seen["vcpus"], seen["reason"]) == (number, "poweroff")
        if machine == "epyc":  # nothing is accelerated: each write of EOI leaves the guest
            assert seen["registers"]["EOI write"] == 280
        else:
            assert "EOI write" not in seen["registers"]
    assert answer["wrong vectors"] == 0
    assert (answer["x2apic"], answer["x2apic hidden"]) == ("1", "0")
    assert answer["orphans"] == 1 and answer["domains"] == [0]
    for status, said, left in answer["interrupted"]:
        assert left == [0]
        assert status in (130, -signal.SIGINT) and "Traceback" not in said, said


@pytest.mark.thorough
def test_the_fixture_boots_a_guest(xen_lab: Any) -> None:
    with xen_lab.boot() as guest:
        listed = json.loads(guest.run(["xenapic", "list", "--json"]).stdout)
        assert guest.domid in [domain["domid"] for domain in listed["domains"]]
