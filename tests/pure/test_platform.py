"""What firmware and options decide, from Xen's log, and which defects concern a host."""

from __future__ import annotations

from dataclasses import replace

import pytest

import xenapic
from tests.hosts import INTEL_LOG, SVM, host
from xenapic.apic.features import FEATURES
from xenapic.model.defects import DEFECTS
from xenapic.model.exposure import WORDS, exposure, exposures
from xenapic.model.facts import Answer, no, unknown, yes
from xenapic.model.flags import PHYSCAP
from xenapic.model.rehost import host_under

Y, N, U = Answer.YES, Answer.NO, Answer.UNKNOWN


def with_lines(*lines: str) -> bytes:
    """A whole ring: these lines come before the feature list, where Xen prints them."""
    first, rest = INTEL_LOG.split(b"\n", 1)
    return b"\n".join([first, *(f"(XEN) {line}".encode() for line in lines), rest])


# Lines as Xen's source has them; those with a name are in a log of tests/data/logs.
@pytest.mark.parametrize(
    ("lines", "x2apic", "remapping", "posted"),
    [
        (["Switched to APIC driver x2apic_mixed"], Y, N, N),
        (["x2APIC mode is already enabled by BIOS.", "Using APIC driver x2apic_cluster"], Y, N, N),
        (["Using APIC driver default"], N, N, N),
        (["Not enabling x2APIC: disabled by cmdline."], N, N, N),
        (["Not enabling x2APIC (upon firmware request)", "Interrupt remapping enabled"], N, Y, N),
        (["Intel VT-d Interrupt Remapping enabled.", "Intel VT-d Posted Interrupt enabled."], N, Y, Y),
        # what VT-d is about to use, and then cannot
        (
            [
                "Intel VT-d Interrupt Remapping enabled.",
                "Intel VT-d Posted Interrupt enabled.",
                "Interrupt remapping disabled",
            ],
            N,
            N,
            N,
        ),
        (
            ["Intel VT-d Interrupt Remapping not enabled.", "Intel VT-d Posted Interrupt not enabled."],
            N,
            N,
            N,
        ),
        (["I/O virtualisation disabled"], N, N, N),
    ],
)
def test_a_whole_log(lines: list[str], x2apic: Answer, remapping: Answer, posted: Answer) -> None:
    made = host(log=with_lines(*lines))
    facts = (made.x2apic_mode, made.interrupt_remapping, made.posted_by_iommu)
    assert tuple(fact.answer for fact in facts) == (x2apic, remapping, posted)
    assert all(fact.source for fact in facts)


def test_a_log_without_its_start_says_nothing() -> None:
    made = host(start=100)
    for fact in (made.x2apic_mode, made.interrupt_remapping, made.posted_by_iommu):
        assert fact.answer is U and fact.how


def test_a_guests_line_is_not_believed() -> None:
    ring = INTEL_LOG + b"(XEN) Interrupt remapping enabled\n"  # after the list, where guests may exist
    assert host(log=ring).interrupt_remapping.answer is N


def test_a_saved_log_without_the_lines_is_an_excerpt() -> None:
    logged = xenapic.host_from_log(INTEL_LOG.decode()).host
    assert logged.x2apic_mode.answer is U
    logged = xenapic.host_from_log(with_lines("Switched to APIC driver x2apic_mixed").decode()).host
    assert logged.x2apic_mode == yes("the log: 'Switched to APIC driver x2apic_mixed'")


def test_amd_posts_nothing() -> None:
    assert host(hw_cap=SVM, start=100).posted_by_iommu.answer is N


def test_another_xen_on_the_same_platform() -> None:
    here = host(log=with_lines("Switched to APIC driver x2apic_mixed", "Interrupt remapping enabled"))
    there = host_under(here, xenapic.xen_release("4.20"))
    assert (there.x2apic_mode, there.interrupt_remapping) == (here.x2apic_mode, here.interrupt_remapping)
    there = host_under(here, options="iommu=no-intremap")
    assert there.interrupt_remapping.answer is U and there.x2apic_mode.answer is Y


# -- defects -----------------------------------------------------------------------------------------


def answers(made: xenapic.Host) -> dict[str, Answer]:
    return {each.defect.code: each.answer for each in exposures(made)}


def test_words_are_known() -> None:
    keys = {row.key for row in FEATURES} | set(WORDS)
    for row in DEFECTS:
        for text in row.needs:
            assert text.split() and {word.removeprefix("!") for word in text.split()} <= keys, row.code


def test_a_fixed_version_rules_a_defect_out() -> None:
    old, new = answers(host("4.17", ".5")), answers(host("4.17", ".6"))
    assert (old["vlapic-error-deadlock"], new["vlapic-error-deadlock"]) == (Y, N)


def test_the_processor_rules_a_defect_out() -> None:
    intel, amd = host("4.20", ".2"), host("4.20", ".2", hw_cap=SVM)
    assert answers(intel)["late-refused-create-panic"] is Y
    assert answers(amd)["late-refused-create-panic"] is N
    (why,) = [each.text for each in exposures(amd) if each.defect.code == "late-refused-create-panic"]
    assert why.startswith("virtualize apic accesses: no (")


def test_one_of_two_features() -> None:
    (row,) = [row for row in DEFECTS if row.code == "viridian-hint-wrong-feature"]
    made, keys = host("4.20"), ("apic_register_virtualization", "virtual_interrupt_delivery")
    for facts, expected in (
        ((yes(""), yes("")), N),
        ((no(""), no("")), N),
        ((yes(""), no("")), Y),
        ((no(""), yes("")), Y),
        ((no(""), unknown("", "")), U),
    ):
        changed = replace(made, features={**made.features, **dict(zip(keys, facts, strict=True))})
        assert exposure(row, changed).answer is expected, facts


def test_posted_interrupts_of_the_iommu() -> None:
    code = "posted-while-suppressed-stuck"
    log = with_lines("Intel VT-d Posted Interrupt enabled.").replace(
        b"(XEN) HVM: VMX", b"(XEN)  - Posted Interrupt Processing\n(XEN) HVM: VMX"
    )
    assert answers(host(log=log))[code] is Y
    assert answers(host())[code] is N


def test_shadow_paging_and_a_pvh_dom0() -> None:
    code = "late-refused-shadow-panic"
    usual = PHYSCAP.hvm | PHYSCAP.hap
    assert answers(host(capabilities=usual))[code] is N
    assert answers(host(capabilities=usual | PHYSCAP.shadow))[code] is Y
    named = xenapic.named_host(xenapic.processor("skylake-sp"), xenapic.xen_release("4.20"))
    assert answers(named)[code] is U
    rc = host(extra=".0-rc1", probe=19, commandline="dom0=pvh,verbose=1")
    assert answers(rc)["pvh-dom0-apic-memory"] is Y
    assert answers(host(extra=".0-rc1", probe=19))["pvh-dom0-apic-memory"] is N


def test_an_unknown_xen() -> None:
    logged = xenapic.host_from_log(INTEL_LOG.decode().split("\n", 1)[1]).host
    assert set(answers(logged).values()) == {U}
