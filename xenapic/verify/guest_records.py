"""What guests measured from inside, as a recording keeps it: each access, each interrupt, each exit.

`xenapic.verify.recording` has the rest of a recording.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Annotated, ClassVar

from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.parse.jsonforms import Unsigned
from xenapic.probe.findings import Access, Calibration, Delivery, DeliveryKind, Op
from xenapic.probe.pair import IpiKind

if TYPE_CHECKING:
    from xenapic.probe.findings import Findings
    from xenapic.probe.level import EndFindings, LevelFindings
    from xenapic.probe.pair import PairFindings

__all__ = [
    "UNRECORDED",
    "AccessRecord",
    "CalibrationRecord",
    "DeliveryRecord",
    "EndRecord",
    "ExitsRecord",
    "GuestRecord",
    "IpiRecord",
    "LevelRecord",
    "MoveRecord",
    "PairRecord",
    "Unrecorded",
]

U12 = Annotated[int, Unsigned(12)]
U32 = Annotated[int, Unsigned(32)]
U64 = Annotated[int, Unsigned(64)]
U128 = Annotated[int, Unsigned(128)]


class Unrecorded(Enum):
    """In place of a value that the recorder did not look at."""

    UNRECORDED = "not recorded"


UNRECORDED = Unrecorded.UNRECORDED


@dataclass(frozen=True, slots=True)
class CalibrationRecord:
    """What known things cost in the guest, in TSC ticks."""

    overhead: int
    """Reading the TSC twice."""
    memory: int
    """An access to plain memory, with the overhead."""
    exit: int
    """CPUID, which always exits, with the overhead."""
    threshold: int
    """An access that costs at least this much has left the guest."""

    @classmethod
    def of(cls, calibration: Calibration) -> CalibrationRecord:
        """Return the record of a calibration."""
        return cls(calibration.overhead, calibration.memory, calibration.exit, calibration.threshold)


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """An access that the guest made several times."""

    OMIT_DEFAULTS: ClassVar[bool] = True

    offset: U12
    """Of the register in the xAPIC page, in both modes."""
    op: Op
    ticks_per_access: int
    """Mean of all tries, in TSC ticks."""
    value: U128
    """What the last read returned, or what was written."""
    ticks_min: int | None = None
    """The cheapest try, with the overhead."""
    times: U32 | None = None
    """Number of tries."""
    fault: U32 | Unrecorded | None = UNRECORDED
    """Vector of the exception; null for none."""
    width: U32 = 32
    """In bits, of an access to the page."""

    @classmethod
    def of(cls, access: Access, findings: Findings) -> AccessRecord:
        """Return the record of an access that the probe guest made."""
        return cls(
            offset=int(access.offset),
            op=access.op,
            ticks_per_access=round(findings.cost(access)),
            value=access.value,
            ticks_min=access.ticks_min,
            times=len(access.ticks),
            fault=access.fault,
            width=access.width,
        )

    @property
    def faulted(self) -> bool:
        """Whether an exception was recorded."""
        return self.fault is not None and self.fault is not UNRECORDED


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """An interrupt that the guest asked for."""

    kind: DeliveryKind
    vector: U32
    arrivals: int
    """How often it arrived."""
    ticks: int
    """TSC ticks until it arrived, or until the guest gave up."""
    fault: U32 | None
    """Vector of the exception that the request raised; null for none."""

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryRecord:
        """Return the record of an interrupt."""
        return cls(delivery.kind, delivery.vector, delivery.arrivals, delivery.ticks, delivery.fault)


@dataclass(frozen=True, slots=True)
class MoveRecord:
    """An attempt to move the APIC by WRMSR of IA32_APIC_BASE."""

    asked: U64
    """The value written."""
    fault: U32 | None
    """Vector of the exception; null for none."""
    apic_base: U64
    """IA32_APIC_BASE afterwards."""


@dataclass(frozen=True, slots=True)
class ExitsRecord:
    """The VM exits that Xen's trace counted while the guest ran."""

    complete: bool
    """Whether no record was lost."""
    by_reason: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestRecord:
    """What a guest measured from inside, in one state of its APIC; or why it could not."""

    OMIT_DEFAULTS: ClassVar[bool] = True

    misc_flags: U32 = 0
    """The domain's flags."""
    apic_mode: ApicState
    failed: str | None = None
    """Why the guest gave no answer; everything else is then absent."""
    cpuid_40000004_eax: U32 | None = None
    """The hypervisor's leaf base + 4."""
    cpuid_1_ecx: U32 | None = None
    apic_base: U64 | None = None
    """IA32_APIC_BASE; the recorder keeps the low half."""
    calibration: CalibrationRecord | None = None
    accesses: tuple[AccessRecord, ...] = ()
    """Accesses as a guest in this state makes them, in this order."""
    extra: tuple[AccessRecord, ...] = ()
    """All other registers, in the same way."""
    page: tuple[AccessRecord, ...] = ()
    """Accesses to the page at 0xFEE00000, whatever the state."""
    msrs: tuple[AccessRecord, ...] = ()
    """Accesses by MSR, whatever the state."""
    cr8: tuple[AccessRecord, ...] = ()
    """MOV from and to CR8."""
    cr8_in_tpr: AccessRecord | None = None
    """A read of the TPR while CR8 is 2."""
    unusual: tuple[AccessRecord, ...] = ()
    """Accesses to the page at 0xFEE00000 in other widths, at other places, across registers, and a fetch."""
    deliveries: tuple[DeliveryRecord, ...] = ()
    move: MoveRecord | None = None
    exits: ExitsRecord | None = None

    @classmethod
    def of(cls, findings: Findings, misc_flags: int, exits: ExitsRecord | None = None) -> GuestRecord:
        """Return the record of what the probe guest found in a domain with these flags."""

        def records(accesses: tuple[Access, ...]) -> tuple[AccessRecord, ...]:
            return tuple(AccessRecord.of(access, findings) for access in accesses)

        move, tpr = findings.move, findings.cr8_in_tpr
        return cls(
            misc_flags=misc_flags,
            apic_mode=findings.state,
            cpuid_40000004_eax=findings.cpuid_apic,
            cpuid_1_ecx=findings.cpuid_1_ecx,
            apic_base=findings.apic_base & 0xFFFFFFFF,
            calibration=CalibrationRecord.of(findings.calibration),
            accesses=records(findings.accesses),
            extra=records(findings.extra),
            page=records(findings.page),
            msrs=records(findings.msrs),
            cr8=records(findings.cr8),
            cr8_in_tpr=None if tpr is None else AccessRecord.of(tpr, findings),
            unusual=records(findings.unusual),
            deliveries=tuple(map(DeliveryRecord.of, findings.deliveries)),
            move=MoveRecord(move.asked, move.fault, move.apic_base),
            exits=exits,
        )


