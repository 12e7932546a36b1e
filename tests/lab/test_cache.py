"""A half-made or damaged cache entry is never used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xenapic.lab.cache import Entry


def fill(into: Path) -> dict[str, Any]:
    (into / "data").write_bytes(b"whole")
    return {"from": "here"}


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    return Entry(tmp_path / "e", "recipe 1")


def forbidden(into: Path) -> dict[str, Any]:
    raise AssertionError("made again")


def test_made_once_and_reused(entry: Entry) -> None:
    path = entry.ensure(fill)
    assert (path / "data").read_bytes() == b"whole"
    assert entry.ensure(forbidden) == path
    assert entry.manifest()["from"] == "here"


def test_nothing_is_left_of_a_failed_making(entry: Entry) -> None:
    def fail(into: Path) -> dict[str, Any]:
        (into / "data").write_bytes(b"ha")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        entry.ensure(fail)
    assert list(entry.home.iterdir()) == []
    assert entry.problem() is not None


def test_what_a_killed_making_left_is_removed(entry: Entry) -> None:
    (entry.home / "making-x/made").mkdir(parents=True)
    entry.ensure(fill)
    assert [p.name for p in entry.home.iterdir()] == ["current"]


@pytest.mark.parametrize("damage", ["cut", "gone", "no manifest", "torn manifest", "recipe"])
def test_a_bad_entry_is_made_again(entry: Entry, damage: str) -> None:
    path = entry.ensure(fill)
    if damage == "cut":
        (path / "data").write_bytes(b"who")
    elif damage == "gone":
        (path / "data").unlink()
    elif damage == "no manifest":
        (path / "manifest.json").unlink()
    elif damage == "torn manifest":
        (path / "manifest.json").write_text('{"files":')
    else:
        manifest = json.loads((path / "manifest.json").read_text())
        (path / "manifest.json").write_text(json.dumps({**manifest, "recipe": "recipe 0"}))
    assert entry.problem() is not None
    entry.ensure(fill)
    assert entry.problem(deep=True) is None


def test_a_flipped_byte_is_found_by_the_deep_check(entry: Entry) -> None:
    (entry.ensure(fill) / "data").write_bytes(b"wholE")
    assert entry.problem() is None
    assert entry.problem(deep=True) == "data is damaged"


def test_renewing_replaces_a_good_entry(entry: Entry) -> None:
    entry.ensure(fill)
    entry.ensure(lambda into: {**fill(into), "from": "there"}, renew=True)
    assert entry.manifest()["from"] == "there"
    assert [p.name for p in entry.home.iterdir()] == ["current"]
