"""The same machine under another Xen: what is known about a host, carried over to another release or options.

What Xen uses of the processor shows what the processor offers. `host_under` tries every processor that fits
the known facts, lets the other Xen choose, and keeps what all of them agree on; the rest is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from xenapic.apic.controls import CONTROLS, Controls
from xenapic.apic.features import Technology
from xenapic.errors import HostUnknown
from xenapic.model import hostfacts
from xenapic.model.acceleration import arch_capabilities, host_controls
from xenapic.model.apicbits import offer_word
from xenapic.model.consequences import offers, uses
from xenapic.model.evidence import APICV_OFF, FIXED, Evidence
from xenapic.model.facts import Fact, no, unknown, yes
from xenapic.model.flags import PHYSCAP, PHYSCAP_X86
from xenapic.model.gnttab import GrantLimits, grant_limits
from xenapic.model.host import Host
from xenapic.model.named import exact, limits_from, version_of
from xenapic.model.proposal import offer
from xenapic.model.releases import XEN_RELEASES, XenRelease, activates_tertiary, chooses_alike
from xenapic.model.seen import Seen
from xenapic.parse.bootlog import BootLog
from xenapic.parse.commandline import CommandLine

__all__ = ["host_under"]

ASK = "ask there: xenapic host --measure"


def host_under(
    host: Host, release: XenRelease | None = None, options: str | None = None, extra: str = ""
) -> Host:
    """Return what is known about a host under another release of Xen, or with other boot options.

    ``extra`` is what the other Xen reports after the release's number, as in ``".3"`` for 4.17.3.
    None keeps what the host has; ``options`` replaces all of its boot options. As for `named_host`, the other
    Xen is taken as built without options of its own. Raises `HostUnknown` if the known facts do not say what
    the host could do there at all.
    """
    target = release or host.release
    changed = not _runs(host, target) or (release is not None and not host.interface.known)
    changed = changed or bool(extra and extra != host.version.extra)
    commandline = host.version.commandline if options is None else options
    same_options = options is None or (commandline == host.version.commandline and host.commandline_known)
    if not changed and same_options:
        return host
    version = replace(version_of(target, commandline, extra), capabilities=host.version.capabilities)
    if not changed:
        version = replace(host.version, commandline=commandline)
    capabilities = _capabilities(host, commandline)
    possible = _possible(host, exact(target, extra), commandline)
    physinfo = replace(
        host.physinfo,
        capabilities=capabilities,
        arch_capabilities=_arch_capabilities(target, possible, bool(host.per_control) and not changed),
    )
    evidence = Evidence(version, physinfo, BootLog(True, doubt="it never ran this Xen"))
    interface = hostfacts.interface_of(target) if changed else host.interface
    features = _features(host, target, evidence, possible)
    return Host(
        version=version,
        physinfo=physinfo,
        technology=host.technology,
        features=features,
        interface=interface,
        assisted_xapic=hostfacts.offered_by(interface, features["virtualize_apic_accesses"]),
        assisted_x2apic=hostfacts.offered_by(interface, features["virtualize_x2apic_mode"]),
        tboot=unknown("it depends on the build of that Xen", ASK) if changed else host.tboot,
        flask=unknown("it depends on the build of that Xen", ASK) if changed else host.flask,
        nested_virt=_nested_virt(host, evidence, changed),
        altp2m=_altp2m(evidence),
        grant_limits=_grant_limits(host, commandline),
        per_control=hostfacts.per_control(version, physinfo),
        x2apic_mode=_of_platform(host.x2apic_mode, "x2apic", host, commandline),
        interrupt_remapping=_of_platform(host.interrupt_remapping, "iommu", host, commandline),
        posted_by_iommu=_of_platform(host.posted_by_iommu, "iommu", host, commandline),
        unknown=host.unknown,
        seen=host.seen if options is None or host.seen is None else _with_options(host.seen),
        measured=None,
    )


def _with_options(seen: Seen) -> Seen:
    return replace(seen, commandline_known=True)


def _runs(host: Host, release: XenRelease) -> bool:
    """Return True if the host is known to run a release."""
    try:
        return host.release is release
    except HostUnknown:
        return False


# -- the processor -----------------------------------------------------------------------------------


def _possible(host: Host, release: XenRelease, commandline: str) -> frozenset[Controls]:
    """Return what the other Xen may use: one set of controls for each processor that fits the facts."""
    if host.technology is not Technology.VMX:
        return frozenset({Controls()})
    facts = {} if host.physinfo.no_guest else host.features
    known = tuple((key, bool(fact)) for key, fact in facts.items() if key in CONTROLS and fact.known)
    if not chooses_alike(host.version.number):
        choice = f"how Xen {host.version.release} chooses its controls"
        raise HostUnknown(f"{choice} is not modelled, so nothing follows for another Xen")
    here = activates_tertiary(host.version.number, host.version.extra)
    there = None if _runs(host, release) else release.tertiary_controls
    possible = _chosen(known, _apicv(host), here, there, _apicv_option(commandline))
    if not possible:
        raise HostUnknown("no processor fits the facts about this host, so nothing follows for another Xen")
    return possible


def _apicv_option(commandline: str) -> bool:
    return CommandLine(commandline).boolean("apicv") is not False


def _apicv(host: Host) -> bool | None:
    """Return whether this Xen may use APICv: its option, None when Xen reports only a part of its options."""
    options = CommandLine(host.version.commandline)
    if APICV_OFF in host.features.values() or options.boolean("apicv") is False:
        return False
    return None if options.cut or not host.commandline_known else True


@lru_cache(maxsize=64)
def _chosen(
    known: tuple[tuple[str, bool], ...],
    apicv: bool | None,
    tertiary: bool | None,
    tertiary_there: bool | None,
    apicv_there: bool,
) -> frozenset[Controls]:
    """Return what Xen chooses there, for each set of offers that explains what is known here.

    ``tertiary`` says whether Xen activates the tertiary controls. For the Xen here, None is unknown; for the
    Xen there, None means the same as here.
    """
    chosen: set[Controls] = set()
    for here in (True, False) if tertiary is None else (tertiary,):
        there = here if tertiary_there is None else tertiary_there
        release = replace(XEN_RELEASES[-1], tertiary_controls=there)
        chosen |= {
            host_controls(release, offered, apicv=apicv_there) for offered in offers(known, apicv, here)
        }
    return frozenset(chosen)


# -- facts -------------------------------------------------------------------------------------------


def _features(
    host: Host, release: XenRelease, evidence: Evidence, possible: frozenset[Controls]
) -> Mapping[str, Fact]:
    no_guest = evidence.physinfo.no_guest
    features = dict(host.features)
    for key in CONTROLS:
        if no_guest or host.technology is not Technology.VMX or key in FIXED:
            features[key] = (
                no(str(no_guest)) if no_guest and not host.physinfo.no_guest else host.features[key]
            )
            continue
        answers = {uses(key, controls) for controls in possible}
        where = f"under Xen {release.name}" + (f" {text}" if (text := evidence.version.commandline) else "")
        source = f"{where}, worked out from: {host.features[key].source}"
        if len(answers) > 1:
            features[key] = unknown(f"{where} it does not follow from what is known about this host", ASK)
        else:
            features[key] = yes(source) if answers.pop() else no(source)
    return features


def _arch_capabilities(
    release: XenRelease, possible: frozenset[Controls], per_control: bool
) -> PHYSCAP_X86 | None:
    """Return what that Xen reports; no bit where that is unknown. Another release lacks the proposal's."""
    words = {arch_capabilities(release, controls) for controls in possible}
    if per_control:
        words = {PHYSCAP_X86(offer_word(offer(controls))) for controls in possible}
    return words.pop() if len(words) == 1 else PHYSCAP_X86(0)


