"""What can be wrong with a file and with JSON text: an error of ours that names the place."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from tests.hosts import host
from xenapic.documents import from_file, from_json, to_json
from xenapic.errors import DocumentInvalid, FileUnreadable
from xenapic.model.host import Host
from xenapic.parse.files import LIMIT_BYTES, read_file
from xenapic.parse.jsontext import load

GOOD = json.dumps(to_json(host()))


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


# -- the file -----------------------------------------------------------------------------------------


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match=r"none\.json: there is no such file"):
        from_file(tmp_path / "none.json")
    with pytest.raises(FileUnreadable, match="no such file"):
        read_file("a\0b")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileUnreadable, match="no such file"):
        read_file(tmp_path / "file" / "below")


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match="it is a directory, not a file"):
        from_file(tmp_path)


def test_a_forbidden_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_args: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)  # root may read everything
    with pytest.raises(FileUnreadable, match=r"secret\.json: this user may not read it"):
        from_file(tmp_path / "secret.json")


def test_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(FileUnreadable, match="form a loop"):
        read_file(tmp_path / "loop")


def test_a_huge_file(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(FileUnreadable, match="it has more than 32 MiB"):
        read_file(path)
    assert len(read_file("/dev/null")) == 0
    with pytest.raises(FileUnreadable):
        read_file("/dev/zero", 1000)
    with path.open("wb") as file:
        file.truncate(LIMIT_BYTES)
    assert len(read_file(path)) == LIMIT_BYTES


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable) as caught:
        read_file(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    str(caught.value).encode()


# -- the text -----------------------------------------------------------------------------------------

FAULTS = {
    "empty": (b"", "not JSON: line 1, column 1: expecting value"),
    "cut": (GOOD[:-1].encode(), "not JSON: line 1, column"),
    "NUL": (b"\0" + GOOD.encode(), "not JSON: line 1, column 1: expecting value"),
    "NUL inside": (changed('"yes"', '"y\0s"').encode(), "not JSON: line 1, column [0-9]+: invalid control character"),
    "Latin-1": (b'{\n"schema": "\xe4"}', "not JSON: line 2 is not UTF-8: byte 0xe4 at offset 13"),
    "UTF-16": (GOOD.encode("utf-16"), "not JSON: line 1 is not UTF-8: byte 0xff at offset 0"),
    "deep list": (b"[" * 200_000, "not JSON that can be read: it is nested too deeply"),
    "deep object": (b'{"a":' * 200_000, "not JSON that can be read: it is nested too deeply"),
    "many digits": (b'{"a": ' + b"7" * 100_000 + b"}", "not JSON that can be read: a number has thousands of digits|schema: the key is missing"),
    "NaN": (changed('"answer": "yes"', '"answer": NaN').encode(),
            r"features\.\w+\.answer: NaN is not a JSON number"),
    "infinity": (changed('"nr_cpus": 1', '"nr_cpus": -Infinity').encode(),
                 r"physinfo\.nr_cpus: -Infinity is not a JSON number"),
    "huge": (changed('"nr_cpus": 1', '"nr_cpus": 1e999').encode(), r"physinfo\.nr_cpus: expected a whole number"),
    "twice": (changed('"nr_cpus": 1', '"nr_cpus": 1, "nr_cpus": 2').encode(),
              r"physinfo\.nr_cpus: the key occurs twice in this object"),
    "twice, at the top": (changed('"physinfo"', '"schema": 1, "physinfo"').encode(),
                          "schema: the key occurs twice in this object"),
    "half a character": (changed('"xen": "', r'"xen": "\ud800').encode(), "xen: expected text without unpaired"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_text(fault: str, tmp_path: Path) -> None:
    data, message = FAULTS[fault]
    with pytest.raises(DocumentInvalid, match=f"^({message})"):
        from_json(data, Host)
    path = tmp_path / "report.json"
    path.write_bytes(data)
    with pytest.raises(DocumentInvalid, match=message) as caught:
        from_file(path, Host)
    assert str(caught.value).startswith(f"{path}: ") and caught.value.file == str(path)


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(GOOD, encoding="utf-8-sig")
    assert from_file(path, Host) == from_json(GOOD) == from_json("\ufeff" + GOOD)


def test_a_fault_in_a_deep_document_is_found() -> None:
    deep = "[" * 300 + "NaN" + "]" * 300
    with pytest.raises(DocumentInvalid) as caught:
        load(f'{{"a": {{"b c": {deep}}}}}')
    assert caught.value.path == 'a["b c"]' + "[0]" * 300
