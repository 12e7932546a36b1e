"""What is known about one CPU between two of its trace records."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ADDRESS",
    "CONTROL_REGISTER",
    "EOI",
    "MSR",
    "NO_EXIT",
    "OPERATION",
    "PAGE_FAULT",
    "REASON",
    "SOMEBODY",
    "SVM",
    "VALUE",
    "Counts",
    "CpuState",
    "Owner",
]

Counts = dict[int, int]
"""Number of exits, by the number of their kind."""
Owner = tuple[int, int]
"""Domain and vCPU."""
SOMEBODY: Owner = (-1, -1)
"""An unknown vCPU, but not one of the domain that is counted."""
NO_EXIT = -1
"""In place of a reason: no exit is being handled."""


class CpuState:
    """The vCPU that runs on a CPU, and the exit that Xen is handling there."""

    __slots__ = (
        "broken",
        "clues",
        "counts",
        "lenient",
        "pool",
        "running",
        "seen",
    )

    def __init__(self) -> None:
        self.running: Owner | None = None
        """The vCPU that runs; None while it is unknown."""
        self.seen = False
        """Whether a record has shown which vCPU runs."""
        self.lenient = True
        """Whether the next record may contradict: Xen records a change of vCPU just before it happens."""
        self.broken = False
        """Whether records contradicted one another; exits then count as unattributed."""
        self.pool: Counts = {}
        """Exits of the vCPU that runs, while it is unknown."""
        self.counts = self.pool
        """Where exits are counted now."""
        self.clues: list[Any] = []
        """What is known about the exit that Xen is handling: the fields of `Clues`, in a list for speed."""
        self.begin(False, NO_EXIT)

    def begin(self, svm: bool, reason: int) -> None:
        """Start an exit without clues."""
        self.clues = [svm, reason, None, None, 0, None, None, None, False]


SVM, REASON, ADDRESS, PAGE_FAULT, OPERATION, MSR, CONTROL_REGISTER, VALUE, EOI = range(9)
"""Places in `CpuState.clues`."""
