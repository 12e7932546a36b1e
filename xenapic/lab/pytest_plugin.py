"""A pytest plugin: the fixture ``xen_lab`` runs a command on a real Xen, so any tool's tests can.

    def test_my_tool(xen_lab):
        done = xen_lab.run(["python3", "/t.py"], files={"/t.py": "tool.py"})
        assert done.status == 0

Options: ``--xen-machine`` and ``--xen-release`` set what tests get that name none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xenapic.lab import RunResult


@dataclass(frozen=True)
class XenLab:
    """The lab, with the machine and release chosen on pytest's command line."""

    machine: str
    xen: str

    def run(self, command: Sequence[str], **options: Any) -> RunResult:
        """Boot and run, as `xenapic.lab.run`; a missing program fails the test, naming what to install."""
        from xenapic.lab import LabPrerequisite, run

        try:
            return run(command, **{"machine": self.machine, "xen": self.xen, **options})
        except LabPrerequisite as error:
            pytest.fail(str(error), pytrace=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options."""
    group = parser.getgroup("xen", "a real Xen in an emulated machine (xenapic)")
    group.addoption("--xen-machine", default="epyc", help="machine of 'xenapic lab list' (default: epyc)")
    group.addoption("--xen-release", default="4.17", help="Xen release: 4.17 or 4.20 (default: 4.17)")


@pytest.fixture(scope="session")
def xen_lab(pytestconfig: pytest.Config) -> XenLab:
    """Give a test a real Xen to run commands on."""
    return XenLab(pytestconfig.getoption("--xen-machine"), pytestconfig.getoption("--xen-release"))