def _capabilities(host: Host, commandline: str) -> PHYSCAP:
    hap_here = CommandLine(host.version.commandline).boolean("hap") is not False
    hap_there = CommandLine(commandline).boolean("hap") is not False
    capabilities = host.physinfo.capabilities
    if hap_there and not hap_here:
        raise HostUnknown("this host runs with hap=0: it is unknown whether it has hap without that option")
    return capabilities if hap_there else capabilities & ~PHYSCAP.hap


def _grant_limits(host: Host, commandline: str) -> GrantLimits:
    limits, before = grant_limits(CommandLine(commandline)), host.grant_limits
    if before.frames_known and before.maptrack_frames_known:
        return limits
    return limits_from(limits, commandline)


def _altp2m(evidence: Evidence) -> Fact:
    fact = hostfacts.altp2m(evidence)
    if fact.known or evidence.options.cut:
        return fact
    return no("the options given for that Xen lack altp2m")


def _nested_virt(host: Host, evidence: Evidence, changed: bool) -> Fact:
    """Return whether guests can use VMX or SVM; since 4.19 SVM needs more of the processor."""
    if host.technology is not Technology.SVM or not changed:
        return hostfacts.nested_virt(evidence) if changed or host.technology else host.nested_virt
    there = evidence.version.number
    if PHYSCAP.hap not in evidence.physinfo.capabilities or there < hostfacts.NESTED_SINCE:
        return hostfacts.nested_virt(evidence)
    if host.version.number >= hostfacts.NESTED_SINCE:
        return host.nested_virt
    return unknown(f"Xen {evidence.version.release} requires more of the processor than this one did", ASK)


def _of_platform(fact: Fact, option: str, host: Host, commandline: str) -> Fact:
    """Return a fact that firmware and one of Xen's options decide, the same way in every modelled release."""
    here, there = CommandLine(host.version.commandline), CommandLine(commandline)
    if _given(here, option) == _given(there, option):
        return fact
    return unknown(f"option {option} differs from what this host runs with", ASK)


def _given(options: CommandLine, name: str) -> list[str]:
    """Return what the options say about a name, as given."""
    return [text for text in options.options if text.partition("=")[0].removeprefix("no-") == name]
