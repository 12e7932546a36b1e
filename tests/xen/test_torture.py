"""Commands killed at random moments on a real Xen; ``make torture`` does the same for 20 minutes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.torture.__main__ import wrong
from tests.xen.boots import on, run, thorough

pytestmark = pytest.mark.xen


def tortured(xen_lab: Any, machine: str, release: str, *words: str) -> dict[str, Any]:
    command = ["python3", "-m", "tests.torture.dom0", *words]
    done = run(xen_lab, command, machine=machine, xen=release, timeout=900)
    assert done.status == 0, done.stderr.decode()
    result: dict[str, Any] = json.loads(done.stdout)
    assert not wrong(result), "\n".join(wrong(result))
    return result


@pytest.mark.parametrize("release", [thorough("4.20"), thorough("4.17")])
def test_killed_at_random_moments_nothing_is_lost(xen_lab: Any, release: str) -> None:
    result = tortured(
        xen_lab, "epyc", release, "--seed=11", "--kills=90", "--creates=300", "--herd=3", "--forks=30"
    )
    assert result["kills"] == 90 and set(result["by_signal"]) == {"SIGHUP", "SIGINT", "SIGKILL", "SIGTERM"}
    assert result["in_time"] > 45, "most must be hit before they end"
    assert result["orphans_removed"] > 0 and result["tracing_mended"] > 0, "SIGKILL must leave something"
    assert result["forks"]["hung"] == 0


@pytest.mark.ends_its_machine  # it leaves domains of others there
@pytest.mark.parametrize("where", [on("broadwell_ult", "4.17", thorough=True)])
def test_measuring_killed_at_random_moments(xen_lab: Any, where: tuple[str, str]) -> None:
    result = tortured(xen_lab, *where, "--seed=12", "--kills=12", "--only=host --measure")
    assert result["kills"] == 12 and result["in_time"] > 4
