"""``xenapic/host``: the APIC acceleration that Xen uses, each fact with its source.

A report can be read on any machine, and gives an equal `Host`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import ClassVar

from xenapic.apic.controls import ControlWords
from xenapic.apic.features import FEATURES, Technology
from xenapic.apic.state import ApicState
from xenapic.documents.xen_info import VersionEntry
from xenapic.errors import DocumentInvalid, HostUnknown
from xenapic.frozen import dataclass
from xenapic.model.apicbits import Offer
from xenapic.model.facts import Answer, Fact
from xenapic.model.flags import PHYSCAP
from xenapic.model.gnttab import GrantLimits
from xenapic.model.host import NOTHING, Host
from xenapic.model.info import PhysInfo
from xenapic.model.measured import Measurement
from xenapic.model.seen import Seen

__all__ = ["FactEntry", "HostReport", "MeasurementEntry", "WordsEntry"]


@dataclass(frozen=True, slots=True)
class FactEntry:
    """An answer and its source."""

    answer: Answer
    source: str
    """The source of the answer; for an unknown one, the reason why it is unknown."""
    how: str | None
    """How to find out an unknown answer."""

    @classmethod
    def of(cls, fact: Fact) -> FactEntry:
        """Return the entry of a fact."""
        return cls(fact.answer, fact.source, fact.how or None)

    def value(self) -> Fact:
        """Return the fact."""
        return Fact(self.answer, self.source, self.how or "")


NOT_REPORTED = FactEntry(
    Answer.UNKNOWN,
    "the report does not contain it",
    "make the report again with this version: xenapic host --json",
)
"""In place of a fact that an older report does not have."""


@dataclass(frozen=True, slots=True)
class WordsEntry:
    """The words of VM-execution controls in a VMCS."""

    pin_based: int
    cpu_based: int
    """Primary processor-based controls."""
    secondary: int
    tertiary: int
    """64 bits."""
    controls: tuple[str, ...]
    """Keys of the controls that are set and concern the APIC."""

    @classmethod
    def of(cls, words: ControlWords) -> WordsEntry:
        """Return the entry of a vCPU's words."""
        return cls(
            words.pin_based, words.primary, words.secondary, words.tertiary, tuple(words.controls.keys)
        )

    def value(self) -> ControlWords:
        """Return the words."""
        return ControlWords(self.pin_based, self.cpu_based, self.secondary, self.tertiary)


