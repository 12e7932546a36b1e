"""The documentation's tables and pictures: they say what the functions say, and leave nothing out."""

from __future__ import annotations

import json
import os
import re
from enum import Enum
from itertools import product
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import pytest

import xenapic
import xenapic_docs
from xenapic.apic.access import access_cr8, access_msr, access_page
from xenapic.apic.controls import Controls
from xenapic.apic.outcome import Backing, Kind, MsrBitmap, Operation
from xenapic.apic.processors import PROCESSORS
from xenapic.apic.registers import SLOTS, Reg, msr_of
from xenapic.apic.state import ApicState
from xenapic.glossary import topics
from xenapic.model.releases import XEN_RELEASES
from xenapic.model.typical import TYPICAL
from xenapic.policy.finder import SETTINGS, processor_classes
from xenapic.policy.terms import Policy
from xenapic_docs import comparison, decision, finder, heatmap, observed, schemas, svg
from xenapic_docs.api import examples_as_code, readable_signature, skip_what_has_a_top_name
from xenapic_docs.fragments import TABLES, files, pictures, write
from xenapic_docs.markdown import slug, topic_label

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not path.relative_to(DOCS).parts[0].startswith("_"))
API_PAGES = sorted((DOCS / "reference" / "api").glob("*.rst"))
OPERATIONS = (Operation.READ, Operation.WRITE)


def body(markdown: str) -> list[list[str]]:
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_matrix_has_a_row_for_each_release_and_a_column_for_each_class(setting: str) -> None:
    rows = body(finder.matrix(setting))
    assert [re.sub(r"[\[\]]|\(.*", "", row[0]) for row in rows] == [release.name for release in XEN_RELEASES]
    assert {len(row) for row in rows} == {1 + len(processor_classes())}


def test_every_processor_is_listed_in_its_column() -> None:
    shown = finder.which_processor()
    assert all(f"`{name}`" in shown for name in PROCESSORS)


def test_one_section_stands_for_all_releases_that_link_to_it() -> None:
    for kind, setting in product(processor_classes(), SETTINGS):
        texts: dict[str, set[str]] = {}
        for release in XEN_RELEASES:
            found = finder.finding(release, kind.example, setting)
            text = f"{found.text} {found.stays(ApicState.XAPIC)} {found.stays(ApicState.X2APIC)} {bool(found.answer)}"
            texts.setdefault(finder.detail_label(release, kind), set()).add(text)
        assert all(len(section) == 1 for section in texts.values())


def test_every_fragment_is_included_and_every_include_is_made() -> None:
    text = "\n".join(path.read_text() for path in PAGES)
    included = set(re.findall(r"_generated/([\w-]+\.\w+)", text))
    made = {f"{name}.md" for name in TABLES} | {f"{name}.svg" for name in pictures()}
    assert included == made


def test_a_fragment_that_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {name for name, _text in files()}
    for path in tmp_path.iterdir():
        os.utime(path, (1, 1))
    changed = tmp_path / "boot.md"
    changed.write_text("old")
    os.utime(changed, (1, 1))
    write(tmp_path)
    assert [path for path in tmp_path.iterdir() if path.stat().st_mtime != 1] == [changed]
    assert changed.read_text() == TABLES["boot"]()


class FakeSphinx:
    """Keeps what an extension connects, in place of Sphinx."""

    def __init__(self, srcdir: Path) -> None:
        self.srcdir = srcdir
        self.connected: dict[str, Any] = {}

    def connect(self, event: str, callback: Any) -> None:
        self.connected[event] = callback


def test_the_extension_writes_before_a_build(tmp_path: Path) -> None:
    app = FakeSphinx(tmp_path)
    xenapic_docs.setup(cast("Any", app))
    app.connected["builder-inited"](app)
    assert (tmp_path / "_generated" / "boot.md").read_text() == TABLES["boot"]()


def test_links_of_tables_lead_somewhere() -> None:
    made = {name: make() for name, make in TABLES.items()}
    labels = set(re.findall(r"^\(([\w-]+)\)=$", "\n".join(made.values()), re.MULTILINE))
    assert {topic_label(topic) for topic in topics().values()} <= labels
    for name, text in made.items():
        assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= labels, name


