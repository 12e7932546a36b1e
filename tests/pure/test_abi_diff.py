"""What differs between two releases: from the recorded headers, and from the tables of rules and defects."""

from __future__ import annotations

import json
import runpy
from itertools import permutations
from pathlib import Path

import pytest
from click.testing import CliRunner

from xenapic.abi.history import AbiChange, Item, abi_changes
from xenapic.cli.app import app
from xenapic.documents import from_json
from xenapic.documents.abi_differences import AbiDiff
from xenapic.model.releases import XEN_RELEASES, xen_release

ROOT = Path(__file__).parent.parent.parent
ORDER = [row.name for row in XEN_RELEASES]


def recorded(release: str) -> dict[str, dict[str, object]]:
    data = json.loads((ROOT / "tests/data/abi" / f"xen-{release.replace('-', '')}.json").read_text())
    return {
        "call": data["functions"],
        "constant": data["constants"],
        "field": {f"{name}.{key}": 0 for name, row in data["structs"].items() for key in row["fields"]},
    }


def test_the_shipped_history_is_that_of_the_recorded_headers() -> None:
    written = runpy.run_path(str(ROOT / "tools/write_abi_history.py"))["text"]()
    assert (ROOT / "xenapic/abi/history.json").read_text() == written, "run `make index`"


@pytest.mark.parametrize(("first", "second"), permutations(ORDER, 2))
def test_what_came_and_what_went_is_what_the_headers_say(first: str, second: str) -> None:
    before, after = recorded(first), recorded(second)
    changes = abi_changes(first, second, ORDER)
    for kind in before:
        came = {row.name for row in changes if row.item is Item(kind) and row.before is None}
        went = {row.name for row in changes if row.item is Item(kind) and row.after is None}
        assert came == set(after[kind]) - set(before[kind])
        assert went == set(before[kind]) - set(after[kind])
    reverse = {AbiChange(row.item, row.name, row.after, row.before) for row in changes}
    assert set(abi_changes(second, first, ORDER)) == reverse


def test_known_changes() -> None:
    changes = {row.name: row for row in abi_changes("4.17", "4.18", ORDER)}
    assert changes["xc_domain_getinfo"].after is None
    assert changes["xc_domain_getinfo_single"].before is None
    assert "XEN_X86_ASSISTED_XAPIC" in {row.name for row in abi_changes("4.17-rc", "4.17", ORDER)}


def test_what_xen_does_otherwise() -> None:
    found = AbiDiff.of(xen_release("4.17"), xen_release("4.21"))
    rows = {(row.subject, row.name): row.change for row in found.behaviour}
    assert rows["create-rule", "altp2m-unknown"] == "added"
    assert rows["create-rule", "grant-frames-too-many"] == "removed"
    assert rows["create-rule", "domid-in-use"] == "changed"
    assert rows["defect", "refused-create-keeps-number"] == "added"
    assert ("create-rule", "vcpus-too-many") not in rows
    back = AbiDiff.of(xen_release("4.21"), xen_release("4.17"))
    other = {"added": "removed", "removed": "added", "changed": "changed"}
    assert {(row.subject, row.name): other[row.change] for row in back.behaviour} == rows


def test_the_command() -> None:
    done = CliRunner().invoke(app, ["abi", "diff", "4.17.3-1", "4.18"])
    assert done.exit_code == 0
    assert "xc_domain_getinfo_single" in done.output and "known defects:" in done.output
    done = CliRunner().invoke(app, ["abi", "diff", "4.17", "4.21", "--json"])
    assert from_json(done.output) == AbiDiff.of(xen_release("4.17"), xen_release("4.21"))
    done = CliRunner().invoke(app, ["abi", "diff", "4.20", "4.20.3"])
    assert done.output == "no difference between Xen 4.20 and 4.20\n"
    assert CliRunner().invoke(app, ["abi", "diff", "4.17", "4.99"]).exit_code == 2