@dataclass(frozen=True, slots=True)
class MeasurementEntry:
    """The controls read from the VMCS of a throw-away domain."""

    taken_at: datetime
    how: str | None
    why_not: str | None
    """The reason why nothing can be measured on this host."""
    states: Mapping[ApicState, WordsEntry]
    """By state of the local APIC; empty when nothing can be measured."""

    @classmethod
    def of(cls, measured: Measurement) -> MeasurementEntry:
        """Return the entry of a measurement."""
        return cls(
            datetime.fromtimestamp(measured.taken_at, timezone.utc),
            measured.how or None,
            measured.why_not or None,
            {state: WordsEntry.of(words) for state, words in measured.states.items()},
        )

    def value(self) -> Measurement:
        """Return the measurement."""
        return Measurement(
            {state: words.value() for state, words in self.states.items()},
            self.how or "",
            self.why_not or "",
            int(self.taken_at.timestamp()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """The APIC acceleration that Xen uses, each fact with its source."""

    SCHEMA: ClassVar[str] = "xenapic/host/1"

    xen: str
    """Xen's version with its extra version."""
    release: str | None
    """The release whose rules apply; "4.17-rc" for the development tree with a choice per domain.
    Null if this Xen is not modelled or not known, as of some logs."""
    technology: Technology | None
    """The processor's virtualization extension; null if Xen can use none."""
    features: Mapping[str, FactEntry]
    """Whether Xen uses each control for guests, by its key."""
    interface: FactEntry
    """Whether APIC assistance can be chosen per domain."""
    assisted_xapic: FactEntry
    assisted_x2apic: FactEntry
    tboot: FactEntry = NOT_REPORTED
    """Whether Xen has tboot support."""
    flask: FactEntry = NOT_REPORTED
    """Whether Xen runs the Flask security module."""
    nested_virt: FactEntry = NOT_REPORTED
    """Whether guests can use VMX or SVM themselves."""
    altp2m: FactEntry = NOT_REPORTED
    """Whether alternate p2m tables are available."""
    grant_limits: GrantLimits
    per_control: FactEntry = NOT_REPORTED
    """Whether each domain can choose each control: the proposed interface, which no release has."""
    offer: Offer | None = None
    """What a domain can choose, control by control; null where Xen decides for the host."""
    x2apic_mode: FactEntry = NOT_REPORTED
    """Whether Xen itself runs the processors' APICs in x2APIC mode."""
    interrupt_remapping: FactEntry = NOT_REPORTED
    """Whether Xen uses the IOMMU's interrupt remapping."""
    posted_by_iommu: FactEntry = NOT_REPORTED
    """Whether the IOMMU posts devices' interrupts to guests."""
    unknown: PHYSCAP = NOTHING
    """Capabilities of which physinfo says nothing, because the host is only named."""
    seen: Seen | None = None
    """What saved files show besides; null for a host that was asked or only named."""
    measurement: MeasurementEntry | None = None
    """Null when the host was not measured."""
    version: VersionEntry
    physinfo: PhysInfo

    @classmethod
    def of(cls, host: Host) -> HostReport:
        """Return the report of a host."""
        return cls(
            xen=str(host.version),
            release=_release(host),
            technology=host.technology,
            features={key: FactEntry.of(fact) for key, fact in host.features.items()},
            interface=FactEntry.of(host.interface),
            assisted_xapic=FactEntry.of(host.assisted_xapic),
            assisted_x2apic=FactEntry.of(host.assisted_x2apic),
            tboot=FactEntry.of(host.tboot),
            flask=FactEntry.of(host.flask),
            nested_virt=FactEntry.of(host.nested_virt),
            altp2m=FactEntry.of(host.altp2m),
            grant_limits=host.grant_limits,
            per_control=FactEntry.of(host.per_control),
            offer=host.offer,
            x2apic_mode=FactEntry.of(host.x2apic_mode),
            interrupt_remapping=FactEntry.of(host.interrupt_remapping),
            posted_by_iommu=FactEntry.of(host.posted_by_iommu),
            unknown=host.unknown,
            seen=host.seen,
            measurement=None if host.measured is None else MeasurementEntry.of(host.measured),
            version=VersionEntry.of(host.version),
            physinfo=host.physinfo,
        )

    def value(self) -> Host:
        """Return the host; a feature that an older report does not contain is unknown.

        Raises `DocumentInvalid` for a release of Xen that is not known, unless the report says so itself.
        """
        reported = self.features
        host = Host(
            version=self.version.value(),
            physinfo=self.physinfo,
            technology=self.technology,
            features={row.key: reported.get(row.key, NOT_REPORTED).value() for row in FEATURES},
            interface=self.interface.value(),
            assisted_xapic=self.assisted_xapic.value(),
            assisted_x2apic=self.assisted_x2apic.value(),
            tboot=self.tboot.value(),
            flask=self.flask.value(),
            nested_virt=self.nested_virt.value(),
            altp2m=self.altp2m.value(),
            grant_limits=self.grant_limits,
            per_control=self.per_control.value(),
            x2apic_mode=self.x2apic_mode.value(),
            interrupt_remapping=self.interrupt_remapping.value(),
            posted_by_iommu=self.posted_by_iommu.value(),
            unknown=self.unknown,
            seen=self.seen,
            measured=None if self.measurement is None else self.measurement.value(),
        )
        if self.release is not None:
            try:
                host.release  # noqa: B018  # which rules apply follows from the version
            except HostUnknown as error:
                raise DocumentInvalid(str(error), "version") from None
        return host


def _release(host: Host) -> str | None:
    try:
        return host.release.name
    except HostUnknown:
        return None
