"""A recording of what one Xen on one processor did, as `xenapic.verify.record` writes it.

The first recordings (``tests/data/observed``) have fewer fields, and no ``schema``; `read_recording` reads
them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from xenapic.apic.features import PIN, PRIMARY, SECONDARY, TERTIARY, ControlField
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.parse.codec import decode
from xenapic.parse.jsonforms import Hex, Unsigned, wrong
from xenapic.verify.guest_records import GuestRecord, LevelRecord, PairRecord

if TYPE_CHECKING:
    from xenapic.apic.controls import ControlWords

__all__ = [
    "BuildRecord",
    "CapabilityWords",
    "CreateRecord",
    "HintsRecord",
    "Recording",
    "RestoredRecord",
    "VmcsRecord",
    "read_recording",
]

U32 = Annotated[int, Unsigned(32)]
Word = Annotated[int, Hex(8)]
LongWord = Annotated[int, Hex(16)]


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
    pairs: tuple[PairRecord, ...] = ()
    levels: tuple[LevelRecord, ...] = ()
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
