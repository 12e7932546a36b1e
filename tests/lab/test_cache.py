"""A half-made or damaged cache entry is never used."""

from __future__ import annotations

import importlib.machinery
import json
import os
import py_compile
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xenapic.lab import bochs_package, xens
from xenapic.lab.cache import Entry
from xenapic.lab.compiled import compiled
from xenapic.lab.errors import FetchFailed, XenPanicked
from xenapic.lab.programs import run
from xenapic.lab.runner import start


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


GARBLED = (
    "",
    "{}",
    "[]",
    '{"files": []}',
    '{"files": {"data": 1}}',
    '{"files": {"data": {"size": "5"}}}',
    "\0",
)


@pytest.mark.parametrize("text", GARBLED)
def test_a_garbled_manifest_means_making_it_again(entry: Entry, text: str) -> None:
    (entry.ensure(fill) / "manifest.json").write_text(text)
    assert entry.problem() is not None
    entry.ensure(fill)
    assert entry.problem(deep=True) is None


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


def test_wrong_bytes_of_the_right_size_are_found(entry: Entry) -> None:
    data = entry.ensure(fill) / "data"
    data.write_bytes(b"wholE")
    assert entry.problem() == "data is damaged"
    entry.ensure(fill)
    assert data.read_bytes() == b"whole"


def test_wrong_bytes_with_the_right_time_are_found_by_the_deep_check(entry: Entry) -> None:
    data = entry.ensure(fill) / "data"
    before = data.stat()
    data.write_bytes(b"wholE")
    os.utime(data, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert entry.problem() is None
    assert entry.problem(deep=True) == "data is damaged"


def test_the_right_bytes_at_another_time_are_fine(entry: Entry) -> None:
    os.utime(entry.ensure(fill) / "data", (1, 1))
    assert entry.problem() is None
    entry.ensure(forbidden)


def test_a_discarded_entry_is_gone(entry: Entry) -> None:
    entry.ensure(fill)
    entry.discard()
    assert entry.problem() is not None
    entry.discard()


def test_a_damaged_release_is_found_after_a_failed_boot_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first boot fails; the file that was damaged is made again, and the second boot succeeds."""
    entry = Entry(tmp_path / "xen-4.17", "recipe")
    entry.ensure(fill)
    data = entry.path / "data"
    before = data.stat()
    data.write_bytes(b"wholE")
    os.utime(data, ns=(before.st_atime_ns, before.st_mtime_ns))
    monkeypatch.setattr("xenapic.lab.xens.entry", lambda release: entry)
    boots: list[bool] = []

    def boot(order: object, stack: object) -> Any:
        entry.ensure(fill)
        boots.append(data.read_bytes() == b"whole")
        if not boots[-1]:
            raise XenPanicked("it died", stage="Xen", serial="", serial_path=None)
        return SimpleNamespace(retries=0)

    monkeypatch.setattr("xenapic.lab.runner._start_once", boot)
    said: list[str] = []
    with start(progress=lambda stage, text: said.append(text)) as session:
        assert session.retries == 1
    assert boots == [False, True]
    assert said[0] == "xen-4.17 in the cache is damaged (data is damaged); making it again"


COMPILED = "/checkout/xenapic/x.py"


@pytest.mark.parametrize("damage", [b"", b"short", b"\0" * 200, None])
def test_a_damaged_compiled_file_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes | None
) -> None:
    monkeypatch.setenv("XENAPIC_CACHE", str(tmp_path))
    source = tmp_path / "x.py"
    source.write_text("ANSWER = 42\n")
    tag, nowhere = sys.implementation.cache_tag, tmp_path / "root.iso"
    form = compiled({COMPILED: source}, tag, nowhere)[COMPILED]
    (kept,) = (tmp_path / "lab/compiled").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1] if damage is None else damage)
    assert compiled({COMPILED: source}, tag, nowhere) == {COMPILED: form}
    assert kept.read_bytes().endswith(form)
    place = tmp_path / "x.pyc"
    place.write_bytes(form)
    loaded = importlib.machinery.SourcelessFileLoader("x", str(place)).get_code("x")
    assert loaded is not None and loaded.co_filename == COMPILED


def test_a_compiled_form_is_that_of_python_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XENAPIC_CACHE", str(tmp_path / "cache"))
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text("def answer(): return 42\n")
    bad.write_text("def answer(: return 42\n")
    forms = compiled({COMPILED: good, "/bad.py": bad}, sys.implementation.cache_tag, tmp_path / "root.iso")
    place = tmp_path / "good.pyc"
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    py_compile.compile(str(good), str(place), COMPILED, doraise=True, invalidation_mode=mode)
    assert forms == {COMPILED: place.read_bytes()}


def test_without_dom0s_python_dom0_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XENAPIC_CACHE", str(tmp_path / "cache"))
    (tmp_path / "root.iso").write_bytes(bytes(100_000))
    source = tmp_path / "x.py"
    source.write_text("ANSWER = 42\n")
    assert compiled({COMPILED: source}, "cpython-399", tmp_path / "root.iso") == {}
    assert not list((tmp_path / "cache/lab/python-cpython-399").iterdir())


def test_a_full_disk_is_said_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XENAPIC_CACHE", str(tmp_path))
    full = SimpleNamespace(free=10 << 20)
    monkeypatch.setattr("xenapic.lab.programs.shutil.disk_usage", lambda path: full)
    for ensure in (lambda: xens.ensure(xens.release("4.17"), print), lambda: bochs_package.ensure(print)):
        with pytest.raises(FetchFailed, match=r"has 10 MB of room, and \d+ MB are needed"):
            ensure()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_program_that_fetches_dies_with_its_parent(tmp_path: Path) -> None:
    code = "from xenapic.lab.programs import run; run('sh', '-c', 'echo $$ >pid; exec sleep 300')"
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) as parent:
        until = time.monotonic() + 60
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            assert time.monotonic() < until
            time.sleep(0.02)
        parent.kill()
    child = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_program_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xenapic.lab.programs.LIMIT", 0.2)
    with pytest.raises(FetchFailed, match=r"sleep did not end within 0\.2 s"):
        run("sleep", "300")


def test_renewing_replaces_a_good_entry(entry: Entry) -> None:
    entry.ensure(fill)
    entry.ensure(lambda into: {**fill(into), "from": "there"}, renew=True)
    assert entry.manifest()["from"] == "there"
    assert [p.name for p in entry.home.iterdir()] == ["current"]


def test_compiled_forms_come_in_the_order_of_the_sources_whichever_are_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XENAPIC_CACHE", str(tmp_path / "cache"))
    sources = {f"/{name}.py": tmp_path / f"{name}.py" for name in "abc"}
    for number, source in enumerate(sources.values()):
        source.write_text(f"ANSWER = {number}\n")
    tag, nowhere = sys.implementation.cache_tag, tmp_path / "root.iso"
    compiled({name: source for name, source in sources.items() if name != "/b.py"}, tag, nowhere)
    assert list(compiled(sources, tag, nowhere)) == list(sources)
