"""A host that is known from what its Linux says about the processor: what Xen would use on that machine.

Linux names most of the VMX controls in the line ``vmx flags`` (since 5.6;
``arch/x86/include/asm/vmxfeatures.h``, ``init_vmx_capabilities`` in ``arch/x86/kernel/cpu/feat_ctl.c``). It
does not show 'virtualize x2APIC mode', MSR bitmaps and the two bits that activate other words: these are
taken from the table of processors, by signature, as long as the table and Linux agree on the rest. IPI
virtualization has a name since 5.19 only.
"""

from __future__ import annotations

from collections.abc import Mapping

from xenapic.apic.features import Technology
from xenapic.apic.lookup import by_brand, by_signature, combined
from xenapic.apic.processors import TPR, Processor
from xenapic.apic.signature import ZHAOXIN
from xenapic.errors import HostUnknown
from xenapic.model.flags import PHYSCAP
from xenapic.model.host import Host
from xenapic.model.named import USUAL, Described, host_of
from xenapic.model.releases import XenRelease
from xenapic.parse.cpuinfo import CpuInfo, parse_cpuinfo

__all__ = ["NAMED_BY_LINUX", "host_from_cpuinfo", "processor_of"]

NAMED_BY_LINUX = {
    "vtpr": "tpr_shadow",
    "vapic": "virtualize_apic_accesses",
    "vapic_reg": "apic_register_virtualization",
    "vid": "virtual_interrupt_delivery",
    "posted_intr": "posted_interrupts",
}
"""A control's name among ``vmx flags``, which is there if, and only if, the processor offers the control."""
OLDER = {"tpr_shadow": "tpr_shadow", "flexpriority": "virtualize_apic_accesses"}
"""What ``flags`` shows, also before Linux 5.6; ``flexpriority`` stands for both of these controls."""
OF_VMX = frozenset({"ept", "vpid", "vnmi", *OLDER})
"""If ``flags`` has one of these, Linux was built to show all of them."""
SECONDARY = frozenset(
    {"vapic", "ept", "vpid", "unrestricted_guest", "vapic_reg", "vid", "ple", "tsc_scaling"}
)
"""Flags of secondary controls, which need 'activate secondary controls'."""
EVERY_VMX = frozenset({"external_interrupt_exiting", "cr8_load_exiting", "cr8_store_exiting"})
HIDDEN = frozenset({"msr_bitmaps", "secondary_controls", "virtualize_x2apic_mode", "tertiary_controls"})
"""Controls that have no name in Linux."""
VMX_VENDORS = ("GenuineIntel", *ZHAOXIN)
SVM_VENDORS = ("AuthenticAMD", "HygonGenuine")


