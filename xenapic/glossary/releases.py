"""Topics about Xen: releases, flags, defects."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntFlag

from xenapic.glossary import prose
from xenapic.glossary.topic import Source, Topic, TopicKind, joined
from xenapic.model.apicbits import APIC
from xenapic.model.defects import DEFECTS, defects_of
from xenapic.model.executed import basis
from xenapic.model.flags import CDF, EMU, MISC, PHYSCAP, PHYSCAP_X86, known_bits, names
from xenapic.model.proposal import CONTROL, NEEDS
from xenapic.model.releases import FIELD_SINCE, FLAG_SINCE, XEN_RELEASES, XenRelease

__all__ = ["SOURCES"]


# -- releases ----------------------------------------------------------------------------------------


def _release(name: str) -> Topic:
    release = {row.name: row for row in XEN_RELEASES}[name]
    choice = "A domain can choose" if release.per_domain_apic else "APIC acceleration is host-wide"
    defects = [row.code for row in defects_of(name)]
    return Topic(
        name,
        TopicKind.RELEASE,
        f"Xen {name}",
        joined(
            prose.RELEASES.get(name, ""),
            f"{choice}. Known bits of misc_flags: {int(release.misc_flags):#x}.",
            _news(release),
            "" if release.has_physinfo_arch_capabilities else "physinfo has no arch_capabilities.",
            f"Rests on: {basis(name)}.",
        ),
        f"Known defects of its .0: {', '.join(defects) or 'none'}.",
        see=("assisted_xapic", "assisted_x2apic", "decided host-wide", *defects),
        aliases=(f"Xen {name}", f"{name}.0"),
    )


def _news(release: XenRelease) -> str:
    news = [f"createdomain gains {name}" for name, since in FIELD_SINCE.items() if since == release.number]
    news += [f"flag {flag.name}" for flag, since in FLAG_SINCE.items() if since == release.number]
    return f"New: {', '.join(news)}." if news else ""


# -- flags -------------------------------------------------------------------------------------------

FLAG_WORDS: dict[type[IntFlag], tuple[str, str, str]] = {
    MISC: ("XEN_X86_", "createdomain.arch.misc_flags", "xen/include/public/arch-x86/xen.h"),
    PHYSCAP_X86: ("XEN_SYSCTL_PHYSCAP_X86_", "physinfo.arch_capabilities", "xen/include/public/sysctl.h"),
    PHYSCAP: ("XEN_SYSCTL_PHYSCAP_", "physinfo.capabilities", "xen/include/public/sysctl.h"),
    CDF: ("XEN_DOMCTL_CDF_", "createdomain.flags", "xen/include/public/domctl.h"),
    APIC: ("XEN_X86_APIC_", "each word of the proposal", "docs/explanation/proposal.md"),
    EMU: ("XEN_X86_EMU_", "createdomain.arch.emulation_flags", "xen/include/public/arch-x86/xen.h"),
}
"""Prefix of the flags in Xen's headers, the word they are in, and the header."""
LATER = PHYSCAP.vpmu | PHYSCAP.gnttab_v1 | PHYSCAP.gnttab_v2
"""Capabilities that are new in 4.16."""


def _physcap(release: XenRelease) -> PHYSCAP:
    every = PHYSCAP(known_bits(PHYSCAP))
    return every if release.number >= (4, 16) else every & ~LATER


