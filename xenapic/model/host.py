"""A host: what is known about it, each fact with its answer, its source and, if unknown, how to find out."""

from __future__ import annotations

from collections.abc import Mapping

from xenapic.apic.features import FEATURES, Technology
from xenapic.errors import HostUnknown, NameUnknown
from xenapic.frozen import dataclass
from xenapic.model import hostfacts, platform
from xenapic.model.apicbits import APIC, Offer, offer_of
from xenapic.model.evidence import Evidence, feature
from xenapic.model.facts import Fact
from xenapic.model.flags import PHYSCAP, PHYSCAP_X86
from xenapic.model.gnttab import GrantLimits, grant_limits
from xenapic.model.info import PhysInfo, Version
from xenapic.model.measured import Measurement
from xenapic.model.releases import OLDER_RELEASES, XEN_RELEASES, XenRelease, xen_release
from xenapic.model.seen import Seen
from xenapic.parse.bootlog import BootLog

__all__ = ["NOTHING", "Host", "describe", "describe_from"]

NOTHING = PHYSCAP(0)
NOT_MODELLED = f"not modelled (those of {OLDER_RELEASES[0].name} to {XEN_RELEASES[-1].name} are)"
SAY_WHICH = "--xen RELEASE (host_under) asks about the same machine under a release"


@dataclass(frozen=True)
class Host:
    """What is known about a host and its Xen."""

    version: Version
    physinfo: PhysInfo
    technology: Technology | None
    """Intel's VMX or AMD's SVM; None if the processor offers neither to Xen."""
    features: Mapping[str, Fact]
    """By `Feature.key`: whether **Xen uses** the feature for guests, not whether the processor has it."""
    interface: Fact
    """Whether this Xen lets each domain choose its APIC assistance."""
    assisted_xapic: Fact
    """Whether a domain can ask for ``assisted_xapic``."""
    assisted_x2apic: Fact
    """Whether a domain can ask for ``assisted_x2apic``."""
    tboot: Fact
    """Whether Xen has tboot support, which ``s3_integrity`` needs."""
    flask: Fact
    """Whether Xen runs the Flask security module, which checks ``ssidref``."""
    nested_virt: Fact
    """Whether guests can use VMX or SVM themselves (nested virtualization)."""
    altp2m: Fact
    """Whether alternate p2m tables are available; since 4.21, create checks this."""
    grant_limits: GrantLimits
    per_control: Fact = hostfacts.NO_OFFER
    """Whether this Xen lets each domain choose each control: the proposed interface, in no release."""
    x2apic_mode: Fact = platform.NOT_ASKED
    """Whether Xen itself runs the processors' APICs in x2APIC mode."""
    interrupt_remapping: Fact = platform.NOT_ASKED
    """Whether Xen uses the IOMMU's interrupt remapping."""
    posted_by_iommu: Fact = platform.NOT_ASKED
    """Whether the IOMMU posts devices' interrupts to guests (``iommu=intpost``)."""
    unknown: PHYSCAP = NOTHING
    """Capabilities of which ``physinfo`` says nothing, because the host is only named: they may be there."""
    seen: Seen | None = None
    """What saved files show besides, if the host is known from files; None for a host that was asked."""
    measured: Measurement | None = None
    """The measured controls, if the host was measured; the VMX features are answered from them."""

    @property
    def release(self) -> XenRelease:
        """The row of the release whose rules apply; 4.17 with the per-domain interface is 4.17-rc.

        Raises `HostUnknown` for a Xen that is not modelled, or not known.
        """
        if not self.version.known:
            raise HostUnknown(f"it is not known which Xen this host runs; {SAY_WHICH}")
        try:
            release = self.version.as_release or self.version.release
            return xen_release(release, per_domain=bool(self.interface))
        except NameUnknown:
            raise HostUnknown(
                f"the rules of Xen {self.version.release} are {NOT_MODELLED}; {SAY_WHICH}"
            ) from None

    @property
    def offer(self) -> Offer | None:
        """What each domain can choose, control by control; None where Xen decides for the host."""
        if not self.per_control:
            return None
        return offer_of(self.physinfo.arch_capabilities) or Offer(APIC(0), APIC(0))

    @property
    def commandline_known(self) -> bool:
        """Whether it is known with which options Xen was booted, as far as Xen itself tells."""
        return self.seen is None or self.seen.commandline_known


def describe(
    version: Version,
    physinfo: PhysInfo,
    log: BootLog,
    probe: int | None = None,
    measured: Measurement | None = None,
) -> Host:
    """Put together what is known about a running host.

    ``probe`` is the errno of the safe probe (`xenapic.live.ask.probe_interface`), None if it was not made;
    ``measured`` is the result of `xenapic.live.measure.measure`.
    """
    return describe_from(Evidence(version, physinfo, log, measured), probe)


def describe_from(evidence: Evidence, probe: int | None = None) -> Host:
    """Put together what follows from the evidence; ``probe`` is as for `describe`."""
    version, physinfo, log = evidence.version, evidence.physinfo, evidence.log
    interface = hostfacts.interface(version, physinfo, probe)
    return Host(
        version=version,
        physinfo=physinfo,
        technology=evidence.technology,
        features={row.key: feature(row, evidence) for row in FEATURES},
        interface=interface,
        assisted_xapic=hostfacts.offered(PHYSCAP_X86.ASSISTED_XAPIC, interface, physinfo),
        assisted_x2apic=hostfacts.offered(PHYSCAP_X86.ASSISTED_X2APIC, interface, physinfo),
        tboot=hostfacts.tboot(log),
        flask=hostfacts.flask(log),
        nested_virt=hostfacts.nested_virt(evidence),
        altp2m=hostfacts.altp2m(evidence),
        grant_limits=grant_limits(evidence.options),
        per_control=hostfacts.per_control(version, physinfo),
        x2apic_mode=platform.x2apic_mode(log),
        interrupt_remapping=platform.interrupt_remapping(log),
        posted_by_iommu=platform.posted_by_iommu(log, evidence.technology),
        measured=evidence.measured,
    )