@dataclass(frozen=True, slots=True)
class IpiRecord:
    """An inter-processor interrupt between two vCPUs."""

    states: tuple[ApicState, ...]
    """The states of both APICs."""
    sender: U32
    """The vCPU that sent it."""
    kind: IpiKind
    arrivals: tuple[int, ...]
    """How often it arrived at each vCPU."""
    fault: U32 | None
    """Vector of the exception that the request raised; null for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRecord:
    """What two vCPUs of one guest found; or why they could not."""

    OMIT_DEFAULTS: ClassVar[bool] = True

    misc_flags: U32 = 0
    """The domain's flags."""
    failed: str | None = None
    """Why the guest gave no answer; everything else is then absent."""
    starts: tuple[int, ...] = ()
    """How often each vCPU started."""
    second_apic_base: U64 = 0
    """IA32_APIC_BASE of the second vCPU when it had started."""
    second_id: U32 = 0
    """Its APIC's ID register then."""
    spiv_after_init: U32 = 0
    """Its SPIV register after another INIT."""
    ipis: tuple[IpiRecord, ...] = ()

    @classmethod
    def of(cls, findings: PairFindings, misc_flags: int) -> PairRecord:
        """Return the record of what two vCPUs found in a domain with these flags."""
        return cls(
            misc_flags=misc_flags,
            starts=findings.starts,
            second_apic_base=findings.second_apic_base,
            second_id=findings.second_id,
            spiv_after_init=findings.spiv_after_init,
            ipis=tuple(
                IpiRecord(sent.states, sent.sender, sent.kind, sent.arrivals, sent.fault)
                for sent in findings.ipis
            ),
        )


@dataclass(frozen=True, slots=True)
class EndRecord:
    """An interrupt that arrived several times, and what each end of it did."""

    vector: U32
    arrivals: tuple[int, ...]
    """How often it arrived before it was ended."""
    in_service: tuple[bool, ...]
    """Whether the ISR had its bit then."""
    level: tuple[bool, ...]
    """Whether the TMR had its bit then."""
    ticks: tuple[int, ...]
    """TSC ticks of the write of EOI, with the overhead."""
    ended: tuple[bool, ...]
    """Whether the ISR had no bit of it any more afterwards."""
    again: tuple[bool, ...]
    """Whether the IRR had its bit then."""

    @classmethod
    def of(cls, vector: int, ends: EndFindings) -> EndRecord:
        """Return the record of an interrupt."""
        return cls(vector, ends.arrivals, ends.in_service, ends.level, ends.ticks, ends.ended, ends.again)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelRecord:
    """What a guest with an I/O APIC found about a level-triggered interrupt; or why it could not."""

    OMIT_DEFAULTS: ClassVar[bool] = True

    misc_flags: U32 = 0
    """The domain's flags."""
    apic_mode: ApicState
    failed: str | None = None
    """Why the guest gave no answer; everything else is then absent."""
    calibration: CalibrationRecord | None = None
    edge: EndRecord | None = None
    """A self-IPI."""
    level: EndRecord | None = None
    """An interrupt whose line stays up until it is masked, after the last end but one."""
    exits: ExitsRecord | None = None

    @classmethod
    def of(cls, findings: LevelFindings, misc_flags: int, exits: ExitsRecord | None = None) -> LevelRecord:
        """Return the record of what the guest found in a domain with these flags."""
        from xenapic.probe.level import EDGE_VECTOR, LEVEL_VECTOR

        return cls(
            misc_flags=misc_flags,
            apic_mode=findings.state,
            calibration=CalibrationRecord.of(findings.calibration),
            edge=EndRecord.of(EDGE_VECTOR, findings.edge),
            level=EndRecord.of(LEVEL_VECTOR, findings.level),
            exits=exits,
        )
