from __future__ import annotations

import pytest

from tests.hosts import host
from xenapic.apic.controls import CONTROLS, Controls, ControlWords
from xenapic.apic.state import ApicState
from xenapic.model.facts import Answer
from xenapic.model.measured import Measurement, VcpuControls

FULL = {
    ApicState.DISABLED: ControlWords(0x3F, 0xB6A065FE, 0x17CA, 0),
    ApicState.XAPIC: ControlWords(0x3F, 0xB6A065FE, 0x17CB, 0),
    ApicState.X2APIC: ControlWords(0x3F, 0xB6A065FE, 0x17DA, 0),
    ApicState.RELOCATED: ControlWords(0x3F, 0xB6A065FE, 0x17CA, 0),
}
"""Broadwell, Xen 4.17.7."""


def everywhere(words: ControlWords) -> Measurement:
    return Measurement(states=dict.fromkeys(ApicState, words))


@pytest.mark.parametrize(
    "log", [{}, {"start": 5000}, {"commandline": "console_to_ring"}, {"commandline": "apicv=0"}]
)
def test_what_was_measured_outweighs_every_other_source(log: dict[str, object]) -> None:
    made = host(measured=Measurement(states=FULL), **log)  # type: ignore[arg-type]
    answers = {key: bool(fact) for key, fact in made.features.items() if key in CONTROLS}
    assert answers == {key: any(words.controls.has(key) for words in FULL.values()) for key in CONTROLS}
    assert all(fact.source.startswith("measured: ") for key, fact in made.features.items() if key in CONTROLS)


def test_the_source_names_word_and_state() -> None:
    features = host(measured=Measurement(states=FULL)).features
    assert features["virtualize_x2apic_mode"].source.endswith(
        "000017da in the VMCS of a throw-away domain in x2APIC mode"
    )
    assert features["tpr_shadow"].source.startswith("measured: CPUBased=b6a065fe in")
    assert features["posted_interrupts"].source.startswith("measured: PinBased=0000003f in")
    assert features["avic"].source.startswith("the processor has VMX")


def test_a_control_that_is_not_activated_does_not_count() -> None:
    idle = everywhere(ControlWords(0x3F, 0x36A065FE, 0x17DB, 0x10))
    features = host(measured=idle).features
    for key in ("virtualize_x2apic_mode", "apic_register_virtualization", "ipi_virtualization"):
        assert features[key].answer is Answer.NO
        assert "CPUBased=36a065fe" in features[key].source


def test_tertiary_controls() -> None:
    found = host(measured=everywhere(ControlWords(0x3F, 0xB6A265FE, 0x17CB, 0x10))).features
    assert found["tertiary_controls"] and found["ipi_virtualization"]
    assert "TertiaryExec=0000000000000010" in found["ipi_virtualization"].source


def test_a_host_that_cannot_be_measured() -> None:
    made = host(start=5000, measured=Measurement(why_not="no hap"))
    fact = made.features["virtual_interrupt_delivery"]
    assert fact.answer is Answer.UNKNOWN and fact.how.startswith("it cannot be measured on this host: no hap")
    assert "xenapic host --measure" in host(start=5000).features["virtual_interrupt_delivery"].how


def test_values() -> None:
    found = Measurement(states=FULL)
    assert found.done and not Measurement(why_not="x").done
    assert found.controls[ApicState.XAPIC] == Controls.from_words(0x3F, 0xB6A065FE, 0x17CB)
    vcpu = VcpuControls(0, ApicState.RELOCATED.apic_base, FULL[ApicState.RELOCATED])
    assert vcpu.state is ApicState.RELOCATED and vcpu.controls == found.controls[ApicState.RELOCATED]
    assert VcpuControls(0, 0, None, "why").controls is None
