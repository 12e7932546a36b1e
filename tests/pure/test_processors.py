"""The table of processors: well formed, and Xen's controls on the emulated ones are the recorded ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xenapic.apic.controls import Controls
from xenapic.apic.features import FEATURES, Technology
from xenapic.apic.processors import PROCESSORS, Processor, allowed, emulated, processor
from xenapic.apic.state import ApicState
from xenapic.lab.machines import LABELS, MACHINES

OBSERVED = sorted((Path(__file__).parents[1] / "data/observed").glob("*.json"))
ROWS = [pytest.param(row, id=name) for name, row in PROCESSORS.items()]
BOCHS_2_7, BOCHS_3_0 = (2, 7), (3, 0)
ASSISTED_XAPIC, ASSISTED_X2APIC = 2, 4


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_well_formed(row: Processor) -> None:
    keys = {f.key for f in FEATURES if f.technology is row.technology}
    assert row.offers <= keys
    assert row.unknown <= keys
    assert not row.offers & row.unknown
    assert row.title
    assert row.source
    assert row.emulated_by in ("", "bochs", "qemu")
    assert processor(row.name) is row


@pytest.mark.parametrize("row", ROWS)
def test_what_is_offered_needs_its_own_control_word(row: Processor) -> None:
    controls = allowed(row)
    assert not controls.secondary or controls.has("secondary_controls")
    assert not controls.tertiary or controls.has("tertiary_controls")
    assert set(controls.keys) == (row.offers if row.technology is Technology.VMX else set())


def test_names_and_order() -> None:
    assert [row.name for row in PROCESSORS.values()] == list(PROCESSORS)
    technologies = [row.technology for row in PROCESSORS.values()]
    assert technologies == sorted(technologies, key=list(Technology).index)
    with pytest.raises(KeyError):
        processor("i486")
    with pytest.raises(KeyError):
        emulated("i486", BOCHS_2_7)


def test_real_processors_and_models_can_be_told_apart_by_name() -> None:
    for row in PROCESSORS.values():
        model = row.name.partition("@")[0]
        assert not row.emulated_by or "-" not in model
        assert row.emulated_by or "_" not in model


def test_every_machine_of_the_lab_has_a_row() -> None:
    for name, machine in MACHINES.items():
        row = emulated(name, BOCHS_3_0)
        assert row.emulated_by == machine.emulator
        offers = {label for key, label in LABELS.items() if key in row.offers}
        assert offers == set(machine.offers) - {"SVM", "nested paging"}


def test_models_differ_between_releases_of_bochs() -> None:
    older = {row.name for row in PROCESSORS.values() if "@" in row.name}
    assert {name for name in PROCESSORS if emulated(name, BOCHS_2_7) != emulated(name, BOCHS_3_0)} == {
        name.partition("@")[0] for name in older
    }
    assert "posted_interrupts" not in emulated("tigerlake", BOCHS_2_7).offers
    assert "posted_interrupts" in emulated("tigerlake", (2, 8)).offers


def xen(row: Processor, state: ApicState, apicv: bool = True, per_domain: int | None = None) -> Controls:
    """The controls that Xen sets for a vCPU on a processor; `per_domain` are 4.17-rc's misc_flags."""
    offers = row.offers
    used = {"external_interrupt_exiting", "msr_bitmaps", "secondary_controls", "tertiary_controls"} & offers
    used |= {"tpr_shadow"} & offers
    if "tpr_shadow" not in used:
        used |= {"cr8_load_exiting", "cr8_store_exiting"} & offers
    elif apicv:
        used |= {"apic_register_virtualization", "virtual_interrupt_delivery"} & offers
    if "virtual_interrupt_delivery" in used:
        used |= {"posted_interrupts"} & offers
    accesses = "virtualize_apic_accesses" in offers
    assisted = bool({"apic_register_virtualization", "virtual_interrupt_delivery"} & used)
    x2apic = "virtualize_x2apic_mode" in offers and assisted
    if per_domain is not None:
        accesses = accesses and bool(per_domain & ASSISTED_XAPIC)
        x2apic = x2apic and bool(per_domain & ASSISTED_X2APIC)
    if state is ApicState.X2APIC and x2apic:
        used.add("virtualize_x2apic_mode")
    elif state in (ApicState.XAPIC, ApicState.X2APIC) and accesses:
        used.add("virtualize_apic_accesses")
    return Controls.of(*used)


