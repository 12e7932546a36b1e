"""What is known about one CPU between two of its trace records."""

from __future__ import annotations

__all__ = ["NO_EXIT", "SOMEBODY", "Counts", "CpuState", "Owner"]

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
        "address",
        "broken",
        "control_register",
        "counts",
        "eoi",
        "lenient",
        "msr",
        "operation",
        "page_fault",
        "pool",
        "reason",
        "running",
        "seen",
        "svm",
        "value",
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
        self.begin(False, NO_EXIT)

    def begin(self, svm: bool, reason: int) -> None:
        """Start an exit without clues; the fields are those of `Clues`, kept simple for speed."""
        self.svm, self.reason = svm, reason
        self.address = self.page_fault = self.msr = self.control_register = self.value = None
        self.operation = 0
        self.eoi = False

    address: int | None
    page_fault: int | None
    msr: int | None
    control_register: int | None
    value: int | None