KNOWN: dict[type[IntFlag], Callable[[XenRelease], IntFlag]] = {
    MISC: lambda release: release.misc_flags,
    CDF: lambda release: release.flags,
    APIC: lambda release: APIC(0),
    EMU: lambda release: release.emulation_flags,
    PHYSCAP: _physcap,
    PHYSCAP_X86: lambda release: PHYSCAP_X86(3 if release.per_domain_apic else 0),
}
RULES_OF = {
    MISC: ("misc-flags-unknown",),
    APIC: ("control-bits-need", "control-bits-hardware"),
    CDF: ("flags-unknown",),
    EMU: ("emulation-combination",),
}
FLAG_SEE = {
    "MISC.ASSISTED_XAPIC": ("assisted_xapic", "virtualize_apic_accesses", "assisted-hardware", "assisted-pv"),
    "MISC.ASSISTED_X2APIC": ("assisted_x2apic", "virtualize_x2apic_mode", "assisted-hardware", "assisted-pv"),
    "PHYSCAP_X86.ASSISTED_XAPIC": ("virtualize_apic_accesses", "assisted-xapic-avoids-nothing"),
    "PHYSCAP_X86.ASSISTED_X2APIC": ("x2APIC assistance",),
    **{
        f"APIC.{bit.name}": (key, *(f"APIC.{name}" for name in names(NEEDS[bit])))
        for bit, key in CONTROL.items()
    },
    "PHYSCAP.directio": ("iommu", "CDF.iommu", "iommu-missing"),
    "PHYSCAP.hap": ("CDF.hap", "hap-missing"),
    "PHYSCAP.shadow": ("shadow-missing",),
    "PHYSCAP.vmtrace": ("vmtrace-missing",),
    "PHYSCAP.vpmu": ("CDF.vpmu", "vpmu-missing"),
    "PHYSCAP.hvm": ("hvm-missing",),
    "PHYSCAP.pv": ("pv-missing",),
    "PHYSCAP.gnttab_v1": ("grant-version",),
    "PHYSCAP.gnttab_v2": ("grant-version",),
}


XL_INFO = {
    "PHYSCAP.directio": ("hvm_directio", "pv_directio"),
    "PHYSCAP.gnttab_v1": ("gnttab-v1",),
    "PHYSCAP.gnttab_v2": ("gnttab-v2",),
}
"""Words of ``virt_caps`` in ``xl info`` that differ from Xen's name."""


def _flags() -> dict[str, tuple[type[IntFlag], IntFlag]]:
    return {f"{word.__name__}.{member.name}": (word, member) for word in FLAG_WORDS for member in word}


def _flag(name: str) -> Topic:
    word, member = _flags()[name]
    prefix, field, header = FLAG_WORDS[word]
    return Topic(
        name,
        TopicKind.FLAG,
        f"{prefix}{member.name}",
        f"Bit {member.value.bit_length() - 1} of {field}. {prose.FLAGS[name]}",
        f"Releases that know it: {_knowing(word, member)}.",
        xen=header,
        see=(*FLAG_SEE.get(name, ()), *RULES_OF.get(word, ())),
        aliases=(
            *(() if word is APIC else (str(member.name),)),  # bare, it is the control that is meant
            f"{prefix}{member.name}",
            *XL_INFO.get(name, ()),
        ),
    )


def _knowing(word: type[IntFlag], member: IntFlag) -> str:
    names = [release.name for release in XEN_RELEASES if member & KNOWN[word](release)]
    return "all" if len(names) == len(XEN_RELEASES) else ", ".join(names) or "none"


# -- defects -----------------------------------------------------------------------------------------

EVIDENCE = {
    "observed": "In the recordings of a real Xen.",
    "executed": "This project's tests reproduce it.",
    "source": "Read from the source, not reproduced.",
}


def _defect(name: str) -> Topic:
    row = {row.code: row for row in DEFECTS}[name]
    until = f"until {row.until}" if row.until else "not fixed"
    when = joined(f"Since {row.since}, {until}.", row.points)
    text = joined(when, f"Condition: {row.condition}", f"How to avoid it: {row.avoid}")
    return Topic(
        name,
        TopicKind.DEFECT,
        row.title,
        f"{row.effect} {EVIDENCE[row.evidence]}",
        text,
        xen="; ".join([*row.sources, *(f"commit {commit}" for commit in row.commits)]),
        see=row.releases,
        aliases=tuple(
            part for source in row.sources for part in source.split(", ") if part.startswith(("XSA", "CVE"))
        ),
    )


SOURCES = {
    TopicKind.FLAG: Source(_flags, _flag),
    TopicKind.RELEASE: Source(lambda: [row.name for row in XEN_RELEASES], _release),
    TopicKind.DEFECT: Source(lambda: [row.code for row in DEFECTS], _defect),
}
