"""The documentation's tables and pictures: they say what the functions say, and nobody is left out."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from xenapic.apic.access import Backing, Kind, MsrBitmap, Operation, access_cr8, access_msr, access_page
from xenapic.apic.controls import Controls
from xenapic.apic.processors import PROCESSORS
from xenapic.apic.registers import SLOTS, msr_of
from xenapic.apic.state import ApicState
from xenapic.glossary import topics
from xenapic.model.named import named_host
from xenapic.model.releases import XEN_RELEASES
from xenapic.model.typical import TYPICAL
from xenapic.policy.plan import Plan, plan
from xenapic.policy.terms import Aspect, Policy

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
OPERATIONS = (Operation.READ, Operation.WRITE)


def load(name: str) -> Any:
    """Import a module of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLES, PICTURES = load("spec_tables"), load("pictures")


def body(markdown: str) -> list[list[str]]:
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


@pytest.mark.parametrize("setting", [name for name, given in TABLES.SETTINGS if given])
def test_a_matrix_has_a_row_for_each_release_and_a_column_for_each_kind(setting: str) -> None:
    rows = body(TABLES.matrix(setting))
    assert [re.sub(r"[\[\]]|\(.*", "", row[0]) for row in rows] == [release.name for release in XEN_RELEASES]
    assert {len(row) for row in rows} == {1 + len(TABLES.kindreds())}


def test_every_processor_is_in_one_column() -> None:
    named = [row.name for kind in TABLES.kindreds() for row in kind.members]
    assert sorted(named) == sorted(PROCESSORS)
    shown = TABLES.which_processor()
    assert all(f"`{name}`" in shown for name in PROCESSORS)


@pytest.mark.parametrize("release", XEN_RELEASES, ids=lambda release: release.name)
def test_what_a_column_says_holds_for_each_of_its_processors(release: Any) -> None:
    for kind, (setting, _given) in product(TABLES.kindreds(), TABLES.SETTINGS):
        said = TABLES.finding(release, kind.example, setting)
        for row in kind.members:
            found = TABLES.finding(release, row, setting)
            assert found.does == said.does
            for state in (ApicState.XAPIC, ApicState.X2APIC):
                assert found.stays(state) == said.stays(state), (row.name, setting)


def test_one_section_stands_for_all_releases_that_link_to_it() -> None:
    for kind, (setting, _given) in product(TABLES.kindreds(), TABLES.SETTINGS):
        said: dict[str, set[str]] = {}
        for release in XEN_RELEASES:
            found = TABLES.finding(release, kind.example, setting)
            text = f"{found.does} {found.stays(ApicState.XAPIC)} {found.stays(ApicState.X2APIC)} {bool(found.answer)}"
            said.setdefault(TABLES.detail_label(release, kind), set()).add(text)
        assert all(len(texts) == 1 for texts in said.values())


def test_the_finder_against_the_plan() -> None:
    """What the finder calls off is off in a plan, and what it calls on is on."""
    for release, kind in product(XEN_RELEASES, TABLES.kindreds()):
        found = TABLES.finding(release, kind.example, "assisted_x2apic=0")
        answer = plan(Policy(assisted_x2apic=False), named_host(kind.example, release))
        assert bool(answer) is ("stays on" not in found.does)
        if isinstance(answer, Plan):
            assert not answer.in_force[Aspect.X2APIC_MODE]


def test_every_fragment_is_included_and_every_include_is_made() -> None:
    text = "\n".join(path.read_text() for path in [*DOCS.glob("*.md"), *DOCS.glob("spec/*.md")])
    asked = set(re.findall(r"_generated/spec/([\w-]+\.\w+)", text))
    made = {f"{name}.md" for name in TABLES.FRAGMENTS} | {f"{name}.svg" for name in PICTURES.pictures()}
    assert asked == made


def test_links_of_tables_lead_somewhere() -> None:
    made = {name: make() for name, make in TABLES.FRAGMENTS.items()}
    labels = set(re.findall(r"^\(([\w-]+)\)=$", "\n".join(made.values()), re.MULTILINE))
    assert {TABLES.topic_label(topic) for topic in topics().values()} <= labels
    for name, text in made.items():
        assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= labels, name


def test_labels_are_unique() -> None:
    labels = [TABLES.topic_label(topic) for topic in topics().values()]
    assert len(labels) == len(set(labels))


def test_the_finder_is_one_click_from_the_front_page() -> None:
    assert "(spec/finder.md)" in (DOCS / "index.md").read_text()
    assert "(finder.md)" in (DOCS / "spec" / "index.md").read_text()


# -- what is said of the recordings --------------------------------------------------------------------


def recording(name: str) -> Any:
    return json.loads((TABLES.OBSERVED / f"xen-4.17-rc-{name}.json").read_text())


