"""The subject of a recording: a Xen on a processor, as the model sees them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import replace
from errno import EINVAL, ENODEV

from xenapic.apic.controls import CONTROLS, Controls, subsets
from xenapic.apic.features import Technology
from xenapic.apic.outcome import Backing
from xenapic.apic.processors import emulated
from xenapic.apic.state import ApicState
from xenapic.errors import DocumentInvalid, NameUnknown
from xenapic.frozen import dataclass
from xenapic.model import proposal
from xenapic.model.acceleration import (
    APIC_BITS,
    DomainChoice,
    HvmLeaf,
    VcpuApic,
    ViridianHints,
    arch_capabilities,
    cpuid_leaf,
    domain_choice,
    host_controls,
    page_backing,
    vcpu_apic,
    vcpu_apic_svm,
    viridian_hints,
    x2apic_assistance,
)
from xenapic.model.apicbits import APIC, off_of, offer_word, on_of
from xenapic.model.evidence import IN_LOG
from xenapic.model.facts import yes
from xenapic.model.flags import PHYSCAP, PHYSCAP_X86
from xenapic.model.host import Host, describe
from xenapic.model.named import blank_physinfo, version_of
from xenapic.model.releases import XenRelease, xen_release
from xenapic.parse.bootlog import BootLog
from xenapic.parse.commandline import CommandLine
from xenapic.verify.recording import Recording

__all__ = ["Subject", "release_of"]


_, TERTIARY = CONTROLS["tertiary_controls"]


@dataclass(frozen=True)
class Subject:
    """The Xen and the processor that were recorded."""

    release: XenRelease
    technology: Technology | None
    host: Controls
    """The controls that Xen uses at boot; meaningless on AMD."""
    report: Host
    source: str
    """The source of what the processor offers."""
    emulator: str = ""
    """What emulates the processor; empty for a real one."""

    @classmethod
    def of(cls, recording: Recording) -> tuple[Subject, ...]:
        """Return what the names in a recording can mean: one subject if all is known, otherwise several.

        Raises `DocumentInvalid` for an unknown release of Xen.
        """
        release = release_of(recording.as_release or recording.xen)
        options = CommandLine(" ".join(recording.xen_options))
        technology, offers, source = _processor(recording)
        if PHYSCAP.hvm not in PHYSCAP(recording.physinfo.capabilities):
            technology = None
        report = _host_report(recording, release, technology)
        apicv = options.boolean("apicv") is not False
        hosts = dict.fromkeys(host_controls(release, offer, apicv=apicv) for offer in offers)
        emulator = recording.emulator
        possible = [cls(release, technology, host, report, source, emulator) for host in hosts]
        fitting = [subject for subject in possible if subject.fits(recording)]
        return tuple(fitting or possible)

    def fits(self, recording: Recording) -> bool:
        """Return True if the recording's other facts fit this subject; facts not recorded always fit."""
        if self.arch_capabilities != recording.physinfo.arch_capabilities:
            return False
        if not recording.used or self.technology is not Technology.VMX:
            return True
        return x2apic_assistance(self.host) is ("virtualize_x2apic_mode" in recording.used)

    @property
    def arch_capabilities(self) -> PHYSCAP_X86 | None:
        """What physinfo reports."""
        word = arch_capabilities(self.release, self.effective_host)
        if word is None or not self.report.per_control:
            return word
        return word | PHYSCAP_X86(offer_word(proposal.offer(self.effective_host)))

    def in_force(self, misc_flags: int) -> APIC | None:
        """Return what is in force for a domain that chooses it; None where Xen decides for the host."""
        if not self.report.per_control:
            return None
        offer = proposal.offer(self.effective_host)
        return proposal.in_force(offer, on_of(misc_flags), off_of(misc_flags))

    def choice(self, misc_flags: int) -> DomainChoice:
        """Return the assistance that a domain with these flags gets."""
        return domain_choice(self.release, self.host, misc_flags)

    @property
    def effective_host(self) -> Controls:
        """The host's VMX controls; none on AMD."""
        return self.host if self.technology is Technology.VMX else Controls()

    def page(self, misc_flags: int) -> Backing:
        """Return what is behind the page at the default base where nothing virtualizes it."""
        in_force = self.in_force(misc_flags)
        mapped = self.effective_host.has("virtualize_apic_accesses")
        return page_backing(mapped if in_force is None else APIC.ACCESS_PAGE in in_force, ApicState.XAPIC)

    def leaf(self, misc_flags: int) -> HvmLeaf:
        """Return EAX of the hypervisor's leaf base + 4."""
        host, in_force = self.effective_host, self.in_force(misc_flags)
        leaf = cpuid_leaf(self.release, host, domain_choice(self.release, host, misc_flags))
        return leaf if in_force is None else leaf & ~APIC_BITS | proposal.leaf(in_force)

    def viridian(self, misc_flags: int) -> ViridianHints:
        """Return what Viridian's leaves tell a guest about its APIC."""
        in_force = self.in_force(misc_flags)
        return viridian_hints(self.effective_host) if in_force is None else proposal.viridian(in_force)

    def vcpu(self, misc_flags: int, state: ApicState) -> VcpuApic:
        """Return what Xen sets up in the processor for a vCPU."""
        if self.technology is Technology.SVM:
            return vcpu_apic_svm(state)
        in_force = self.in_force(misc_flags)
        if in_force is not None:
            return proposal.vcpu(self.host, in_force, state)
        return vcpu_apic(self.host, self.choice(misc_flags), state)


