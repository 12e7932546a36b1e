from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.hosts import INTEL_LOG, host
from xenapic.model.facts import Answer
from xenapic.parse.bootlog import parse
from xenapic.parse.ring import Origin, ring_lines

FORGED = "(XEN) VMX: Supported advanced features:"
printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"]))


@given(st.lists(printable), st.integers(0, 99999))
def test_a_guests_lines_stay_the_guests(texts: list[str], domid: int) -> None:
    data = "".join(f"(d{domid}) {text}\n" for text in [*texts, FORGED, " - APIC TPR shadow"]).encode(
        "latin-1"
    )
    lines, rest = ring_lines(data, whole_start=True)
    assert rest == b""
    assert {line.origin for line in lines} == {Origin.GUEST}
    assert [line.text for line in lines[:-2]] == texts or any("[" in text for text in texts)


@given(st.integers(0, 200))
def test_a_cut_ring_believes_nothing(cut: int) -> None:
    """The wrap may cut a guest's prefix off: then its text starts a line."""
    data = b"(d1) " + FORGED.encode() + b"\n(XEN)  - APIC TPR shadow\n" + INTEL_LOG
    log = parse(data[cut:], start=cut or 1, commandline="")
    assert log.technology is None and not log.features


def test_other_separators_end_no_line() -> None:
    data = b"(d1) a\r(XEN) x\x0c(XEN) y\x85(XEN) z\n"
    (line,), _ = ring_lines(data, whole_start=True)
    assert line.origin is Origin.GUEST


def test_first_line_of_a_cut_ring_is_dropped() -> None:
    assert ring_lines(b"(XEN) tail of a guest's line\n(XEN) own\n", whole_start=False)[0][0].text == "own"


def test_time_stamps() -> None:
    for stamp in ("2026-11-23 09:00:00", "2026-11-23 09:00:00.123", "    1.234567", "0000000123abcdef"):
        (line,), _ = ring_lines(f"(XEN) [{stamp}] hello\n".encode(), whole_start=True)
        assert (line.stamp, line.text) == (stamp, "hello")


def test_only_the_first_list_counts() -> None:
    later = b"(XEN) VMX: Supported advanced features:\n(XEN)  - Posted Interrupt Processing\n"
    assert "Posted Interrupt Processing" not in parse(INTEL_LOG + later, 0, "").features


def test_dom0_that_writes_into_the_ring_is_not_believed() -> None:
    made = host(commandline="console_to_ring")
    assert made.features["tpr_shadow"].answer is Answer.UNKNOWN
    assert "console_to_ring" in made.features["tpr_shadow"].source


def test_facts_of_an_intel_host() -> None:
    features = {key: fact.answer.value for key, fact in host().features.items()}
    assert features == {
        "external_interrupt_exiting": "yes",
        "posted_interrupts": "no",
        "cr8_load_exiting": "no",
        "cr8_store_exiting": "no",
        "tpr_shadow": "yes",
        "msr_bitmaps": "yes",
        "tertiary_controls": "unknown",
        "secondary_controls": "yes",
        "virtualize_apic_accesses": "yes",
        "virtualize_x2apic_mode": "unknown",
        "apic_register_virtualization": "yes",
        "virtual_interrupt_delivery": "yes",
        "ipi_virtualization": "no",
        "avic": "no",
        "x2avic": "no",
    }


def test_apicv_off_is_a_fact() -> None:
    made = host(commandline="loglvl=all apicv=0")
    assert "apicv" in made.features["virtualize_x2apic_mode"].source
    assert made.features["virtualize_x2apic_mode"].answer is Answer.NO


def test_wrapped_log_leaves_it_unknown_and_says_how() -> None:
    fact = host(start=5000).features["tpr_shadow"]
    assert fact.answer is Answer.UNKNOWN and "conring_size" in fact.how
