"""A host that is only named: what `describe` would say about a processor of the table under a Xen."""

from __future__ import annotations

from dataclasses import replace

from xenapic.apic.controls import CONTROLS, Controls
from xenapic.apic.features import Technology
from xenapic.apic.processors import PROCESSORS, Processor, allowed
from xenapic.frozen import dataclass
from xenapic.model.acceleration import arch_capabilities, host_controls
from xenapic.model.apicbits import offer_word
from xenapic.model.consequences import uses
from xenapic.model.evidence import Evidence
from xenapic.model.facts import Fact, no, unknown, yes
from xenapic.model.flags import PHYSCAP, PHYSCAP_X86
from xenapic.model.gnttab import GrantLimits
from xenapic.model.host import Host, describe_from
from xenapic.model.hostfacts import interface_of, offered_by
from xenapic.model.info import PhysInfo, Version, hw_cap_of
from xenapic.model.proposal import offer
from xenapic.model.releases import XEN_RELEASES, XenRelease, activates_tertiary
from xenapic.parse.bootlog import BootLog
from xenapic.parse.commandline import CommandLine

__all__ = [
    "UNKNOWN",
    "USUAL",
    "Described",
    "blank_physinfo",
    "exact",
    "first_processor",
    "host_of",
    "limits_from",
    "named_host",
    "version_of",
]

USUAL = PHYSCAP.hvm | PHYSCAP.pv | PHYSCAP.hap | PHYSCAP.gnttab_v1 | PHYSCAP.gnttab_v2
"""What physinfo reports on most hosts."""
UNKNOWN = PHYSCAP.directio | PHYSCAP.shadow | PHYSCAP.iommu_hap_pt_share | PHYSCAP.vmtrace
"""What a processor's name does not say: it depends on firmware, on Xen's build, or on the machine."""
MEASURE = "run xenapic host --measure on such a host"
NO_LOG = "a host that is only named has no boot log"


def named_host(
    processor: Processor, release: XenRelease, options: str = "", extra: str = "", *, proposal: bool = False
) -> Host:
    """Return what is known about a host from its processor, its release of Xen and Xen's boot options.

    ``extra`` is what Xen reports after the release's number, as in ``".3"`` for 4.17.3.
    Apart from the processor the host is a usual one: hap and PV are there, memory is plentiful.
    With ``proposal``, its Xen has the proposed interface (`xenapic.model.proposal`) too.
    """
    described = Described(processor, f"processor {processor.name}")
    return host_of(described, release, options, extra, proposal=proposal)


@dataclass(frozen=True, slots=True)
class Described:
    """A processor that something describes, and what it says about the machine."""

    processor: Processor
    title: str
    """What to call the source of the technology."""
    capabilities: PHYSCAP = USUAL
    capabilities_from: str = "assumed for a named processor"


def host_of(
    described: Described, release: XenRelease, options: str = "", extra: str = "", *, proposal: bool = False
) -> Host:
    """Return what is known about a host with a described processor; otherwise as `named_host`."""
    processor = described.processor
    low, high = _used(processor, exact(release, extra), options)
    title = f"{release.number_text}{extra}" if extra else release.name
    source = f"{described.title} ({processor.source}) under Xen {title}"
    physinfo = blank_physinfo(processor.technology, described.capabilities)
    word = arch_capabilities(release, low)
    if proposal and word is not None:
        word |= PHYSCAP_X86(offer_word(offer(low)))
    physinfo = replace(physinfo, arch_capabilities=word)
    evidence = Evidence(
        version_of(release, options, extra),
        physinfo,
        BootLog(True, doubt=NO_LOG),
        capabilities_from=described.capabilities_from,
        technology_from=described.title,
    )
    host = describe_from(evidence)
    if host.technology is Technology.VMX and not host.altp2m.known:  # its options are given in full
        host = replace(host, altp2m=no(f"the options given for {source} lack altp2m"))
    features = dict(host.features)
    if processor.technology is Technology.VMX:
        features.update({key: _fact(key, low, high, source) for key in CONTROLS})
    interface = interface_of(release)
    return replace(
        host,
        features=features,
        unknown=UNKNOWN,
        grant_limits=limits_from(host.grant_limits, options),
        interface=interface,
        assisted_xapic=offered_by(interface, features["virtualize_apic_accesses"]),
        assisted_x2apic=offered_by(interface, features["virtualize_x2apic_mode"]),
    )


def limits_from(limits: GrantLimits, options: str) -> GrantLimits:
    """Return the grant limits: Xen's defaults, but unknown where no option sets them."""
    given = CommandLine(options)
    return replace(
        limits,
        frames_known=bool(given.values("gnttab_max_frames")),
        maptrack_frames_known=bool(given.values("gnttab_max_maptrack_frames")),
    )


def _used(processor: Processor, release: XenRelease, options: str) -> tuple[Controls, Controls]:
    """Return the controls that Xen certainly uses, and those that it uses at most."""
    apicv = CommandLine(options).boolean("apicv") is not False
    if processor.technology is not Technology.VMX:
        return Controls(), Controls()
    certain = Controls.of(*processor.offers)
    at_most = Controls.of(*processor.offers, *processor.unknown)
    return host_controls(release, certain, apicv=apicv), host_controls(release, at_most, apicv=apicv)


def _fact(key: str, low: Controls, high: Controls, source: str) -> Fact:
    answers = {uses(key, low), uses(key, high)}
    if len(answers) > 1:
        return unknown(f"not known about {source}", MEASURE)
    return yes(source) if answers.pop() else no(source)


def first_processor(key: str) -> Processor:
    """Return the oldest real processor on which the newest Xen uses a feature (`Feature.key`)."""
    newest = XEN_RELEASES[-1]
    return next(
        row
        for row in PROCESSORS.values()
        if not row.emulated_by and uses(key, host_controls(newest, allowed(row)))
    )


def version_of(release: XenRelease, options: str, extra: str = "") -> Version:
    """Return the version that a release reports; ``extra`` is what follows the number, if it is known."""
    major, minor = release.number
    return Version(major, minor, extra or (".0-rc" if release.per_domain_apic else ""), (), "", options)


def exact(release: XenRelease, extra: str) -> XenRelease:
    """Return the row as it holds for a point release: older ones leave the tertiary controls off."""
    tertiary = activates_tertiary(release.number, extra) if extra and not release.per_domain_apic else None
    return release if tertiary is None else replace(release, tertiary_controls=tertiary)


def blank_physinfo(technology: Technology | None, capabilities: PHYSCAP) -> PhysInfo:
    """Return a physinfo that has only the capabilities, and enough memory for any create."""
    return PhysInfo(
        threads_per_core=1,
        cores_per_socket=1,
        nr_cpus=1,
        max_cpu_id=0,
        nr_nodes=1,
        max_node_id=0,
        cpu_khz=0,
        capabilities=capabilities,
        arch_capabilities=None,
        total_pages=1 << 20,
        free_pages=1 << 19,
        scrub_pages=0,
        outstanding_pages=0,
        max_mfn=1 << 20,
        hw_cap=hw_cap_of(technology),
    )
