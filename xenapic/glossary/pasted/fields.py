"""Fields of a raw request, and words of flags, by name: ``flags=32 grant_opts=2``, ``virt_caps : pv hvm``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import IntFlag

from xenapic.glossary.pasted.meaning import Meaning, quoted
from xenapic.model.apicbits import ASKED, offer_of, words_shown
from xenapic.model.flags import ALTP2M, CDF, EMU, IOMMU, MISC, PHYSCAP, PHYSCAP_X86
from xenapic.parse.flagnames import names

__all__ = ["capabilities", "fields", "leaves"]

HEADER = "xen/include/public/domctl.h, struct xen_domctl_createdomain"
FLAG_WORDS: dict[str, type[IntFlag]] = {
    "flags": CDF,
    "iommu_opts": IOMMU,
    "emulation_flags": EMU,
    "misc_flags": MISC,
    "arch_capabilities": PHYSCAP_X86,
    "capabilities": PHYSCAP,
}


def _grant_opts(value: int) -> str:
    rest = f", unknown bits {value & ~0xF:#x}" if value & ~0xF else ""
    return f"highest grant version {value & 0xF}{rest}"


def _limit(value: int) -> str:
    return "Xen's own default" if value in (-1, 0xFFFFFFFF) else str(value)


def _altp2m(value: int) -> str:
    mode = ALTP2M(value & 3).name
    return f"mode {mode}" + (f", {value >> 2:#x} above the mode" if value >> 2 else "")


def _ssidref(value: int) -> str:
    known = {12: "SECINITSID_DOMU, what libxl sends for a guest", 13: "SECINITSID_DOMDM, for a stub domain"}
    return known.get(value, str(value))


def _proposed(name: str, value: int) -> str:
    """Return what a word means on a Xen with the proposed interface, if it can come from one."""
    if name == "misc_flags" and value > 0 and value & ASKED:
        return f" (in the proposal: {words_shown(value)}; in an answer of Xen, on means in force)"
    offer = offer_of(value) if name == "arch_capabilities" and value > 0 else None
    if offer is None:
        return ""
    words = (("available", offer.available), ("default", offer.default))
    listed = ", ".join(f"{word} {'|'.join(names(bits)) or 'nothing'}" for word, bits in words)
    return f" (in the proposal: {listed})"


NUMBERS: dict[str, Callable[[int], str]] = {
    "grant_opts": _grant_opts,
    "altp2m_opts": _altp2m,
    "altp2m": _altp2m,
    "max_grant_frames": _limit,
    "max_maptrack_frames": _limit,
    "ssidref": _ssidref,
    "max_vcpus": str,
    "max_evtchn_port": str,
    "cpupool_id": str,
    "vmtrace_size": lambda value: f"{value} bytes",
}
NAMES = sorted((*FLAG_WORDS, *NUMBERS), key=len, reverse=True)
FIELD = re.compile(
    rf"(?<![\w.])(?:\w{{1,20}}\.){{0,3}}(?P<name>{'|'.join(NAMES)})"
    r"\s*[=:]\s*(?P<value>-?(?:0x[0-9a-f]{1,16}|\d{1,20}))(?![\w.])",
    re.IGNORECASE | re.ASCII,
)
NEEDS_COMPANY = {"flags", "capabilities"}
"""Names that other programs use too: as fields of Xen's only where the text says so."""


def fields(line: str) -> Iterator[Meaning]:
    """Yield the fields of a raw request in a line, decoded by names."""
    found = list(FIELD.finditer(line))
    alone = len({match["name"].lower() for match in found}) == 1
    for match in found:
        name, value = (
            match["name"].lower(),
            int(match["value"], 0)
            if not match["value"].lstrip("-").startswith("0")
            else _number(match["value"]),
        )
        sure = not (alone and name in NEEDS_COMPANY)
        if name in FLAG_WORDS:
            kind = FLAG_WORDS[name]
            listed = names(kind(value)) if value >= 0 else [str(value)]
            says = ", ".join(listed) or "no bit is set"
            says += _proposed(name, value)
            see = tuple(f"{kind.__name__}.{each}" for each in listed if each in kind.__members__)
        else:
            says, see = NUMBERS[name](value), ()
        place = "physinfo" if name in ("capabilities", "arch_capabilities") else "createdomain"
        yield Meaning(quoted(match[0]), f"{place}.{name}: {says}", "", sure, HEADER, see)
    if len(found) > 1 and not alone:
        chosen = " ".join(
            f"--set {match['name']}={match['value']}"
            for match in found
            if match["name"].lower() not in ("capabilities", "arch_capabilities")
        )
        yield Meaning(
            quoted(line),
            "a raw request of a create",
            f"To check it on a host: xenapic create --dry-run {chosen} --processor NAME --xen RELEASE",
            True,
            HEADER,
        )