def host_from_cpuinfo(
    text: str | bytes,
    release: XenRelease,
    options: str = "",
    *,
    name: str = "/proc/cpuinfo",
    extra: str = "",
) -> Host:
    """Return what Xen would use on the machine whose ``/proc/cpuinfo`` this is.

    ``options`` are Xen's boot options, ``extra`` what Xen reports after its number; ``name`` is what to
    call the text in the sources of facts. In a virtual machine, and so in dom0, Linux does not see the
    hardware: there only the processor's signature counts. What Linux does not say is assumed to be usual,
    as for `named_host`. Raises `LogInvalid` for another text, `HostUnknown` if Linux shows neither VMX nor
    SVM or the processor is not known.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return host_of(processor_of(parse_cpuinfo(text, name), name), release, options, extra)


def processor_of(info: CpuInfo, name: str = "/proc/cpuinfo") -> Described:
    """Return the processor that Linux describes; raise `HostUnknown` as `host_from_cpuinfo` does."""
    row = _row(info)
    vendor = info.vendor.strip()
    technology = (
        Technology.VMX if vendor in VMX_VENDORS else Technology.SVM if vendor in SVM_VENDORS else None
    )
    if technology is None:
        raise HostUnknown(f"{name}: Xen runs guests on no processor of vendor {vendor!r}")
    if "hypervisor" in info.flags:
        return _by_row(
            info, row, f"{name} is from a virtual machine or dom0, so only the signature counts", name
        )
    word = technology.value.lower()
    if word not in info.flags:
        raise HostUnknown(
            f"{name}: its flags lack {word!r}: the firmware turned it off, this Linux cannot use it, or the "
            "processor lacks it. --processor NAME asks about the processor alone"
        )
    if technology is Technology.SVM:
        usual = USUAL if "npt" in info.flags else USUAL & ~PHYSCAP.hap
        return _by_row(info, row, f"flags in {name}, line {info.line}", name, usual)
    return _from_flags(info, row, name)


def _row(info: CpuInfo) -> Processor | None:
    """Return the row of the signature; the name helps where a signature has several."""
    rows = by_signature(info.signature)
    if len(rows) > 1 and (sold := by_brand(info.name)):
        rows = tuple(row for row in rows if row in sold.rows) or rows
    return combined(rows) if rows else None


def _title(info: CpuInfo) -> str:
    return info.name or f"CPUID signature {info.signature}"


def _by_row(
    info: CpuInfo, row: Processor | None, source: str, name: str, capabilities: PHYSCAP = USUAL
) -> Described:
    if row is None:
        if info.vendor.strip() in SVM_VENDORS:  # no Xen uses what its processors differ in
            row = Processor(_title(info), "", Technology.SVM, frozenset(), frozenset({"avic", "x2avic"}), "")
        else:
            raise HostUnknown(f"{name}: no row has the CPUID signature {info.signature}, and {source}")
    shown = f"{source}; row {row.name}: {row.source}" if row.source else source
    described = Processor(
        _title(info), row.title, row.technology, row.offers, row.unknown, shown, notes=row.notes
    )
    return Described(described, f"processor {_title(info)} of {name}", capabilities, _assumed(name))


def _assumed(name: str) -> str:
    return f"{name}, or assumed where it does not say"


def _from_flags(info: CpuInfo, row: Processor | None, name: str) -> Described:
    """Return an Intel processor from its flags, completed from its row where the two agree."""
    seen = _seen(info)
    offers = EVERY_VMX | {key for key, answer in seen.items() if answer}
    unknown = {key for key, answer in seen.items() if answer is None}
    source = f"{'vmx flags' if info.vmx_flags is not None else 'flags'} in {name}, line {info.line}"
    hidden = (HIDDEN | TPR | set(NAMED_BY_LINUX.values()) | {"ipi_virtualization"}) - seen.keys() - EVERY_VMX
    contradiction = _contradiction(seen, row)
    if row is None or contradiction:
        unknown |= hidden
        source += f"; {contradiction or f'no row has the CPUID signature {info.signature}'}"
    else:
        offers |= row.offers & hidden
        unknown |= row.unknown & hidden
        source += f"; what Linux does not show, from row {row.name}: {row.source}"
    usual = USUAL if "ept" in info.flags | (info.vmx_flags or frozenset()) else USUAL & ~PHYSCAP.hap
    described = Processor(
        _title(info), row.title if row else "", Technology.VMX, frozenset(offers), frozenset(unknown), source
    )
    return Described(described, f"processor {_title(info)} of {name}", usual, _assumed(name))


def _seen(info: CpuInfo) -> Mapping[str, bool | None]:
    """Return what the flags say about each control that they show; None where the processors differ."""
    if info.vmx_flags is not None:
        flags, names = info.vmx_flags, dict(NAMED_BY_LINUX)
        if "ipi_virt" in flags:
            names["ipi_virt"] = "ipi_virtualization"
    else:
        flags = info.flags
        names = dict(OLDER) if flags & OF_VMX else {}
    seen: dict[str, bool | None] = {
        key: None if flag in info.mixed else flag in flags for flag, key in names.items()
    }
    if flags & SECONDARY:
        seen["secondary_controls"] = True
    if seen.get("ipi_virtualization"):
        seen["tertiary_controls"] = True
    return seen


def _contradiction(seen: Mapping[str, bool | None], row: Processor | None) -> str:
    """Return what flags and row say differently about a control, in words; empty if nothing."""
    for key, answer in seen.items() if row else ():
        if answer is not None and row and key not in row.unknown and answer is not (key in row.offers):
            return f"row {row.name} ({row.source}) says otherwise about {key}, so it is not used"
    return ""
