"""A domain's VM exits over some time, as values."""

from __future__ import annotations

from dataclasses import dataclass

from xenapic.apic.features import Technology
from xenapic.exits.judgement import Cause, ExitKind, Removable

__all__ = ["ExitCount", "ExitReport"]


@dataclass(frozen=True, slots=True)
class ExitCount:
    """How many exits of one kind a vCPU had."""

    vcpu: int
    kind: ExitKind
    count: int


@dataclass(frozen=True, slots=True)
class ExitReport:
    """A domain's VM exits over some time."""

    domid: int
    technology: Technology
    seconds: float
    """Duration of the count."""
    counts: tuple[ExitCount, ...]
    """Per vCPU, most frequent first."""
    lost: int
    """Trace records, of all kinds and domains, that Xen lost because the buffers were full."""
    lost_more: bool
    """Whether Xen may have lost more records at the end; it reports a loss only with the next record."""
    unattributed: int
    """Exits whose domain is unknown."""
    malformed: int
    """Pieces of trace that could not be read."""
    unseen_cpus: int
    """CPUs without a trace buffer: they came online after the buffers were allocated."""
    ended: bool
    """Whether the domain was gone at the end."""
    notes: tuple[str, ...]
    """What limits these numbers, in sentences."""

    @property
    def complete(self) -> bool:
        """Whether every exit was counted; otherwise the numbers are lower bounds."""
        return not (self.lost or self.lost_more or self.unattributed or self.malformed or self.unseen_cpus)

    @property
    def total(self) -> int:
        """All exits of the domain."""
        return self.count()

    def count(
        self,
        *,
        reason: int | None = None,
        register: str | None = None,
        cause: Cause | None = None,
        removable: Removable | None = None,
        vcpu: int | None = None,
    ) -> int:
        """Return the number of exits that match every argument given."""
        return sum(
            row.count
            for row in self.counts
            if reason in (None, row.kind.reason)
            and register in (None, row.kind.register)
            and cause in (None, row.kind.cause)
            and removable in (None, row.kind.removable)
            and vcpu in (None, row.vcpu)
        )

    def rate(self, count: int) -> float:
        """Return a number of exits as a rate per second."""
        return count / self.seconds if self.seconds > 0 else 0.0

    @property
    def removable_share(self) -> tuple[float, float]:
        """The share of exits that acceleration could remove, 0 to 1: a lower and an upper bound."""
        least = self.count(removable=Removable.YES)
        most = least + self.count(removable=Removable.UNKNOWN)
        return (least / self.total, most / self.total) if self.total else (0.0, 0.0)

    @property
    def kinds(self) -> dict[ExitKind, int]:
        """The counts of all vCPUs added up, most frequent first."""
        sums: dict[ExitKind, int] = {}
        for row in self.counts:
            sums[row.kind] = sums.get(row.kind, 0) + row.count
        return dict(sorted(sums.items(), key=lambda item: -item[1]))