def release_of(text: str) -> XenRelease:
    """Return the release of a recording's ``xen``: ``"4.17-rc"``, ``"4.17.7"``, ``"4.20.3"``.

    Raises `DocumentInvalid` when there is none.
    """
    try:
        return xen_release(text)
    except NameUnknown as error:
        raise DocumentInvalid(
            f"expected a version of Xen, e.g. 4.17.7, got {text!r}: {error}", "xen"
        ) from None


def _processor(recording: Recording) -> tuple[Technology | None, list[Controls], str]:
    """Return the processor's technology, each set of controls that it may offer, and the source of both."""
    name = recording.processor
    try:
        row = emulated(name, _emulator_release(recording.emulator))
    except NameUnknown:
        missing = f"no row {name!r} in the table of processors" if name else "no processor is named"
        technology, offered = _offered_by_log(recording)
        unknown = _not_listed(recording) if technology is Technology.VMX else set()
        source = "the controls that Xen uses" if recording.features is None else "Xen's own feature list"
        return technology, _possible(offered, unknown), f"{source}: {missing}"
    known = f"the table's row {row.name} ({row.source})"
    return row.technology, _possible(row.offers & CONTROLS.keys(), row.unknown), known


def _possible(offered: Set[str], unknown: Iterable[str]) -> list[Controls]:
    return [Controls.of(*offered, *more) for more in subsets(sorted(unknown))]


NEWEST = (99, 0)


def _emulator_release(text: str) -> tuple[int, int]:
    """Return the release in a text like ``bochs 3.0``; the newest when there is none."""
    number = re.search(r"(\d{1,4})\.(\d{1,4})", text, re.ASCII)
    return (int(number[1]), int(number[2])) if number else NEWEST


def _offered_by_log(recording: Recording) -> tuple[Technology | None, set[str]]:
    """Return what Xen's log and its VMCSs say that a processor offers; neither mentions x2APIC mode.

    Without a log, return what was in use. Raises `DocumentInvalid` when neither was recorded.
    """
    if recording.features is not None:
        keys = {key for key, line in IN_LOG.items() if line in recording.features}
    elif recording.used is not None:
        keys = set(recording.used) & CONTROLS.keys()
    else:
        raise DocumentInvalid(
            "expected a list where used is missing and the processor is unknown", "features"
        )
    if not keys:
        return Technology.SVM, set()
    if any(word & TERTIARY for word in _primary_words(recording)):
        keys.add("tertiary_controls")
    return Technology.VMX, {*keys, "secondary_controls"}


def _not_listed(recording: Recording) -> set[str]:
    """Return the controls that Xen's log does not mention and that nothing else tells.

    Where Xen activates the tertiary controls in a VMCS, the processor offers them (`_offered_by_log`).
    """
    unknown = {"virtualize_x2apic_mode"}
    return unknown if _primary_words(recording) else unknown | {"tertiary_controls"}


def _primary_words(recording: Recording) -> list[int]:
    return [words.cpu_based for words in recording.vmcs if words.cpu_based is not None]


def _host_report(recording: Recording, release: XenRelease, technology: Technology | None) -> Host:
    """Return the host as `describe` would: complete enough for the create rules."""
    capabilities = PHYSCAP(recording.physinfo.capabilities)
    physinfo = blank_physinfo(technology, capabilities)
    if release.has_physinfo_arch_capabilities:
        word = PHYSCAP_X86(recording.physinfo.arch_capabilities or 0)
        physinfo = replace(physinfo, arch_capabilities=word)
    version = version_of(release, " ".join(recording.xen_options))
    log = BootLog(True, True, technology, frozenset(recording.features or ()))
    host = describe(version, physinfo, log, probe=ENODEV if release.per_domain_apic else EINVAL)
    return replace(host, per_control=yes("the recording says so")) if recording.per_control else host
