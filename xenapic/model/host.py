"""A host: what is known about it, each fact with its answer, its source and, if unknown, how to find out."""

from __future__ import annotations

from collections.abc import Mapping

from xenapic.apic.features import FEATURES, Technology
from xenapic.frozen import dataclass
from xenapic.model import hostfacts, platform
from xenapic.model.evidence import Evidence, feature
from xenapic.model.facts import Fact
from xenapic.model.flags import PHYSCAP, PHYSCAP_X86
from xenapic.model.gnttab import GrantLimits, grant_limits
from xenapic.model.info import PhysInfo, Version
from xenapic.model.measured import Measurement
from xenapic.model.releases import XenRelease, xen_release
from xenapic.parse.bootlog import BootLog

__all__ = ["NOTHING", "Host", "describe", "describe_from"]

NOTHING = PHYSCAP(0)


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
    x2apic_mode: Fact = platform.NOT_ASKED
    """Whether Xen itself runs the processors' APICs in x2APIC mode."""
    interrupt_remapping: Fact = platform.NOT_ASKED
    """Whether Xen uses the IOMMU's interrupt remapping."""
    posted_by_iommu: Fact = platform.NOT_ASKED
    """Whether the IOMMU posts devices' interrupts to guests (``iommu=intpost``)."""
    unknown: PHYSCAP = NOTHING
    """Capabilities of which ``physinfo`` says nothing, because the host is only named: they may be there."""
    measured: Measurement | None = None
    """The measured controls, if the host was measured; the VMX features are answered from them."""

    @property
    def release(self) -> XenRelease:
        """The row of the release whose rules apply; 4.17 with the per-domain interface is 4.17-rc."""
        return xen_release(self.version.release, per_domain=bool(self.interface))


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
        x2apic_mode=platform.x2apic_mode(log),
        interrupt_remapping=platform.interrupt_remapping(log),
        posted_by_iommu=platform.posted_by_iommu(log, evidence.technology),
        measured=evidence.measured,
    )
