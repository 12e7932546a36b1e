"""A real, unmodified Xen in an emulated machine.

``run(["xenapic", "verify"], machine="broadwell_ult")`` boots Debian's Xen in an emulator and runs
the command in dom0. Nothing needs hardware virtualisation, and nothing is installed.
"""

from __future__ import annotations

from .errors import LabError, LabPrerequisite, XenPanicked
from .machines import MACHINES, Machine
from .runner import RunResult, run

__all__ = ["MACHINES", "LabError", "LabPrerequisite", "Machine", "RunResult", "XenPanicked", "run"]
