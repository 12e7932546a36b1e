"""A host: what is known about it, each fact with its answer, its source and, if unknown, how to find out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xenapic.apic.features import FEATURES, Technology
from xenapic.model import evidence as rules
from xenapic.model.facts import Fact
from xenapic.model.flags import PHYSCAP, PHYSCAP_X86
from xenapic.model.gnttab import GrantLimits, grant_limits
from xenapic.model.info import PhysInfo, Version
from xenapic.model.measured import Measurement
from xenapic.model.releases import XenRelease, xen_release
from xenapic.parse.bootlog import BootLog
from xenapic.parse.commandline import CommandLine

__all__ = ["NOTHING", "Host", "describe"]

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
    """Put together what is known.

    ``probe`` is the errno of the safe probe (`xenapic.live.ask.probe_interface`), None when it was not made;
    ``measured`` what `xenapic.live.measure.measure` found.
    """
    technology = physinfo.technology
    options = CommandLine(version.commandline)
    evidence = rules.Evidence(version, physinfo, log, options, technology, measured)
    interface = rules.interface(version, physinfo, probe)
    return Host(
        version=version,
        physinfo=physinfo,
        technology=technology,
        features={row.key: rules.feature(row, evidence) for row in FEATURES},
        interface=interface,
        assisted_xapic=rules.offered(PHYSCAP_X86.ASSISTED_XAPIC, interface, physinfo),
        assisted_x2apic=rules.offered(PHYSCAP_X86.ASSISTED_X2APIC, interface, physinfo),
        tboot=rules.tboot(log),
        flask=rules.flask(log),
        nested_virt=rules.nested_virt(evidence),
        altp2m=rules.altp2m(evidence),
        grant_limits=grant_limits(options),
        measured=measured,
    )
