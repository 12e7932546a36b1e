"""The proposed interface: every request on every host is resolved or refused, and none leads to a failure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from errno import EINVAL, ENODEV
from itertools import product
from pathlib import Path

import pytest

from xenapic.apic.access import access, access_cr8
from xenapic.apic.controls import Controls, violations
from xenapic.apic.features import Technology
from xenapic.apic.outcome import Kind, Operation
from xenapic.apic.processors import APICV, PROCESSORS, allowed
from xenapic.apic.registers import SLOTS
from xenapic.apic.state import ApicState
from xenapic.model.acceleration import (
    APIC_BITS,
    arch_capabilities,
    cpuid_leaf,
    domain_choice,
    host_controls,
    vcpu_apic,
    viridian_hints,
)
from xenapic.model.apicbits import (
    ASKED,
    KNOWN,
    Offer,
    asked_word,
    in_force_of,
    off_of,
    offer_of,
    offer_word,
    on_of,
    words_shown,
)
from xenapic.model.proposal import (
    APIC,
    CONTROL,
    MODE,
    NEEDS,
    Refused,
    available,
    default_of,
    in_force,
    leaf,
    offer,
    requests,
    resolve,
    vcpu,
    viridian,
)
from xenapic.model.releases import XEN_RELEASES, XenRelease
from xenapic.parse.flagnames import flags_of
from xenapic.policy.terms import Aspect
from xenapic.probe.findings import Op
from xenapic.verify.check import Verdict
from xenapic.verify.checks import check_file
from xenapic.verify.gaps import gap_of

DATA = Path(__file__).parent.parent / "data"
RELEASE = XEN_RELEASES[-1]
HOSTS = {
    host_controls(RELEASE, allowed(row), apicv=apicv)
    for row in PROCESSORS.values()
    for apicv in (True, False)
}


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


UNCHANGED = [
    (release, host_controls(release, allowed(row), apicv=apicv))
    for release in XEN_RELEASES
    for row in PROCESSORS.values()
    for apicv in (True, False)
    if row.technology is Technology.VMX
]


@pytest.mark.parametrize(("release", "host"), dict.fromkeys(UNCHANGED), ids=str)
def test_who_asks_nothing_gets_what_an_unchanged_xen_gives(release: XenRelease, host: Controls) -> None:
    effective = resolve(available(host), APIC(0), APIC(0))
    assert isinstance(effective, APIC) and effective == default_of(available(host))
    # 4.17-rc's default is what libxl asked for there: all that the host offers.
    choice = domain_choice(release, host, int(arch_capabilities(release, host) or 0) << 1)
    for state in ApicState:
        assert vcpu(host, effective, state) == vcpu_apic(host, choice, state), state
    assert leaf(effective) == cpuid_leaf(release, host, choice) & APIC_BITS
    assert viridian(effective) == viridian_hints(host)


def recorded_words() -> Iterator[tuple[APIC, APIC, int, dict[ApicState, int]]]:
    text = (DATA / "proposal" / "broadwell_words.txt").read_text()
    for line in text.splitlines()[1:]:
        names, *numbers = line.split()
        off = APIC(0) if names == "nothing" else flags_of(APIC, tuple(names.split("|")))
        in_force, primary, xapic, x2apic = (int(number, 16) for number in numbers)
        rest = xapic & ~1
        states = {ApicState.XAPIC: xapic, ApicState.X2APIC: x2apic}
        yield off, APIC(in_force), primary, {state: states.get(state, rest) for state in ApicState}


def test_the_words_of_a_real_xen_that_had_a_first_version() -> None:
    broadwell = host_controls(XEN_RELEASES[3], Controls.of(*(APICV | {"secondary_controls"})))
    assert XEN_RELEASES[3].name == "4.17"
    kept = set()
    for off, bits, primary, states in recorded_words():
        assert resolve(available(broadwell), APIC(0), off) == bits
        for state, secondary in states.items():
            expected = Controls.from_words(0x3F, primary, secondary)
            made = vcpu(broadwell, bits, state).controls
            if state is ApicState.X2APIC and bits & MODE == APIC.ACCESS_PAGE:
                kept.add(bits)
                expected = replace(expected, secondary=expected.secondary | 1)
            assert made == expected, (off, state)
    assert kept == {APIC(0x02), APIC(0x03), APIC(0x0F)}, "the rule that was changed since"


def test_the_recording_of_a_xen_that_has_it_agrees() -> None:
    report = check_file(DATA / "proposal" / "broadwell_ult.json")
    assert report.ok and report.compared > 5900
    topics = {check.topic for check in report.of(Verdict.AGREES)}
    assert {"create", "VMCS", "restored", "interrupt", "exits", "access", "CPUID"} <= topics
    creates = [check for check in report.checks if check.topic == "create"]
    assert len(creates) >= 729 and not report.of(Verdict.DISAGREES)


def test_what_each_control_is_worth_was_recorded_as_the_model_has_it() -> None:
    data = json.loads((DATA.parent.parent / "docs" / "data" / "control-worth.json").read_text())
    broadwell = host_controls(XEN_RELEASES[3], Controls.of(*APICV))
    runs = {(tuple(run["off"]), run["state"]) for run in data["runs"]}
    assert len(runs) == 12
    for run in data["runs"]:
        state, off = ApicState(run["state"]), flags_of(APIC, tuple(run["off"]))
        made = vcpu(broadwell, in_force(offer(broadwell), APIC(0), off), state)
        for leaves, accesses in ((True, run["left"]), (False, run["stayed"])):
            for op, offset, value in accesses:
                written = value if op == "write" else None
                outcome = access(
                    made.controls,
                    state,
                    made.bitmap,
                    offset,
                    Operation(op),
                    value=written,
                    backing=made.backing,
                )
                gap = gap_of(data["emulator"], made, Op(op), offset)
                assert outcome.kind.leaves is leaves or gap, (run["off"], state, op, hex(offset))


def test_refusals_in_their_order() -> None:
    def answer(on: int, off: int, offered: APIC = KNOWN, hvm: bool = True) -> tuple[int, str]:
        found = resolve(offered, APIC(on), APIC(off), hvm=hvm)
        assert isinstance(found, Refused)
        return found.errno, found.rule

    assert answer(1 << 9, 0, hvm=False) == (EINVAL, "unknown bits")
    assert answer(1, 1, hvm=False) == (EINVAL, "a PV domain has no local APIC")
    refused = resolve(KNOWN, APIC(1), APIC(1), nested=True)
    assert isinstance(refused, Refused) and refused.errno == EINVAL and refused.rule.startswith("nested")
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


def test_x2apic_mode_alone_is_not_the_default_but_can_be_asked_for() -> None:
    offered = APIC.TPR_SHADOW | APIC.ACCESS_PAGE | APIC.X2APIC_MODE
    assert resolve(offered, APIC(0), APIC(0)) == APIC.TPR_SHADOW | APIC.ACCESS_PAGE
    assert resolve(offered, APIC.X2APIC_MODE, APIC(0)) == offered


def test_the_encoding() -> None:
    word = asked_word(APIC.REGISTERS, APIC.POSTED | APIC.X2APIC_MODE)
    assert word == 0x300400 and not word & ~ASKED and ASKED == 0x3F3F00
    assert (on_of(word), off_of(word)) == (APIC.REGISTERS, APIC.POSTED | APIC.X2APIC_MODE)
    assert in_force_of(0x2F01) == KNOWN & ~APIC.POSTED
    assert words_shown(word) == "on REGISTERS, off POSTED|X2APIC_MODE" and words_shown(7) == ""


def test_an_unchanged_xen_offers_nothing() -> None:
    for release, host in UNCHANGED:
        assert offer_of(arch_capabilities(release, host)) is None
    assert offer_of(None) is None and offer_of(0x0F) is None
    assert offer_of(0x2F0100) is None, "a default that is not available"
    for one in (Offer(KNOWN, KNOWN), Offer(APIC(0x23), APIC(0x03))):
        assert offer_of(offer_word(one)) == one == offer_of(offer_word(one) | 3)