RECORDED = [
    # Debian's Xen 4.17.7: model, Bochs, options, PinBased, CPUBased, SecondaryExec in xAPIC and x2APIC mode.
    # Where a model is the same in 2.7 and 3.0, which of them was used for the recording was not noted.
    ("corei5_lynnfield_750", BOCHS_2_7, "", 0x3F, 0xB6A1E5FE, 0x0000004B, 0x0000004B),
    ("corei7_sandy_bridge_2600k", BOCHS_2_7, "", 0x3F, 0xB6A065FE, 0x000000CB, 0x000000CB),
    ("corei7_sandy_bridge_2600k", BOCHS_3_0, "", 0x3F, 0xB6A065FE, 0x000000CB, 0x000000CB),
    ("corei7_ivy_bridge_3770k", BOCHS_2_7, "", 0x3F, 0xB6A065FE, 0x000000CB, 0x000000CB),
    ("corei3_cnl", BOCHS_2_7, "", 0x3F, 0xB6A065FE, 0x021014CB, 0x021014CB),
    ("corei7_haswell_4770", BOCHS_2_7, "", 0x3F, 0xB6A065FE, 0x000017CB, 0x000017DA),
    ("broadwell_ult", BOCHS_2_7, "", 0x3F, 0xB6A065FE, 0x000017CB, 0x000017DA),
    ("broadwell_ult", BOCHS_2_7, "apicv=0", 0x3F, 0xB6A065FE, 0x000014CB, 0x000014CB),
    ("corei7_skylake_x", BOCHS_2_7, "", 0x3F, 0xB6A065FE, 0x021017CB, 0x021017DA),
    ("corei7_skylake_x", BOCHS_3_0, "", 0xBF, 0xB6A065FE, 0x021017CB, 0x021017DA),
    ("corei7_icelake_u", BOCHS_3_0, "", 0xBF, 0xB6A065FE, 0x021017CB, 0x021017DA),
    ("tigerlake", BOCHS_2_7, "", 0x3F, 0xB6A065FE, 0x021017CB, 0x021017DA),
    ("tigerlake", BOCHS_3_0, "", 0xBF, 0xB6A065FE, 0x021017CB, 0x021017DA),
]


@pytest.mark.parametrize(("model", "bochs", "options", "pin", "primary", "xapic", "x2apic"), RECORDED)
def test_xen_makes_of_a_model_what_was_recorded(
    model: str, bochs: tuple[int, int], options: str, pin: int, primary: int, xapic: int, x2apic: int
) -> None:
    row, apicv = emulated(model, bochs), options != "apicv=0"
    assert xen(row, ApicState.XAPIC, apicv) == Controls.from_words(pin, primary, xapic)
    assert xen(row, ApicState.X2APIC, apicv) == Controls.from_words(pin, primary, x2apic)


@pytest.mark.parametrize("path", OBSERVED, ids=lambda path: path.stem)
def test_xen_4_17_rc_makes_of_a_model_what_was_recorded(path: Path) -> None:
    recording = json.loads(path.read_text())
    name, number = recording["emulator"].split()
    row = emulated(recording["processor"], tuple(map(int, number.split("."))))  # type: ignore[arg-type]
    assert row.emulated_by == name
    apicv = "apicv=0" not in recording["xen_options"]
    for vmcs in recording["vmcs"]:
        words = [int(vmcs[field], 16) for field in ("pin_based", "cpu_based", "secondary")]
        found = xen(row, ApicState(vmcs["apic_mode"]), apicv, vmcs["misc_flags"])
        assert found == Controls.from_words(*words), vmcs
    assert bool(recording["vmcs"]) is (row.technology is Technology.VMX)
