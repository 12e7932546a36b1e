"""Facts about the platform, which firmware and Xen's options decide, from Xen's boot log.

Xen prints these lines before its list of features, so no guest exists yet. Their wording is the same from
4.13 to 4.22 (``x2apic_bsp_setup``, ``xen/arch/x86/apic.c``; ``iommu_setup``, ``drivers/passthrough/iommu.c``;
``intel_iommu_setup``, ``vtd/iommu.c``).
"""

from __future__ import annotations

from xenapic.apic.features import Technology
from xenapic.model.evidence import REBOOT_FOR_LOG
from xenapic.model.facts import Fact, no, unknown, yes
from xenapic.parse.bootlog import BootLog

__all__ = ["NOT_ASKED", "OPT_OUT", "interrupt_remapping", "posted_by_iommu", "x2apic_mode"]

NOT_ASKED = unknown("firmware and Xen's options decide it", "look at Xen's log of that host")

X2APIC_ON = (
    "Switched to APIC driver x2apic_",
    "Using APIC driver x2apic_",
    "x2APIC mode is already enabled by BIOS.",
    "x2APIC: Already enabled by BIOS",
)
X2APIC_OFF = "Not enabling x2APIC"
OPT_OUT = "Not enabling x2APIC (upon firmware request)"
"""What Xen prints when the DMAR table has the flag x2APIC opt-out."""
REMAPPING = "Interrupt remapping "
"""Followed by ``enabled`` or ``disabled``: the final answer, for any vendor's IOMMU."""
NO_IOMMU = "I/O virtualisation disabled"
VTD_REMAPPING = "Intel VT-d Interrupt Remapping "
"""Followed by ``enabled.`` or ``not enabled.``: what VT-d is about to use."""
VTD_POSTED = "Intel VT-d Posted Interrupt "


def x2apic_mode(log: BootLog) -> Fact:
    """Return whether Xen itself runs its processors' APICs in x2APIC mode."""
    if line := _said(log, *X2APIC_ON):
        return yes(line)
    if line := _said(log, X2APIC_OFF):
        return no(line)
    return _silent(log, "x2APIC mode")


def interrupt_remapping(log: BootLog) -> Fact:
    """Return whether Xen uses the IOMMU's interrupt remapping."""
    for start in (REMAPPING, VTD_REMAPPING):  # the final answer counts
        if line := _said(log, f"{start}enabled"):
            return yes(line)
        if line := _said(log, f"{start}disabled", f"{start}not enabled", NO_IOMMU):
            return no(line)
    return _silent(log, "interrupt remapping")


def posted_by_iommu(log: BootLog, technology: Technology | None) -> Fact:
    """Return whether the IOMMU posts devices' interrupts to guests (``iommu=intpost``)."""
    if technology is Technology.SVM:
        return no("no Xen up to 4.22 posts interrupts with AMD's IOMMU")
    if line := _said(log, f"{REMAPPING}disabled", NO_IOMMU, f"{VTD_POSTED}not enabled"):
        return no(line)
    if line := _said(log, f"{VTD_POSTED}enabled"):
        return yes(line)
    return _silent(log, "posted interrupts of VT-d")


def _said(log: BootLog, *starts: str) -> str:
    """Return the first of Xen's lines that starts so, as the source of a fact; empty if there is none."""
    line = next((text for text in log.lines if text.startswith(starts)), None)
    return f"{log.name}: '{line}'" if line else ""


def _silent(log: BootLog, what: str) -> Fact:
    """Return what follows from a log that does not mention something."""
    if log.whole:
        return no(f"{log.name} does not mention {what}")
    return unknown(log.doubt, REBOOT_FOR_LOG)
