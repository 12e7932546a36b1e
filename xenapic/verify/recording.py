"""A recording of what one Xen on one processor did, as `xenapic.verify.record` writes it.

The first recordings (``tests/data/observed``) have fewer fields, and no ``schema``; `read_recording` reads
them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Annotated, ClassVar

from xenapic.apic.features import PIN, PRIMARY, SECONDARY, TERTIARY, ControlField
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.parse.codec import decode
from xenapic.parse.jsonforms import Hex, Unsigned, wrong
from xenapic.probe.findings import Access, Calibration, Delivery, DeliveryKind, Op

if TYPE_CHECKING:
    from xenapic.apic.controls import ControlWords
    from xenapic.probe.findings import Findings

__all__ = [
    "AccessRecord",
    "BuildRecord",
    "CalibrationRecord",
    "CapabilityWords",
    "CreateRecord",
    "DeliveryRecord",
    "ExitsRecord",
    "GuestRecord",
    "HintsRecord",
    "MoveRecord",
    "Recording",
    "RestoredRecord",
    "Unrecorded",
    "VmcsRecord",
    "read_recording",
]

U12 = Annotated[int, Unsigned(12)]
U32 = Annotated[int, Unsigned(32)]
U64 = Annotated[int, Unsigned(64)]
Word = Annotated[int, Hex(8)]
LongWord = Annotated[int, Hex(16)]


class Unrecorded(Enum):
    """In place of a value that the recorder did not look at."""

    UNRECORDED = "not recorded"


UNRECORDED = Unrecorded.UNRECORDED


@dataclass(frozen=True, slots=True)
class CapabilityWords:
    """The capability words of ``xc_physinfo``."""

    capabilities: U32
    arch_capabilities: U32 | None = None
    """Null where the release has no such field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRecord:
    """A create, and what Xen answered. A field that is absent had the default of all recordings."""

    OMIT_DEFAULTS: ClassVar[bool] = True

    flags: U32
    emulation_flags: U32
    misc_flags: U32
    errno: U32
    """0 when the domain was created; it was destroyed again."""
    max_vcpus: U32 = 1
    max_evtchn_port: U32 = 0xFFFFFFFF
    max_grant_frames: int = 4
    max_maptrack_frames: int = 0
    grant_opts: U32 = 1
    """Only sent where the release has the field."""
    iommu_opts: U32 = 0
    vmtrace_size: U32 = 0
    cpupool_id: U32 = 0
    altp2m: U32 = 0
    altp2m_nr: U32 = 0
    ssidref: U32 = 0
    domid: U32 = 0
    read_back: U32 | None = None
    """``misc_flags`` in the domain's ``getdomaininfo``; recorded where each domain chooses its controls."""


@dataclass(frozen=True, slots=True)
class VmcsRecord:
    """The control words in the VMCS of a vCPU whose APIC is in this state; null where not recorded."""

    misc_flags: U32
    """The domain's flags."""
    apic_mode: ApicState
    pin_based: Word | None = None
    cpu_based: Word | None = None
    """Primary processor-based controls."""
    secondary: Word | None = None
    tertiary: LongWord | None = None

    @classmethod
    def of(cls, misc_flags: int, state: ApicState, words: ControlWords) -> VmcsRecord:
        """Return the record of the words that were read."""
        return cls(misc_flags, state, words.pin_based, words.primary, words.secondary, words.tertiary)

    def word(self, field: ControlField) -> int | None:
        """Return the word of a field; None where it is not recorded."""
        words = {
            PIN: self.pin_based,
            PRIMARY: self.cpu_based,
            SECONDARY: self.secondary,
            TERTIARY: self.tertiary,
        }
        return words[field]


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
    value: U64
    """What the last read returned, or what was written."""
    ticks_min: int | None = None
    """The cheapest try, with the overhead."""
    times: U32 | None = None
    """Number of tries."""
    fault: U32 | Unrecorded | None = UNRECORDED
    """Vector of the exception; null for none."""

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
    deliveries: tuple[DeliveryRecord, ...] = ()
    move: MoveRecord | None = None
    exits: ExitsRecord | None = None

    @classmethod
    def of(cls, findings: Findings, misc_flags: int, exits: ExitsRecord | None = None) -> GuestRecord:
        """Return the record of what the probe guest found in a domain with these flags."""

        def records(accesses: tuple[Access, ...]) -> tuple[AccessRecord, ...]:
            return tuple(AccessRecord.of(access, findings) for access in accesses)

        move = findings.move
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
            deliveries=tuple(map(DeliveryRecord.of, findings.deliveries)),
            move=MoveRecord(move.asked, move.fault, move.apic_base),
            exits=exits,
        )


@dataclass(frozen=True, slots=True)
class HintsRecord:
    """What Viridian's leaves tell a guest about its APIC."""

    misc_flags: U32
    recommended: U32 | None = None
    """EAX of leaf 0x40000004."""
    features: U32 | None = None
    """EAX of leaf 0x40000006."""
    failed: str | None = None
    """Why the guest gave no answer."""


@dataclass(frozen=True, slots=True)
class RestoredRecord:
    """An APIC that was saved in a domain for which nothing was asked, and restored in this one."""

    misc_flags: U32
    apic_mode: ApicState
    differs: tuple[int, ...]
    """Offsets in the register page that are not as where nothing was asked; -1 for the other record."""
    compared: U32
    """Number of bytes."""


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """The build of the Xen that was recorded."""

    changeset: str
    """What Xen says it was built from; may be empty."""
    shadow: bool
    """Whether it has shadow paging, which decides some answers to creates."""
    debug: bool | None = None
    """Whether it is a debug build; null when its log does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What one Xen on one processor did."""

    SCHEMA: ClassVar[str] = "xenapic/recording/1"

    xen: str
    """Version and extra version; "4.17-rc" for the development tree with a choice per domain."""
    as_release: str | None = None
    """The known release that stands for one that was not known when this was recorded."""
    build: BuildRecord | None = None
    """The exact build; null in recordings that older versions of xenapic made."""
    processor: str
    """Name in the table of processors; empty when unknown."""
    xen_options: tuple[str, ...]
    """Xen's boot options."""
    emulator: str = ""
    """What emulates the processor, e.g. "bochs 2.7"; empty for a real one."""
    features: tuple[str, ...] | None = None
    """Lines of Xen's boot log after "Supported advanced features"; null when the log is not complete."""
    physinfo: CapabilityWords
    per_control: bool | None = None
    """Whether each domain can choose each control, as the proposal has it; null where none can."""
    create: tuple[CreateRecord, ...] = ()
    vmcs: tuple[VmcsRecord, ...] = ()
    guest: tuple[GuestRecord, ...] = ()
    viridian: tuple[HintsRecord, ...] = ()
    """Recorded where each domain can choose its controls."""
    restored: tuple[RestoredRecord, ...] = ()
    """Recorded where each domain can choose its controls."""
    used: tuple[str, ...] | None = None
    """Keys of the controls that Xen uses for guests, as found by measuring or in the log."""
    not_testable: tuple[str, ...] = ()
    """What could not be recorded, and why."""


def read_recording(data: object) -> Recording:
    """Read a recording from what `xenapic.parse.jsontext.load` made of its text; raise `DocumentInvalid`."""
    if not isinstance(data, Mapping):
        raise wrong("an object", data)
    recording: Recording = decode(Recording, {"schema": Recording.SCHEMA, **data})
    return recording