def _number(text: str) -> int:
    """Return a number in which a leading 0 does not make it octal."""
    return int(text, 16) if "x" in text.lower() else int(text)


# -- xl info -----------------------------------------------------------------------------------------

VIRT_CAPS = {
    "pv": PHYSCAP.pv,
    "hvm": PHYSCAP.hvm,
    "hvm_directio": PHYSCAP.directio,
    "pv_directio": PHYSCAP.directio,
    "hap": PHYSCAP.hap,
    "shadow": PHYSCAP.shadow,
    "iommu_hap_pt_share": PHYSCAP.iommu_hap_pt_share,
    "vmtrace": PHYSCAP.vmtrace,
    "vpmu": PHYSCAP.vpmu,
    "gnttab-v1": PHYSCAP.gnttab_v1,
    "gnttab-v2": PHYSCAP.gnttab_v2,
}
"""What ``xl info`` prints for a capability (``tools/xl/xl_info.c``)."""
SAYS = {
    PHYSCAP.hvm: "runs HVM and PVH guests",
    PHYSCAP.pv: "runs PV guests",
    PHYSCAP.directio: "Xen uses an IOMMU, so devices can be passed through",
    PHYSCAP.hap: "hardware-assisted paging",
    PHYSCAP.shadow: "shadow paging is built in",
    PHYSCAP.iommu_hap_pt_share: "the IOMMU can share the guest's page tables",
    PHYSCAP.vmtrace: "vmtrace",
    PHYSCAP.vpmu: "performance counters for guests",
    PHYSCAP.gnttab_v1: "grant tables version 1",
    PHYSCAP.gnttab_v2: "grant tables version 2",
}
CAPS_LINE = re.compile(r"\bvirt_caps\s*[:=]\s*(?P<words>[\w -]{0,200})", re.ASCII)
HW_CAPS = re.compile(r"\bhw_caps\s*[:=]\s*(?P<words>[0-9a-f]{8}(?::[0-9a-f]{8}){7})\b", re.ASCII)
HW_BITS = (
    (0, 9, "APIC"),
    (1, 5, "VMX"),
    (1, 21, "x2APIC"),
    (1, 24, "TSC-deadline timer"),
    (1, 31, "runs under a hypervisor"),
    (3, 2, "SVM"),
    (3, 3, "extended APIC space"),
)
"""Word, bit and name. The words are CPUID 1 EDX and ECX, 80000001 EDX and ECX, D:1 EAX, 7 EBX and ECX,
80000007 EDX."""


ASSISTED = ("assisted_xapic", "assisted_x2apic")
"""What ``xl info`` of 4.17-rc prints, too."""


def _acceleration(assisted: list[str]) -> str:
    if not assisted:
        return "None of it says anything about APIC acceleration: 'xenapic host' does."
    return (
        f"{' and '.join(assisted)}: only 4.17.0-rc1 to rc3, or a Xen with the interface added, says it. Its "
        "Xen can use the control for guests, and a domain can turn it off. The other controls are not in the "
        "list."
    )


def capabilities(line: str) -> Iterator[Meaning]:
    """Yield what ``virt_caps`` and ``hw_caps`` of ``xl info`` say."""
    for match in CAPS_LINE.finditer(line):
        words = [word for word in match["words"].split() if word in VIRT_CAPS]
        if not words:
            continue
        says = dict.fromkeys(SAYS[VIRT_CAPS[word]] for word in words)
        absent = [SAYS[PHYSCAP.directio]] if not {"hvm_directio", "pv_directio"} & set(words) else []
        assisted = [word for word in match["words"].split() if word in ASSISTED]
        text = f"The host: {'; '.join(says)}."
        if absent:
            text += "\nNot in the list: hvm_directio and pv_directio, so Xen uses no IOMMU."
        yield Meaning(
            quoted(match[0]),
            "what this host's Xen offers to guests (xl info)",
            f"{text}\n{_acceleration(assisted)}",
            True,
            "tools/xl/xl_info.c; xen/include/public/sysctl.h",
            (
                *(f"PHYSCAP_X86.{word.upper()}" for word in assisted),
                *dict.fromkeys(f"PHYSCAP.{VIRT_CAPS[word].name}" for word in words),
            ),
        )
    for match in HW_CAPS.finditer(line):
        values = [int(word, 16) for word in match["words"].split(":")]
        have = [name for word, bit, name in HW_BITS if values[word] >> bit & 1]
        lack = [name for word, bit, name in HW_BITS[:3] if not values[word] >> bit & 1]
        yield Meaning(
            quoted(match[0]),
            "CPUID bits of the host as Xen sees them (xl info)",
            f"Of the APIC and virtualization, 1: {', '.join(have) or 'none'}; "
            f"0: {', '.join(lack) or 'none'}.\n"
            "The words are CPUID 1 EDX and ECX, 80000001 EDX and ECX, and four others, since Xen 4.7. "
            "VMX's controls are not among them.",
            True,
            "xen/include/xen/lib/x86/cpu-policy.h, FEATURESET_*",
        )