def test_every_processor_is_in_one_table_and_has_a_source() -> None:
    rows = [row[0] for name in ("processors", "models") for row in body(TABLES[name]())]
    assert sorted(rows) == sorted(f"`{name}`" for name in PROCESSORS)
    assert [row[0] for row in body(TABLES["processor_sources"]())] == [f"`{name}`" for name in PROCESSORS]


def test_labels_are_unique() -> None:
    labels = [topic_label(topic) for topic in topics().values()]
    assert len(labels) == len(set(labels))


def test_the_finder_is_one_click_from_the_front_page() -> None:
    assert "(reference/finder.md)" in (DOCS / "index.md").read_text()
    assert "(finder.md)" in (DOCS / "reference" / "index.md").read_text()


def test_the_front_page_shows_the_same_guest_twice() -> None:
    """The picture's totals are those of the access table: all of them leave, and most of them stay."""
    off, on = comparison.sides()
    assert [off.share(op) for op in OPERATIONS] == ["0 of 42 reads", "0 of 16 writes"]
    assert [on.share(op) for op in OPERATIONS] == ["39 of 42 reads", "3 of 16 writes"]
    kinds = {reg: (off.outcome(reg, op).kind, on.outcome(reg, op).kind) for _, reg, op in comparison.SHOWN}
    assert kinds[Reg.EOI] == (Kind.EXITS_BEFORE, Kind.STAYS)
    assert kinds[Reg.TMICT] == (Kind.EXITS_BEFORE, Kind.EXITS_BEFORE)


# -- the API pages -------------------------------------------------------------------------------------


def test_every_public_name_is_documented_once_under_that_name() -> None:
    """A new public name belongs on one page of docs/reference/api."""
    text = "\n".join(path.read_text() for path in API_PAGES)
    documented = re.findall(
        r"^\.\. (?:auto(?:class|function|exception)|py:data):: xenapic\.(\w+)$", text, re.MULTILINE
    )
    assert sorted(documented) == sorted([*xenapic.__all__, "open"])


def test_a_module_page_leaves_out_what_has_a_top_name() -> None:
    from xenapic.policy import plan as module

    def skipped(what: str, name: str) -> bool | None:
        return skip_what_has_a_top_name(cast("Any", None), what, name, getattr(module, name), False, None)

    assert skipped("module", "Plan") is True
    assert skipped("module", "states") is None
    assert skipped("class", "Plan") is None


class Colour(Enum):
    RED = 1


def signature(obj: object, text: str) -> Any:
    return readable_signature(cast("Any", None), "class", "name", obj, None, text, None)


def test_signatures_are_readable() -> None:
    assert signature(Colour, "(value)") == ("", None)
    assert signature(Policy, "(a: dict[str, int] = <factory>)") == ("(a: dict[str, int] = ...)", None)
    assert signature(Policy, "(a: int)") is None


def test_examples_of_the_command_become_code() -> None:
    lines = ["Show it.", "", "| xenapic a --b", "|   xenapic c", "", "More."]
    examples_as_code(cast("Any", None), cast("Any", None), lines)
    assert lines == [
        "Show it.", "", ".. code-block:: text", "", "   xenapic a --b", "     xenapic c", "", "More.",
    ]  # fmt: skip


# -- what is said of the recordings --------------------------------------------------------------------


def recording(name: str) -> Any:
    return json.loads((observed.OBSERVED / f"xen-4.17-rc-{name}.json").read_text())


def answers(name: str) -> dict[int, int]:
    """The errno to each misc_flags of a PVH create with HAP."""
    return {
        entry["misc_flags"]: entry["errno"]
        for entry in recording(name)["create"]
        if (entry["flags"], entry["emulation_flags"]) == (3, 1)
    }


