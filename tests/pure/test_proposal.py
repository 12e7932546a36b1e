"""The proposed interface: every request on every host is resolved or refused, and none leads to a failure."""

from __future__ import annotations

from collections.abc import Iterator
from errno import EINVAL, ENODEV
from itertools import product

import pytest

from xenapic.apic.access import access, access_cr8
from xenapic.apic.controls import Controls, violations
from xenapic.apic.outcome import Kind, Operation
from xenapic.apic.processors import PROCESSORS, allowed
from xenapic.apic.registers import SLOTS
from xenapic.apic.state import ApicState
from xenapic.model.acceleration import domain_choice, host_controls, vcpu_apic
from xenapic.model.proposal import APIC, CONTROL, KNOWN, NEEDS, Refused, available, leaf, resolve, vcpu
from xenapic.model.releases import XEN_RELEASES
from xenapic.policy.terms import Aspect

RELEASE = XEN_RELEASES[-1]
HOSTS = {
    host_controls(RELEASE, allowed(row), apicv=apicv)
    for row in PROCESSORS.values()
    for apicv in (True, False)
}


def requests() -> Iterator[tuple[APIC, APIC]]:
    for wants in product((0, 1, 2), repeat=len(APIC)):
        pairs = list(zip(APIC, wants, strict=True))
        yield APIC(sum(b for b, w in pairs if w == 1)), APIC(sum(b for b, w in pairs if w == 2))


def test_one_bit_for_each_aspect() -> None:
    assert set(CONTROL.values()) == {aspect.value for aspect in Aspect}
    assert NEEDS[APIC.POSTED] == APIC.DELIVERY and NEEDS[APIC.ACCESS_PAGE] == 0


@pytest.mark.parametrize("host", HOSTS, ids=str)
def test_every_request(host: Controls) -> None:
    offered = available(host)
    for on, off in requests():
        found = resolve(offered, on, off)
        if isinstance(found, Refused):
            assert found.errno in (EINVAL, ENODEV) and found.bits
            continue
        assert found & on == on and not found & off and not found & ~offered
        for state in ApicState:
            one = vcpu(host, found, state)
            assert isinstance(one.controls, Controls) and not violations(one.controls)
            assert {access_cr8(one.controls, op).kind for op in (Operation.READ, Operation.WRITE)} == {
                Kind.STAYS if APIC.TPR_SHADOW in found else Kind.EXITS_BEFORE
            }


@pytest.mark.parametrize("host", HOSTS, ids=str)
def test_no_request_gives_a_guest_memory_for_an_apic_or_the_processors_own(host: Controls) -> None:
    for effective in {
        found for on, off in requests() if (found := resolve(available(host), on, off)) is not None
    }:
        if isinstance(effective, Refused):
            continue
        for state, offset, op in product(
            (ApicState.XAPIC, ApicState.X2APIC), SLOTS, (Operation.READ, Operation.WRITE)
        ):
            one = vcpu(host, effective, state)
            kind = access(one.controls, state, one.bitmap, offset, op, backing=one.backing).kind
            assert kind not in (Kind.MEMORY, Kind.PHYSICAL), (str(effective), state, hex(offset), op)


@pytest.mark.parametrize("host", HOSTS, ids=str)
def test_who_asks_nothing_gets_what_the_host_has(host: Controls) -> None:
    effective = resolve(available(host), APIC(0), APIC(0))
    assert effective == available(host)
    assert isinstance(effective, APIC)
    today = vcpu_apic(host, domain_choice(RELEASE, host, 0), ApicState.XAPIC)
    assert vcpu(host, effective, ApicState.XAPIC).controls == today.controls


def test_refusals_in_their_order() -> None:
    def answer(on: int, off: int, offered: APIC = KNOWN, hvm: bool = True) -> tuple[int, str]:
        found = resolve(offered, APIC(on), APIC(off), hvm=hvm)
        assert isinstance(found, Refused)
        return found.errno, found.rule

    assert answer(1 << 9, 0, hvm=False) == (EINVAL, "unknown bits")
    assert answer(1, 1, hvm=False) == (EINVAL, "a PV domain has no local APIC")
    assert answer(1, 1, APIC(0)) == (EINVAL, "on and off at once")
    assert answer(APIC.POSTED, APIC.TPR_SHADOW, APIC(0)) == (EINVAL, "on, but something that it needs is off")
    assert answer(APIC.REGISTERS, 0, APIC.TPR_SHADOW) == (ENODEV, "on, but the host lacks it")
    assert resolve(KNOWN, APIC(0), APIC(0), hvm=False) == KNOWN


def test_what_needs_something_that_is_off_goes_with_it() -> None:
    assert resolve(KNOWN, APIC(0), APIC.TPR_SHADOW) == APIC.ACCESS_PAGE
    assert resolve(KNOWN, APIC(0), APIC.DELIVERY) == KNOWN & ~APIC.DELIVERY & ~APIC.POSTED
    assert resolve(KNOWN, APIC(0), APIC.ACCESS_PAGE) == KNOWN & ~APIC.ACCESS_PAGE


def test_what_the_guest_is_told_goes_by_its_domain() -> None:
    assert int(leaf(KNOWN)) == 3 and int(leaf(KNOWN & ~APIC.ACCESS_PAGE)) == 2
    assert int(leaf(KNOWN & ~APIC.X2APIC_MODE)) == 1 and int(leaf(APIC.TPR_SHADOW)) == 0
