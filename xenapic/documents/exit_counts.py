"""``xenapic/exits``: a domain's VM exits by reason and APIC register."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xenapic.apic.features import Technology
from xenapic.apic.outcome import Operation
from xenapic.exits.judgement import Cause, ExitKind, Removable
from xenapic.exits.reasons import reason_name
from xenapic.exits.report import ExitCount, ExitReport

__all__ = ["ApicExits", "ExitCounts", "ExitEntry", "ShareRange"]


@dataclass(frozen=True, slots=True)
class ShareRange:
    """Bounds of a share of all exits, 0 to 1."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class ApicExits:
    """The exits that the APIC caused."""

    access: int
    """Exits for an access to a register of the guest's APIC."""
    delivery: int
    """Exits because Xen waited to deliver an interrupt."""
    unknown: int
    """Exits that the APIC may have caused; no record tells."""
    removable: int
    """Exits that acceleration would remove."""
    removable_unknown: int
    """Exits that acceleration may remove."""
    removable_share: ShareRange

    @classmethod
    def of(cls, report: ExitReport) -> ApicExits:
        """Return the part of a report that concerns the APIC."""
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
    """How many exits of one kind a vCPU had."""

    vcpu: int
    reason: int
    """Basic exit reason (VMX) or #VMEXIT code (SVM)."""
    name: str
    cause: Cause
    register: str | None
    """Xen's symbol; null for no register, or with the cause access or unknown for an unknown one."""
    access: Operation | None
    removable: Removable
    """Whether acceleration would remove the exit."""
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
    """Duration of the count."""
    total: int
    per_second: float
    complete: bool
    """Whether every exit was counted; otherwise the numbers are lower bounds."""
    apic: ApicExits
    exits: tuple[ExitEntry, ...]
    lost_records: int
    """Trace records, of all kinds and domains, that Xen lost because the buffers were full."""
    lost_more: bool
    """Whether Xen may have lost more records at the end."""
    unattributed: int
    """Exits whose domain is unknown."""
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
