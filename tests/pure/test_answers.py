"""What Xen answers where the answer needs care: numbers that are lost, an interface that is not decided, two late panics."""

from __future__ import annotations

from errno import EEXIST, EINVAL, ENODEV
from typing import Any

import pytest

from tests.hosts import SVM, VMX, host, situation
from xenapic.errors import CallFailed
from xenapic.live.create import Order, send
from xenapic.model.conditions import Situation
from xenapic.model.config import CreateRequest
from xenapic.model.create import check_request
from xenapic.model.defects import DEFECTS, defects_of
from xenapic.model.flags import CDF, EMU, MISC, PHYSCAP
from xenapic.model.host import Host
from xenapic.model.releases import XEN_RELEASES, XenRelease, xen_release

HVM = CDF.hvm | CDF.hap


def request(misc: int = 0, **changes: int) -> CreateRequest:
    return CreateRequest(
        **{"flags": int(HVM), "emulation_flags": int(EMU.LAPIC), "misc_flags": misc, **changes}
    )


# -- numbers that early refusals keep -----------------------------------------------------------------


@pytest.mark.parametrize(
    "release", [row for row in XEN_RELEASES if not row.per_domain_apic], ids=lambda row: row.name
)
def test_a_number_in_use_may_be_a_kept_one_since_4_21(release: XenRelease) -> None:
    made = host(release.name, ".0")
    there = situation(made, domid_in_use=True)
    (problem,) = check_request(
        request(domid=7, grant_opts=int(made.release.has_field("grant_opts"))), there
    ).problems
    assert (problem.code, problem.errno) == ("domid-in-use", EEXIST)
    assert ("refused early" in problem.rule) is (made.release.number >= (4, 21))


class Fake:
    """As much of a handle as `send` uses; Xen answers EEXIST."""

    def __init__(self, release: str) -> None:
        self.library = self
        self.domains = self
        self.release = xen_release(release)
        self.config_fields = frozenset({"flags"})

    def order(self, _config: object) -> None:
        return None

    def create(self, domid: int, *_rest: object) -> int:
        raise CallFailed("xc_domain_create", EEXIST, f"create domain {domid}", "text")


@pytest.mark.parametrize(
    ("release", "domid", "told"),
    [("4.20", 7, False), ("4.21", 7, True), ("4.22", 7, True), ("4.22", 0, False)],
)
def test_eexist_says_that_the_number_may_be_kept(release: str, domid: int, told: bool) -> None:
    with pytest.raises(CallFailed, match="create domain") as caught:
        handle: Any = Fake(release)
        send(handle, Order.made(handle, request(domid=domid)), bytes(16))
    assert ("keep the number of such a create until the host reboots" in str(caught.value)) is told
    assert (caught.value.errno, caught.value.text) == (EEXIST, "text")


def test_the_kept_number_is_a_defect_of_4_21_and_4_22() -> None:
    (defect,) = [row for row in DEFECTS if row.code == "refused-create-keeps-number"]
    assert defect.releases == ("4.21", "4.22")


# -- an interface that is not decided -----------------------------------------------------------------


def undecided() -> Host:
    made = host("4.17", "-rc", hw_cap=SVM)
    assert not made.interface.known
    return made


@pytest.mark.parametrize("misc", [2, 4, 6, 7])
def test_an_undecided_interface_has_two_answers(misc: int) -> None:
    checked = check_request(request(misc), Situation(undecided()))
    assert [problem.code for problem in checked.problems] == ["assisted-undecided"]
    assert checked.errnos == {EINVAL, ENODEV}
    assert "Xen says EINVAL or ENODEV" in str(checked.problems[0])
    assert "probe=True" in checked.problems[0].remedy


@pytest.mark.parametrize(
    ("made", "asked", "errnos"),
    [
        (undecided(), request(8), {EINVAL}),  # unknown to either
        (undecided(), request(10), {EINVAL}),
        (undecided(), CreateRequest(misc_flags=2), {EINVAL}),  # PV
        (undecided(), request(1), {0}),
        (host("4.17", "-rc", hw_cap=SVM, probe=ENODEV), request(2), {ENODEV}),
        (host("4.17", "-rc", hw_cap=SVM, probe=EINVAL), request(2), {EINVAL}),
        (host("4.17", ".7", hw_cap=SVM), request(2), {EINVAL}),
        (host("4.20", ".1"), request(2), {EINVAL}),
    ],
)
def test_every_other_answer_is_one(made: Host, asked: CreateRequest, errnos: set[int]) -> None:
    assert check_request(asked, Situation(made)).errnos == errnos


def test_both_answers_are_those_that_each_decision_gives() -> None:
    for misc in range(16):
        for hvm in (True, False):
            asked = request(misc) if hvm else CreateRequest(misc_flags=misc)
            decided = set[int]()
            for probe in (ENODEV, EINVAL):
                there = Situation(host("4.17", "-rc", hw_cap=SVM, probe=probe))
                decided |= check_request(asked, there).errnos
            assert check_request(asked, Situation(undecided())).errnos == decided, asked


def test_msr_relaxed_alone_is_decided() -> None:
    assert check_request(request(int(MISC.MSR_RELAXED)), Situation(undecided())).problems == ()


# -- the two ways in which a late refusal takes the host down ------------------------------------------


def test_the_shadow_panic_is_a_defect_of_every_release_since_its_backport() -> None:
    (defect,) = [row for row in DEFECTS if row.code == "late-refused-shadow-panic"]
    assert defect.releases == ("4.17-rc", "4.17", "4.18", "4.19", "4.20", "4.21", "4.22")
    assert "AMD" in defect.condition and "4.15.4 and 4.16.3" in defect.points
    assert defect in defects_of("4.22")


@pytest.mark.parametrize("vendor", ["intel", "amd"])
@pytest.mark.parametrize("flags", [CDF.hvm, HVM])
def test_a_late_refusal_is_never_harmless_on_any_vendor(vendor: str, flags: CDF) -> None:
    usual = host().physinfo.capabilities | PHYSCAP.shadow
    made = host("4.17", ".7", capabilities=usual, hw_cap=SVM if vendor == "amd" else VMX)
    checked = check_request(request(flags=int(flags), grant_opts=3), Situation(made))
    assert [problem.late for problem in checked.problems] == [True]
    assert not checked.harmless
