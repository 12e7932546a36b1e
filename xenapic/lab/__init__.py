"""A real, unmodified Xen in an emulated machine.

``run(["xenapic", "host"], machine="broadwell_ult")`` boots Debian's Xen in an emulator and runs
the command in dom0. ``start`` provides a machine for several commands. Nothing needs hardware
virtualisation, and nothing is installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xenapic.lab.errors import LabError as LabError
    from xenapic.lab.errors import LabPrerequisite as LabPrerequisite
    from xenapic.lab.errors import StageTimeout as StageTimeout
    from xenapic.lab.errors import XenPanicked as XenPanicked
    from xenapic.lab.machines import MACHINES as MACHINES
    from xenapic.lab.machines import Machine as Machine
    from xenapic.lab.runner import RunResult as RunResult
    from xenapic.lab.runner import Session as Session
    from xenapic.lab.runner import run as run
    from xenapic.lab.runner import start as start

# Names load on first use: every pytest on the machine imports the pytest plugin.
_HOMES = {
    "LabError": "errors",
    "LabPrerequisite": "errors",
    "StageTimeout": "errors",
    "XenPanicked": "errors",
    "MACHINES": "machines",
    "Machine": "machines",
    "RunResult": "runner",
    "Session": "runner",
    "run": "runner",
    "start": "runner",
}

__all__ = [
    "MACHINES",
    "LabError",
    "LabPrerequisite",
    "Machine",
    "RunResult",
    "Session",
    "StageTimeout",
    "XenPanicked",
    "run",
    "start",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
