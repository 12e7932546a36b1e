"""``xenapic/exits``: a domain's VM exits by reason and APIC register."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xenapic.apic.features import Technology
from xenapic.apic.outcome import Operation
from xenapic.exits.counter import ExitCount, ExitReport
from xenapic.exits.judgement import Cause, ExitKind, Removable
from xenapic.exits.reasons import reason_name

__all__ = ["ApicExits", "ExitCounts", "ExitEntry", "ShareRange"]


@dataclass(frozen=True, slots=True)
class ShareRange:
    """A part of all exits, 0 to 1."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class ApicExits:
    """The exits that had to do with the APIC."""

    access: int
    """Exits for a register of the guest's APIC."""
    delivery: int
    """Exits in which Xen waited to deliver an interrupt."""
    unknown: int
    """Exits of which no record says whether they were for the APIC."""
    removable: int
    """Exits that acceleration would have avoided."""
    removable_unknown: int
    """Exits of which it is unknown whether acceleration would have avoided them."""
    removable_share: ShareRange

    @classmethod
    def of(cls, report: ExitReport) -> ApicExits:
        """Return the APIC's part of a report."""
        return cls(
            access=report.count(cause=Cause.ACCESS),
            delivery=report.count(cause=Cause.DELIVERY),
            unknown=report.count(cause=Cause.UNKNOWN),
            removable=report.count(removable=Removable.YES),
            removable_unknown=report.count(removable=Removable.UNKNOWN),
            removable_share=ShareRange(*report.removable_share),
        )


@dataclass(frozen=True, slots=True)
class ExitEntry:
    """How often one vCPU left the guest in one way."""

    vcpu: int
    reason: int
    """Basic exit reason (VMX) or #VMEXIT code (SVM)."""
    name: str
    cause: Cause
    register: str | None
    """Xen's symbol; null: unknown (with cause access or unknown), or none."""
    access: Operation | None
    removable: Removable
    """Whether acceleration would have avoided the exit."""
    count: int
    per_second: float

    @classmethod
    def of(cls, counted: ExitCount, report: ExitReport) -> ExitEntry:
        """Return the entry of one count."""
        kind = counted.kind
        return cls(
            vcpu=counted.vcpu,
            reason=kind.reason,
            name=reason_name(kind.technology, kind.reason),
            cause=kind.cause,
            register=kind.register,
            access=kind.operation,
            removable=kind.removable,
            count=counted.count,
            per_second=report.rate(counted.count),
        )

    def value(self, technology: Technology) -> ExitCount:
        """Return the count."""
        kind = ExitKind(technology, self.reason, self.cause, self.register, self.access, self.removable)
        return ExitCount(self.vcpu, kind, self.count)


@dataclass(frozen=True, slots=True)
class ExitCounts:
    """A domain's VM exits by reason and APIC register."""

    SCHEMA: ClassVar[str] = "xenapic/exits/1"

    domid: int
    technology: Technology
    seconds: float
    """How long was counted."""
    total: int
    per_second: float
    complete: bool
    """Whether every exit was counted; if not, the numbers are lower bounds."""
    apic: ApicExits
    exits: tuple[ExitEntry, ...]
    lost_records: int
    """Trace records of every kind, of all domains, that found no room in the buffers."""
    lost_more: bool
    """Whether more records may have been lost at the end."""
    unattributed: int
    """Exits of which the trace does not say which domain they belong to."""
    malformed: int
    """Pieces of trace that could not be read."""
    unseen_cpus: int
    """CPUs without a trace buffer."""
    ended: bool
    """Whether the domain was gone at the end."""
    notes: tuple[str, ...]

    @classmethod
    def of(cls, report: ExitReport) -> ExitCounts:
        """Return the document of a report."""
        return cls(
            domid=report.domid,
            technology=report.technology,
            seconds=report.seconds,
            total=report.total,
            per_second=report.rate(report.total),
            complete=report.complete,
            apic=ApicExits.of(report),
            exits=tuple(ExitEntry.of(counted, report) for counted in report.counts),
            lost_records=report.lost,
            lost_more=report.lost_more,
            unattributed=report.unattributed,
            malformed=report.malformed,
            unseen_cpus=report.unseen_cpus,
            ended=report.ended,
            notes=report.notes,
        )

    def value(self) -> ExitReport:
        """Return the report."""
        return ExitReport(
            domid=self.domid,
            technology=self.technology,
            seconds=self.seconds,
            counts=tuple(entry.value(self.technology) for entry in self.exits),
            lost=self.lost_records,
            lost_more=self.lost_more,
            unattributed=self.unattributed,
            malformed=self.malformed,
            unseen_cpus=self.unseen_cpus,
            ended=self.ended,
            notes=self.notes,
        )