def answers(name: str) -> dict[int, int]:
    """The errno to each misc_flags of a PVH create with HAP."""
    return {
        entry["misc_flags"]: entry["errno"]
        for entry in recording(name)["create"]
        if (entry["flags"], entry["emulation_flags"]) == (3, 1)
    }


def test_the_page_of_recordings_says_what_they_hold() -> None:
    words = body(TABLES.recorded_words())
    assert ["4.17-rc broadwell_ult", "0", "`000017ca`"] in [row[:3] for row in words]
    for name in ("broadwell_ult", "broadwell_ult-apicv0", "corei7_ivy_bridge_3770k"):
        for guest in recording(name)["guest"]:
            if guest["apic_mode"] == "xapic" and not guest["misc_flags"] & 2:
                assert max(one["ticks_per_access"] for one in guest["accesses"]) <= 7
                assert [one["value"] for one in guest["accesses"] if one["offset"] == 0x30] == [0]
    for name in ("corei7_ivy_bridge_3770k", "corei5_lynnfield_750", "broadwell_ult-apicv0"):
        assert answers(name)[4] == 19 and answers(name)[2] == 0
    assert {answers("ryzen")[flags] for flags in (2, 4)} == {19}
    assert {answers("broadwell_ult")[flags] for flags in range(8)} == {0}


def test_all_recordings_agree() -> None:
    assert all(report.ok for report in TABLES.recordings())
    costs = {row[0].split("`")[1]: (float(row[2]), float(row[3])) for row in body(TABLES.recorded_costs())}
    assert costs["stays"][1] * 50 < costs["exits before"][0]


# -- pictures ------------------------------------------------------------------------------------------


def test_pictures_are_svg_with_a_title_and_a_description() -> None:
    for name, picture in PICTURES.pictures().items():
        tree = ElementTree.fromstring(picture)
        space = {"svg": "http://www.w3.org/2000/svg"}
        title, desc = tree.find("svg:title", space), tree.find("svg:desc", space)
        assert title is not None and desc is not None and title.text and desc.text
        assert tree.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}", name


@pytest.mark.parametrize("one", TYPICAL, ids=lambda one: one.name)
def test_a_heat_map_has_every_place_twice(one: Any) -> None:
    picture = PICTURES.heat_map(one)
    assert picture.count("<g><title>") == 2 * len(SLOTS)


def test_a_heat_map_shows_what_is_so() -> None:
    one = next(one for one in TYPICAL if one.name == "xapic-memory")
    assert all(
        PICTURES.outcome(one.vcpu, offset, op).kind is Kind.MEMORY for offset in SLOTS for op in OPERATIONS
    )


def test_outcomes_have_letters_of_their_own() -> None:
    letters = [style.letter for style in PICTURES.STYLES.values()]
    assert set(PICTURES.STYLES) == set(Kind) and len(letters) == len(set(letters))


PAGE_KEYS = (
    "virtualize_apic_accesses",
    "tpr_shadow",
    "apic_register_virtualization",
    "virtual_interrupt_delivery",
)
MSR_KEYS = ("virtualize_x2apic_mode", *PAGE_KEYS[1:])


def subsets(keys: tuple[str, ...], *always: str) -> list[Controls]:
    chosen = product((False, True), repeat=len(keys))
    return [Controls.of(*always, *(k for k, on in zip(keys, ons, strict=True) if on)) for ons in chosen]


def test_the_diagram_leads_where_the_page_does() -> None:
    way = PICTURES.WAYS[0]
    for controls, offset, op, mapped in product(
        subsets(PAGE_KEYS, "secondary_controls"), SLOTS, OPERATIONS, (False, True)
    ):
        backing = Backing.MEMORY if mapped else Backing.ABSENT
        case = PICTURES.Case(controls, op, offset, mapped=mapped)
        assert PICTURES.follow(way, case) is access_page(controls, offset, op, backing=backing).kind
        wide = PICTURES.Case(controls, op, offset, plain=False, mapped=mapped)
        assert PICTURES.follow(way, wide) is access_page(controls, offset, op, width=64, backing=backing).kind


def test_the_diagram_leads_where_the_msrs_do() -> None:
    way = PICTURES.WAYS[1]
    for controls, offset, op, intercepted in product(
        subsets(MSR_KEYS, "secondary_controls", "msr_bitmaps"), SLOTS, OPERATIONS, (False, True)
    ):
        bitmap = MsrBitmap() if intercepted else MsrBitmap(0, 0)
        case = PICTURES.Case(controls, op, offset, intercepted=intercepted)
        assert PICTURES.follow(way, case) is access_msr(controls, bitmap, msr_of(offset), op).kind


def test_the_diagram_leads_where_cr8_does() -> None:
    way = PICTURES.WAYS[2]
    for controls, op in product(subsets(("tpr_shadow", "cr8_load_exiting", "cr8_store_exiting")), OPERATIONS):
        assert PICTURES.follow(way, PICTURES.Case(controls, op)) is access_cr8(controls, op).kind
