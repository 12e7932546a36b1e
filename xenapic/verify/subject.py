"""What a recording is of: a Xen on a processor, as the model sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from errno import EINVAL, ENODEV
from typing import Any

from xenapic.apic.controls import CONTROLS, Controls, subsets
from xenapic.apic.features import Technology
from xenapic.apic.outcome import Backing
from xenapic.apic.processors import emulated
from xenapic.apic.state import ApicState
from xenapic.model.acceleration import (
    DomainChoice,
    VcpuApic,
    arch_capabilities,
    domain_choice,
    host_controls,
    page_backing,
    vcpu_apic,
    vcpu_apic_svm,
    x2apic_assistance,
)
from xenapic.model.evidence import IN_LOG
from xenapic.model.flags import PHYSCAP, PHYSCAP_X86
from xenapic.model.host import Host, describe
from xenapic.model.named import blank_physinfo, version_of
from xenapic.model.releases import DEVELOPMENT, XenRelease, xen_release
from xenapic.parse.bootlog import BootLog
from xenapic.parse.commandline import CommandLine

__all__ = ["Subject", "release_of"]


@dataclass(frozen=True)
class Subject:
    """The Xen and the processor that a recording is of."""

    release: XenRelease
    technology: Technology | None
    host: Controls
    """What Xen takes at boot; nothing of it counts on AMD."""
    report: Host
    source: str

    @classmethod
    def from_recording(cls, data: Mapping[str, Any]) -> tuple[Subject, ...]:
        """Work out the model's side from a recording's names: each possibility, one when all is known."""
        release = release_of(data["xen"])
        apicv = CommandLine(" ".join(data["xen_options"])).boolean("apicv") is not False
        technology, offers, source = _processor(data)
        if PHYSCAP.hvm not in PHYSCAP(data["physinfo"]["capabilities"]):
            technology = None
        report = _host_report(data, technology)
        hosts = dict.fromkeys(host_controls(release, one, apicv=apicv) for one in offers)
        found = [cls(release, technology, host, report, source) for host in hosts]
        word = data["physinfo"].get("arch_capabilities")
        fits = [one for one in found if one.arch_capabilities == word and one.uses_x2apic(data.get("used"))]
        return tuple(fits or found)

    def uses_x2apic(self, used: Sequence[str] | None) -> bool:
        """Tell whether what a recording found in use fits; where nothing was looked at, all does."""
        if not used or self.technology is not Technology.VMX:
            return True
        return x2apic_assistance(self.host) is ("virtualize_x2apic_mode" in used)

    @property
    def arch_capabilities(self) -> PHYSCAP_X86 | None:
        """What physinfo reports."""
        return arch_capabilities(self.release, self.effective_host)

    def choice(self, misc_flags: int) -> DomainChoice:
        """Return what a domain with these flags gets."""
        return domain_choice(self.release, self.host, misc_flags)

    @property
    def effective_host(self) -> Controls:
        """The host's VMX controls; none on AMD."""
        return self.host if self.technology is Technology.VMX else Controls()

    @property
    def page(self) -> Backing:
        """What is behind the page at the default base where nothing virtualizes it."""
        return page_backing(self.effective_host.has("virtualize_apic_accesses"), ApicState.XAPIC)

    def vcpu(self, misc_flags: int, state: ApicState) -> VcpuApic:
        """Return what the processor is told for a vCPU."""
        if self.technology is Technology.SVM:
            return vcpu_apic_svm(state)
        return vcpu_apic(self.host, self.choice(misc_flags), state)


def release_of(text: str) -> XenRelease:
    """Return the release of a recording's ``xen``: ``"4.17-rc"``, ``"4.17.7"``, ``"4.20.3"``."""
    if text.startswith(DEVELOPMENT.name):
        return DEVELOPMENT
    major, minor = text.replace("-", ".").split(".")[:2]
    return xen_release(f"{major}.{minor}")


def _processor(data: Mapping[str, Any]) -> tuple[Technology | None, list[Controls], str]:
    """Return what the processor may offer, and where that is known from."""
    try:
        row = emulated(data["processor"], _emulator_release(data.get("emulator", "")))
    except KeyError:
        name = data["processor"]
        missing = f"no row {name!r} in the table of processors" if name else "no processor is named"
        technology, offered = _offered_by_log(data)
        unknown = {"virtualize_x2apic_mode"} if technology is Technology.VMX else set()
        own = "what was found in use" if data.get("features") is None else "Xen's own feature list"
        return technology, _possible(offered, unknown), f"{own}: {missing}"
    known = f"the table's row {row.name} ({row.source})"
    return row.technology, _possible(row.offers & CONTROLS.keys(), row.unknown), known


def _possible(offered: Set[str], unknown: Set[str]) -> list[Controls]:
    return [Controls.of(*offered, *more) for more in subsets(sorted(unknown))]


def _emulator_release(text: str) -> tuple[int, int]:
    """Return the release in a text like ``bochs 3.0``; the newest when there is none."""
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (99, 0)


def _offered_by_log(data: Mapping[str, Any]) -> tuple[Technology | None, set[str]]:
    """Read what a processor offers out of what Xen logged; the log does not tell of x2APIC mode.

    Without a log, out of what was found in use.
    """
    if data.get("features") is None:
        keys = set(data["used"])
    else:
        lines = set(data["features"])
        keys = {key for key, line in IN_LOG.items() if line in lines}
    if not keys:
        return Technology.SVM, set()
    return Technology.VMX, {*keys, "secondary_controls"}


def _host_report(data: Mapping[str, Any], technology: Technology | None) -> Host:
    """Build what `describe` would have made of the recorded host: enough for the create rules."""
    release = release_of(data["xen"])
    physinfo = blank_physinfo(technology, PHYSCAP(data["physinfo"]["capabilities"]))
    if release.has_physinfo_arch_capabilities:
        word = PHYSCAP_X86(data["physinfo"].get("arch_capabilities") or 0)
        physinfo = replace(physinfo, arch_capabilities=word)
    version = version_of(release, " ".join(data["xen_options"]))
    log = BootLog(True, True, technology, frozenset(data.get("features") or ()))
    return describe(version, physinfo, log, probe=ENODEV if release.per_domain_apic else EINVAL)