# -- values of CPUID leaves -----------------------------------------------------------------------------

LEAF = re.compile(
    r"(?:(?:CPUID|leaf)\W{1,3}(?:0x)?|(?<![=\w])(?:0x)?)"
    r"(?P<leaf>(?:(?<=CPUID )|(?<=leaf )|0{7})1|4000000[46]|40000104|8000000[1a])\b(?!\s*=)",
    re.IGNORECASE | re.ASCII,
)
REGISTER = re.compile(
    r"\b(?P<register>e[abcd]x)\s*[=:]\s*(?:0x)?(?P<value>[0-9a-f]{1,8})\b", re.IGNORECASE | re.ASCII
)
SDM_CPUID, APM_CPUID = "SDM volume 2A, CPUID", "APM volume 3, CPUID"
XEN_BITS = {0: "XEN_HVM_CPUID_APIC_ACCESS_VIRT", 1: "XEN_HVM_CPUID_X2APIC_VIRT"}
LEAVES: dict[tuple[int, str], tuple[str, dict[int, str], str, tuple[str, ...]]] = {
    (1, "ecx"): (
        "the processor",
        {5: "VMX", 21: "x2APIC", 24: "TSC-deadline timer"},
        "SDM volume 2A, CPUID",
        (),
    ),
    (1, "edx"): ("the processor", {9: "APIC"}, "SDM volume 2A, CPUID", ()),
    (0x8000000A, "edx"): (
        "the processor (SVM)",
        {13: "AVIC", 18: "x2AVIC"},
        "APM volume 3, CPUID",
        ("avic", "x2avic"),
    ),
    (0x80000001, "ecx"): ("the processor", {2: "SVM", 3: "extended APIC space"}, "APM volume 3, CPUID", ()),
    (0x40000104, "eax"): (
        "Xen to a Viridian guest",
        XEN_BITS,
        "xen/include/public/arch-x86/cpuid.h",
        tuple(XEN_BITS.values()),
    ),
    (0x40000006, "eax"): (
        "Xen to a Viridian guest (Viridian's leaf 6)",
        {0: "APIC accesses are virtualized (APIC overlay)", 1: "MSR bitmaps", 3: "nested paging"},
        "xen/arch/x86/hvm/viridian/viridian.c",
        ("Viridian hints",),
    ),
}
AMBIGUOUS = (
    (
        "Xen to a guest without Viridian",
        XEN_BITS,
        "xen/include/public/arch-x86/cpuid.h",
        tuple(XEN_BITS.values()),
    ),
    (
        "Xen to a Viridian guest (Viridian's leaf 4)",
        {
            2: "flush TLBs by hypercall",
            3: "use MSRs for the APIC",
            5: "relaxed timers",
            10: "send IPIs by hypercall",
        },
        "xen/arch/x86/hvm/viridian/viridian.c",
        ("Viridian hints",),
    ),
)
"""What 40000004 EAX is: it depends on whether the guest has Viridian."""


def leaves(line: str) -> Iterator[Meaning]:
    """Yield what the values of a CPUID leaf in a line say about the APIC."""
    at = LEAF.search(line)
    if at is None:
        return
    leaf = int(at["leaf"], 16)
    for match in REGISTER.finditer(line, at.end()):
        name, value = match["register"].lower(), int(match["value"], 16)
        row = LEAVES.get((leaf, name))
        rows = (row,) if row else AMBIGUOUS if (leaf, name) == (0x40000004, "eax") else ()
        for who, bits, source, see in rows:
            said = [text for bit, text in bits.items() if value >> bit & 1]
            unsaid = [text for bit, text in bits.items() if not value >> bit & 1]
            yield Meaning(
                quoted(f"{at[0].strip()} {match[0]}"),
                f"CPUID {leaf:X} {name.upper()}, as told by {who}",
                f"Of the APIC, 1: {', '.join(said) or 'none'}; 0: {', '.join(unsaid) or 'none'}.",
                len(rows) == 1,
                source,
                see,
            )