def test_the_page_of_recordings_says_what_they_hold() -> None:
    words = body(observed.recorded_words())
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
    assert all(report.ok for report in observed.recordings())
    costs = {row[0].split("`")[1]: (float(row[2]), float(row[3])) for row in body(observed.recorded_costs())}
    assert costs["stays"][1] * 50 < costs["exits before"][0]


# -- pictures ------------------------------------------------------------------------------------------


def test_pictures_are_svg_with_a_title_and_a_description() -> None:
    for name, picture in pictures().items():
        tree = ElementTree.fromstring(picture)
        space = {"svg": "http://www.w3.org/2000/svg"}
        title, desc = tree.find("svg:title", space), tree.find("svg:desc", space)
        assert title is not None and desc is not None and title.text and desc.text
        assert tree.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}", name


@pytest.mark.parametrize("one", TYPICAL, ids=lambda one: one.name)
def test_a_heat_map_has_every_place_twice(one: Any) -> None:
    picture = heatmap.heat_map(one)
    assert picture.count("<g><title>") == 2 * len(SLOTS)


def test_a_heat_map_shows_what_is_so() -> None:
    one = next(one for one in TYPICAL if one.name == "xapic-memory")
    assert all(
        heatmap.outcome(one.vcpu, offset, op).kind is Kind.MEMORY for offset in SLOTS for op in OPERATIONS
    )


def test_outcomes_have_letters_of_their_own() -> None:
    letters = [style.letter for style in svg.STYLES.values()]
    assert set(svg.STYLES) == set(Kind) and len(letters) == len(set(letters))


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
    way = decision.WAYS[0]
    for controls, offset, op, mapped in product(
        subsets(PAGE_KEYS, "secondary_controls"), SLOTS, OPERATIONS, (False, True)
    ):
        backing = Backing.MEMORY if mapped else Backing.ABSENT
        case = decision.Case(controls, op, offset, mapped=mapped)
        assert decision.follow(way, case) is access_page(controls, offset, op, backing=backing).kind
        wide = decision.Case(controls, op, offset, plain=False, mapped=mapped)
        assert decision.follow(way, wide) is access_page(controls, offset, op, width=64, backing=backing).kind


def test_the_diagram_leads_where_the_msrs_do() -> None:
    way = decision.WAYS[1]
    for controls, offset, op, intercepted in product(
        subsets(MSR_KEYS, "secondary_controls", "msr_bitmaps"), SLOTS, OPERATIONS, (False, True)
    ):
        bitmap = MsrBitmap() if intercepted else MsrBitmap(0, 0)
        case = decision.Case(controls, op, offset, intercepted=intercepted)
        assert decision.follow(way, case) is access_msr(controls, bitmap, msr_of(offset), op).kind


def test_the_diagram_leads_where_cr8_does() -> None:
    way = decision.WAYS[2]
    for controls, op in product(subsets(("tpr_shadow", "cr8_load_exiting", "cr8_store_exiting")), OPERATIONS):
        assert decision.follow(way, decision.Case(controls, op)) is access_cr8(controls, op).kind


# -- documents -----------------------------------------------------------------------------------------


def test_every_key_of_every_document_is_listed() -> None:
    text = schemas.document_keys()
    for name, schema in schemas.schemas().items():
        section = text.partition(f"## `{schema['title']}`")[2].partition("\n## ")[0]
        forms = schema.get("anyOf", [schema])
        for form in forms:
            for key in schemas.entries().get(form.get("$ref", "").rpartition("/")[2], form)["properties"]:
                assert f"| `{key}`" in section, (name, key)
    for part in schemas.entries():
        assert f"({slug('part', part)})=\n**{part}**" in text


def test_the_kinds_of_values_are_in_words() -> None:
    integer = {"type": "integer"}
    assert schemas.kind({"anyOf": [integer, {"type": "null"}]}) == "integer or null"
    assert schemas.kind({"type": "array", "items": integer}) == "list of integer"
    assert schemas.kind({"type": "object", "additionalProperties": integer}) == "object: name to integer"
    assert schemas.kind({"enum": ["yes", "no"]}) == '`"yes"` or `"no"`'
    assert schemas.kind({}) == "any value"
