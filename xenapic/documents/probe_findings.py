"""``xenapic/probe``: what the probe guest measured in one state of its APIC."""

from __future__ import annotations

from typing import ClassVar

from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.probe.findings import Access, Calibration, Delivery, Findings, Move, Op, ProbeOutcome
from xenapic.verify.guest_records import CalibrationRecord, DeliveryRecord

__all__ = ["MeasuredAccess", "MoveEntry", "ProbeReport"]


@dataclass(frozen=True, slots=True)
class MeasuredAccess:
    """An access that the guest made several times."""

    offset: int
    """Of the register in the xAPIC page, in both modes."""
    op: Op
    outcome: ProbeOutcome
    left: bool
    """Whether the access left the guest; for one that faulted, whether Xen raised the fault."""
    value: int
    """What the last read returned, or what was written."""
    ticks: tuple[int, ...]
    """TSC ticks of each try, with the overhead."""
    ticks_mean: float
    ticks_min: int
    fault: int | None
    """Vector of the exception; null for none."""
    error_code: int
    width: int
    """In bits, of an access to the page."""

    @classmethod
    def of(cls, access: Access, findings: Findings) -> MeasuredAccess:
        """Return the entry of an access."""
        return cls(
            offset=int(access.offset),
            op=access.op,
            outcome=findings.outcome(access),
            left=findings.left(access),
            value=access.value,
            ticks=access.ticks,
            ticks_mean=access.ticks_mean,
            ticks_min=access.ticks_min,
            fault=access.fault,
            error_code=access.error_code,
            width=access.width,
        )

    def access(self) -> Access:
        """Return the access."""
        return Access(self.offset, self.op, self.value, self.ticks, self.fault, self.error_code, self.width)


@dataclass(frozen=True, slots=True)
class MoveEntry:
    """An attempt to move the APIC by WRMSR of IA32_APIC_BASE."""

    asked: int
    """The value written."""
    fault: int | None
    """Vector of the exception; null for none."""
    apic_base: int
    """IA32_APIC_BASE afterwards."""
    version: MeasuredAccess
    """A read of the version register afterwards."""


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What the probe guest measured in one state of its APIC."""

    SCHEMA: ClassVar[str] = "xenapic/probe/1"

    state: ApicState
    cpuid_1_ecx: int
    hypervisor_leaf: int | None
    """Number of Xen's first CPUID leaf; null where Xen shows none."""
    cpuid_apic: int | None
    """EAX of the hypervisor's leaf base + 4."""
    apic_base: int
    """IA32_APIC_BASE."""
    version: int
    """The APIC's version register."""
    page_is_memory: bool
    """Whether the page at 0xFEE00000 kept what was written over its version register."""
    calibration: CalibrationRecord
    accesses: tuple[MeasuredAccess, ...]
    """Accesses as a guest in this state makes them, in this order."""
    extra: tuple[MeasuredAccess, ...]
    """All other registers, in the same way."""
    page: tuple[MeasuredAccess, ...]
    """Accesses to the page at 0xFEE00000, whatever the state."""
    msrs: tuple[MeasuredAccess, ...]
    """Accesses by MSR, whatever the state."""
    cr8: tuple[MeasuredAccess, ...]
    """MOV from CR8, to CR8 with a reserved bit, to CR8 (2), and from CR8."""
    cr8_in_tpr: MeasuredAccess | None
    """A read of the TPR while CR8 is 2; null when the APIC is disabled."""
    unusual: tuple[MeasuredAccess, ...]
    """Accesses to the page at 0xFEE00000 in other widths, at other places, across registers, and a fetch."""
    deliveries: tuple[DeliveryRecord, ...]
    move: MoveEntry

    @classmethod
    def of(cls, findings: Findings) -> ProbeReport:
        """Return the document of what the guest measured."""

        def entries(accesses: tuple[Access, ...]) -> tuple[MeasuredAccess, ...]:
            return tuple(MeasuredAccess.of(access, findings) for access in accesses)

        move, tpr = findings.move, findings.cr8_in_tpr
        return cls(
            state=findings.state,
            cpuid_1_ecx=findings.cpuid_1_ecx,
            hypervisor_leaf=findings.hypervisor_leaf,
            cpuid_apic=findings.cpuid_apic,
            apic_base=findings.apic_base,
            version=findings.version,
            page_is_memory=findings.page_is_memory,
            calibration=CalibrationRecord.of(findings.calibration),
            accesses=entries(findings.accesses),
            extra=entries(findings.extra),
            page=entries(findings.page),
            msrs=entries(findings.msrs),
            cr8=entries(findings.cr8),
            cr8_in_tpr=None if tpr is None else MeasuredAccess.of(tpr, findings),
            unusual=entries(findings.unusual),
            deliveries=tuple(map(DeliveryRecord.of, findings.deliveries)),
            move=MoveEntry(move.asked, move.fault, move.apic_base, MeasuredAccess.of(move.version, findings)),
        )

    def value(self) -> Findings:
        """Return what the guest measured."""

        def accesses(entries: tuple[MeasuredAccess, ...]) -> tuple[Access, ...]:
            return tuple(entry.access() for entry in entries)

        known, move = self.calibration, self.move
        return Findings(
            state=self.state,
            cpuid_1_ecx=self.cpuid_1_ecx,
            hypervisor_leaf=self.hypervisor_leaf,
            cpuid_apic=self.cpuid_apic,
            apic_base=self.apic_base,
            calibration=Calibration(known.overhead, known.memory, known.exit),
            accesses=accesses(self.accesses),
            extra=accesses(self.extra),
            page=accesses(self.page),
            msrs=accesses(self.msrs),
            cr8=accesses(self.cr8),
            cr8_in_tpr=None if self.cr8_in_tpr is None else self.cr8_in_tpr.access(),
            unusual=accesses(self.unusual),
            deliveries=tuple(
                Delivery(entry.kind, entry.vector, entry.arrivals, entry.ticks, entry.fault)
                for entry in self.deliveries
            ),
            move=Move(move.asked, move.fault, move.apic_base, move.version.access()),
        )
