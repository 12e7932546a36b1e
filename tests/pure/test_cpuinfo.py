"""A host from what its Linux says: /proc/cpuinfo, lscpu, what a mail made of them, and what is not believed."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import xenapic
from xenapic import HostUnknown, LogInvalid, host_from_cpuinfo, xen_release
from xenapic.model.cpuinfo import processor_of
from xenapic.model.facts import Answer
from xenapic.model.flags import PHYSCAP
from xenapic.parse.cpuinfo import parse_cpuinfo

XEN = xen_release("4.20")
NO_APICV = "vnmi preemption_timer invvpid ept_x_only ept_ad ept_1gb flexpriority tsc_offset vtpr mtf vapic ept vpid unrestricted_guest ple pml ept_mode_based_exec"
APICV = "vnmi preemption_timer posted_intr invvpid ept_x_only ept_ad ept_1gb flexpriority apicv tsc_offset vtpr mtf vapic ept vpid unrestricted_guest vapic_reg vid ple pml ept_mode_based_exec"
FLAGS = "fpu vme apic vmx x2apic tpr_shadow flexpriority ept vpid"


def cpuinfo(
    *,
    model: int = 158,
    stepping: int = 10,
    family: int = 6,
    name: str = "Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz",
    flags: str = FLAGS,
    vmx: str | None = NO_APICV,
    vendor: str = "GenuineIntel",
) -> str:
    lines = [
        "processor\t: 0",
        f"vendor_id\t: {vendor}",
        f"cpu family\t: {family}",
        f"model\t\t: {model}",
        f"model name\t: {name}",
        f"stepping\t: {stepping}",
        f"flags\t\t: {flags}",
        *([f"vmx flags\t: {vmx}"] if vmx is not None else []),
        "bugs\t\t: spectre_v1",
        "",
    ]
    return "\n".join(lines) + "\n"


def answers(text: str | bytes, options: str = "") -> dict[str, str]:
    host = host_from_cpuinfo(text, XEN, options)
    return {key: fact.answer.value for key, fact in host.features.items()}


def test_a_processor_without_apicv() -> None:
    found = answers(cpuinfo())
    assert found["tpr_shadow"] == found["virtualize_apic_accesses"] == "yes"
    assert found["virtual_interrupt_delivery"] == found["virtualize_x2apic_mode"] == "no"


def test_a_processor_with_apicv() -> None:
    text = cpuinfo(model=165, stepping=2, vmx=APICV, name="Intel(R) Core(TM) i7-10750H CPU @ 2.60GHz")
    assert {key for key, answer in answers(text).items() if answer == "yes"} >= {
        "posted_interrupts",
        "virtual_interrupt_delivery",
        "apic_register_virtualization",
        "virtualize_x2apic_mode",
    }
    assert answers(text, "apicv=0")["virtual_interrupt_delivery"] == "no"


def test_the_same_as_the_row_where_linux_and_the_row_agree() -> None:
    text = cpuinfo(model=165, stepping=2, vmx=APICV)
    named = xenapic.named_host(xenapic.processor("comet-lake-h"), XEN)
    assert answers(text) == {key: fact.answer.value for key, fact in named.features.items()}


def test_a_fact_says_file_and_line() -> None:
    fact = host_from_cpuinfo(cpuinfo(), XEN, name="cpu.txt").features["virtual_interrupt_delivery"]
    assert "vmx flags in cpu.txt, line 8" in fact.source and "from row coffee-lake" in fact.source


def test_without_a_row_what_linux_does_not_show_is_unknown() -> None:
    found = answers(cpuinfo(model=165, stepping=3, vmx=APICV))
    assert found["virtual_interrupt_delivery"] == "yes" and found["virtualize_x2apic_mode"] == "unknown"


def test_a_row_that_contradicts_is_not_used_and_both_are_said() -> None:
    host = host_from_cpuinfo(cpuinfo(vmx=APICV), XEN)
    assert host.features["virtual_interrupt_delivery"].answer is Answer.YES
    assert host.features["virtualize_x2apic_mode"].answer is Answer.UNKNOWN
    described = processor_of(parse_cpuinfo(cpuinfo(vmx=APICV))).processor
    assert "row coffee-lake" in described.source and "says otherwise about" in described.source


def test_the_name_decides_between_rows_of_one_signature() -> None:
    text = cpuinfo(model=62, stepping=4, vmx=None, name="Intel(R) Core(TM) i7-4930K CPU @ 3.40GHz")
    assert answers(text)["virtual_interrupt_delivery"] == "no"
    assert answers(text.replace("i7-4930K", "i7-0000"))["virtual_interrupt_delivery"] == "unknown"
    assert (
        answers(text.replace("Core(TM) i7-4930K", "Xeon(R) E5-2697 v2"))["virtual_interrupt_delivery"]
        == "yes"
    )


def test_an_older_linux_shows_two_controls() -> None:
    described = processor_of(parse_cpuinfo(cpuinfo(vmx=None, model=165, stepping=3))).processor
    assert {"tpr_shadow", "virtualize_apic_accesses"} <= described.offers
    assert {"virtual_interrupt_delivery", "posted_interrupts"} <= described.unknown
    described = processor_of(
        parse_cpuinfo(cpuinfo(vmx=None, model=165, stepping=3, flags="vmx ept"))
    ).processor
    assert not described.offers & {"tpr_shadow"} and "tpr_shadow" not in described.unknown
    described = processor_of(parse_cpuinfo(cpuinfo(vmx=None, model=165, stepping=3, flags="vmx"))).processor
    assert "tpr_shadow" in described.unknown, "this Linux was built without the names"


def test_ipi_virtualization_is_known_when_linux_names_it() -> None:
    text = cpuinfo(model=183, stepping=1, vmx=f"{APICV} ipi_virt", name="")
    assert {"ipi_virtualization", "tertiary_controls"} <= processor_of(parse_cpuinfo(text)).processor.offers
    text = cpuinfo(model=183, stepping=1, vmx=APICV, name="")
    assert "ipi_virtualization" in processor_of(parse_cpuinfo(text)).processor.unknown


def test_a_processor_without_ept_has_no_hap() -> None:
    host = host_from_cpuinfo(
        cpuinfo(model=23, flags="vmx tpr_shadow flexpriority", vmx="tsc_offset vtpr vapic flexpriority"), XEN
    )
    assert PHYSCAP.hap not in host.physinfo.capabilities
    assert PHYSCAP.hap in host_from_cpuinfo(cpuinfo(), XEN).physinfo.capabilities


def test_processors_that_differ_make_it_unknown() -> None:
    text = cpuinfo(model=165, stepping=2, vmx=APICV) + cpuinfo(model=165, stepping=2, vmx=NO_APICV)
    found = answers(text)
    assert found["virtual_interrupt_delivery"] == "unknown" and found["tpr_shadow"] == "yes"


def test_in_a_virtual_machine_only_the_signature_counts() -> None:
    text = cpuinfo(flags="vmx hypervisor", vmx="vtpr", model=165, stepping=2)
    host = host_from_cpuinfo(text, XEN)
    fact = host.features["virtual_interrupt_delivery"]
    assert fact and "is from a virtual machine or dom0" in fact.source
    with pytest.raises(HostUnknown, match="no row has the CPUID signature 06-a5-03"):
        host_from_cpuinfo(cpuinfo(flags="hypervisor", model=165, stepping=3), XEN)


def test_amd() -> None:
    text = cpuinfo(
        vendor="AuthenticAMD", family=25, model=33, stepping=2, flags="svm npt avic", vmx=None, name=""
    )
    host = host_from_cpuinfo(text, XEN)
    assert host.technology is xenapic.Technology.SVM and PHYSCAP.hap in host.physinfo.capabilities
    assert host.features["avic"].answer is Answer.NO
    unlisted = host_from_cpuinfo(text.replace(": 33", ": 250"), XEN)
    assert unlisted.technology is xenapic.Technology.SVM
    with pytest.raises(HostUnknown, match="lack 'svm'"):
        host_from_cpuinfo(text.replace("svm ", ""), XEN)


def test_firmware_that_turned_it_off_is_an_error() -> None:
    with pytest.raises(HostUnknown, match="cpu.txt: its flags lack 'vmx'"):
        host_from_cpuinfo(cpuinfo(flags="fpu apic", vmx=None), XEN, name="cpu.txt")
    with pytest.raises(HostUnknown, match="no processor of vendor 'Riscy'"):
        host_from_cpuinfo(cpuinfo(vendor="Riscy"), XEN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "processor: 0\n",
        "CPU implementer : 0x41\nCPU part : 0xd40\n",
        "vendor_id: GenuineIntel\ncpu family: six\nmodel: 1",
    ],
)
def test_another_text_is_an_error(text: str) -> None:
    with pytest.raises(LogInvalid, match="cpu.txt: it has no vendor, family and model"):
        host_from_cpuinfo(text, XEN, name="cpu.txt")


def test_what_a_mail_and_a_terminal_do_to_it() -> None:
    text = cpuinfo(model=165, stepping=2, vmx=APICV)
    expected = answers(text)
    wrapped = text.replace(" vapic_reg vid", "\nvapic_reg vid").replace(" tpr_shadow", "\n tpr_shadow")
    for other in (
        "".join(f"> {line}\n" for line in wrapped.splitlines()),
        "".join(f"      {line}\n" for line in text.splitlines()),
        text.replace("\n", "\r\n"),
        wrapped.encode(),
    ):
        assert answers(other) == expected


def test_lscpu() -> None:
    text = """Architecture:        x86_64
Vendor ID:           GenuineIntel
  Model name:        Intel(R) Xeon(R) Gold 6330 CPU @ 2.00GHz
    CPU family:      6
    Model:           106
    Stepping:        6
    Flags:           fpu vmx tpr_shadow flexpriority ept
                     vpid x2apic
"""
    assert answers(text)["virtual_interrupt_delivery"] == "yes"
    assert parse_cpuinfo(text).flags >= {"vpid", "x2apic"}


@given(st.text() | st.lists(st.sampled_from(cpuinfo().splitlines()), max_size=30).map("\n".join))
def test_any_text_gives_a_host_or_an_error_of_ours(text: str) -> None:
    with contextlib.suppress(xenapic.XenApicError):
        host_from_cpuinfo(text, XEN)
