"""What starting costs: recorded, not tested. Run with ``make bench``.

Import time is the package's own, as ``python -X importtime`` counts it; the
command's is a whole process, Python included.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMAND = str(Path(sys.executable).parent / "xenapic")


def own_import_ms() -> float:
    """Return the milliseconds that ``import xenapic`` takes with its imports, without Python's own start."""
    command = [sys.executable, "-X", "importtime", "-c", "import xenapic"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (microseconds,) = re.findall(r"import time: +\d+ \| +(\d+) \| xenapic$", done.stderr, re.MULTILINE)
    return int(microseconds) / 1000


@pytest.mark.parametrize("arguments", [["--help"], ["create", "--help"], ["lab", "--help"]], ids=" ".join)
def test_command(benchmark: Any, arguments: list[str]) -> None:
    benchmark(subprocess.run, [COMMAND, *arguments], capture_output=True, check=True)


def test_import(benchmark: Any) -> None:
    benchmark.extra_info["own_ms"] = sorted(own_import_ms() for _ in range(9))[4]
    print(f"\nown import time: {benchmark.extra_info['own_ms']:.1f} ms (median of 9)")
    benchmark(subprocess.run, [sys.executable, "-c", "import xenapic"], check=True)


def test_check(benchmark: Any) -> None:
    from tests.hosts import situation
    from xenapic.model.config import DomainConfig
    from xenapic.model.create import prepare_request

    there, config = situation(), DomainConfig.pvh(max_vcpus=2)
    assert benchmark(prepare_request, config, there).problems == ()
