"""The reader of xl.cfg agrees with the libxlutil of each release."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.pure.test_xlcfg import NAMES, PIECES, ours
from tests.xen.boots import run

pytestmark = pytest.mark.xen
HERE = Path(__file__).parent
COUNT = 1000


@pytest.mark.parametrize("release", ["4.17", "4.20"])
def test_random_files_read_as_the_library_reads_them(xen_lab: Any, release: str, tmp_path: Path) -> None:
    pieces = random.Random(f"xl.cfg for {release}")
    texts = ["".join(pieces.choices(PIECES, k=pieces.randrange(10))) for _ in range(COUNT)]
    (tmp_path / "texts.json").write_text(json.dumps([texts, NAMES]))
    files = {
        "/dom0_xlcfg.py": HERE / "dom0_xlcfg.py",
        "/libxlutil.py": HERE.parent / "libxlutil.py",
        "/texts.json": tmp_path / "texts.json",
    }
    done = run(xen_lab, ["python3", "/dom0_xlcfg.py"], machine="epyc", xen=release, files=files)
    assert done.status == 0, done.stderr.decode()
    differing = {}
    read = 0
    for text, answer in zip(texts, json.loads(done.stdout), strict=True):
        theirs = answer and {name: tuple(value) for name, value in answer.items()}
        read += theirs is not None
        if ours(text.encode("latin-1")) != theirs:
            differing[text] = theirs
    assert differing == {}
    assert COUNT * 0.1 < read < COUNT * 0.9
