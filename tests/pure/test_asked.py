"""What people asked and pasted gets the right answer: the command's output holds what it must, and nothing misleading.

``asked.json`` has questions from public trackers, ``asked_more.json`` further ones of the same kinds: arguments,
files, and regular expressions that the output must and must not match.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from xenapic.cli.app import app

DATA = Path(__file__).parent.parent / "data"
CASES = [case for name in ("asked.json", "asked_more.json") for case in json.loads((DATA / name).read_text())]
STATUS = {"ok": (0,), "refused": (1,), "unknown": (2,)}


def _title(case: dict[str, Any]) -> str:
    return re.sub(r"[^\w.=-]+", "-", " ".join(case["args"]))[:60]


@pytest.mark.parametrize("case", CASES, ids=_title)
def test_asked(case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name, text in case.get("files", {}).items():
        (tmp_path / name).write_text(text)
    done = CliRunner().invoke(app, case["args"], input=case.get("input"))
    text = " ".join(done.output.split())
    for pattern in case["must"]:
        assert re.search(pattern, text), f"{pattern!r} is not in:\n{done.output}"
    for pattern in case.get("must_not", ()):
        assert not re.search(pattern, text), f"{pattern!r} is in:\n{done.output}"
    if "exit" in case:
        assert done.exit_code in STATUS[case["exit"]], done.output


@pytest.mark.parametrize("case", [case for case in CASES if case["args"][0] == "explain"], ids=_title)
def test_an_answer_fits_a_screen(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    done = CliRunner().invoke(app, case["args"], input=case.get("input"))
    assert len(done.output.splitlines()) <= 40, done.output
