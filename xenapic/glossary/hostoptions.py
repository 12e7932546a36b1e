"""Topics about Xen's boot options: what each does, and whether it changes anything for a guest's APIC.

Source of each: ``docs/misc/xen-command-line.pandoc`` and the place that its text names, Xen 4.15 to 4.22.
"""

from __future__ import annotations

from xenapic.glossary import prose
from xenapic.glossary.prose import Prose
from xenapic.glossary.topic import Source, Topic, TopicKind

__all__ = ["SOURCES"]

HOST_ONLY = "None on a guest's APIC: whether a guest can use x2APIC mode, and what of it is accelerated, does not depend on it."
PANDOC = "docs/misc/xen-command-line.pandoc"

OPTIONS: dict[str, Prose] = {
    **prose.OPTIONS,
    "x2apic=": Prose(
        "Boolean, default true. Whether Xen puts the host's own APICs into x2APIC mode. It has no effect where the "
        "firmware has already done so.",
        HOST_ONLY,
        xen="x2apic_bsp_setup (xen/arch/x86/apic.c)",
        see=("x2apic", "x2apic_phys"),
    ),
    "x2apic_phys": Prose(
        "Boolean. How Xen addresses the host's own APICs in x2APIC mode: physical (1) or cluster mode (0), since "
        "4.19 mixed mode. Deprecated for x2apic-mode since 4.19. Linux has an option of the same name for its own APICs.",
        HOST_ONLY,
        xen="apic_x2apic_probe (xen/arch/x86/genapic/x2apic.c)",
        see=("x2apic=", "x2apic-mode"),
    ),
    "x2apic-mode": Prose(
        "physical, mixed or (up to 4.19) cluster, since 4.19: how Xen addresses the host's own APICs in x2APIC mode. It takes the place of "
        "x2apic_phys.",
        HOST_ONLY,
        xen="parse_x2apic_mode (xen/arch/x86/genapic/x2apic.c)",
        see=("x2apic=", "x2apic_phys"),
    ),
    "x2apic_cluster": Prose(
        "No option of Xen, but the name of a driver in the line 'Using APIC driver x2apic_cluster': Xen addresses the host's "
        "own APICs by cluster. x2apic_phys and x2apic-mode choose the driver.",
        HOST_ONLY,
        xen="apic_x2apic_cluster (xen/arch/x86/genapic/x2apic.c)",
        see=("x2apic_phys", "x2apic-mode"),
    ),
    "apic=": Prose(
        "bigsmp or default: the driver for the host's own APICs in xAPIC mode.",
        "None on a guest's APIC.",
        xen="genapic_apic_force (xen/arch/x86/genapic/probe.c)",
        see=("x2apic=",),
    ),
    "apic_verbosity": Prose(
        "verbose or debug: more messages about the host's own APICs.",
        "None on a guest's APIC.",
        xen="apic_set_verbosity (xen/arch/x86/apic.c)",
    ),
    "lapic": Prose(
        "Whether Xen turns on a host's APIC that the firmware left off; nolapic does without.",
        "None on a guest's APIC.",
        xen="xen/arch/x86/apic.c",
    ),
    "ioapic_ack": Prose(
        "old or new: when Xen acknowledges the host's level-triggered interrupts.",
        "None on a guest's APIC.",
        xen="setup_ioapic_ack (xen/arch/x86/io_apic.c)",
    ),
    "tdt": Prose(
        "Boolean, default true: whether Xen uses the deadline mode of the host's own APIC timer.",
        "None on a guest's APIC: its timer is Xen's emulation.",
        xen="tdt_enable (xen/arch/x86/apic.c)",
    ),
    "iommu": Prose(
        "A list: whether and how Xen uses the IOMMU (VT-d, AMD-Vi). Of it, intremap and intpost concern interrupts.",
        "By itself none on the exits of APIC accesses. The flag iommu of a create needs an IOMMU in use. "
        "intpost=1 lets devices post interrupts to a guest.",
        xen="parse_iommu_param (xen/drivers/passthrough/iommu.c)",
        see=("intpost", "CDF.iommu", "iommu-missing", "PHYSCAP.directio"),
    ),
    "intpost": Prose(
        "A part of iommu=, default off, 'due to some corner cases in the implementation'. The IOMMU posts the interrupts of assigned "
        "devices directly to a running guest.",
        "It needs posted interrupts on the processor, which apicv=0 turns off. No access to the APIC stays or exits "
        "because of it; it saves the exit that an interrupt of an assigned device costs.",
        xen="iommu_intpost (xen/drivers/passthrough/iommu.c); vmx_init_vmcs_config (xen/arch/x86/hvm/vmx/vmcs.c)",
        see=("posted_interrupts", "iommu", "posted-while-suppressed-stuck"),
    ),
    "intremap": Prose(
        "A part of iommu=, default on where the hardware has it: the IOMMU remaps interrupts.",
        "None on a guest's APIC. intpost needs it.",
        xen="iommu_intremap (xen/drivers/passthrough/iommu.c)",
        see=("iommu", "intpost"),
    ),
    "hap": Prose(
        "Boolean, default true: whether Xen offers hardware-assisted paging (EPT, NPT).",
        "With hap=0, guests need shadow paging. APIC acceleration is not turned off by it.",
        xen="opt_hap_enabled (xen/arch/x86/hvm/hvm.c)",
        see=("CDF.hap", "hap-missing"),
    ),
    "vpid": Prose(
        "Boolean, default true. Intel only: whether the TLB keeps entries of several guests.",
        "None on a guest's APIC.",
        xen="opt_vpid_enabled (xen/arch/x86/hvm/vmx/vmcs.c)",
    ),
    "viridian-version": Prose(
        "The version numbers that Viridian guests (Windows) are told.",
        "None on a guest's APIC.",
        xen="parse_viridian_version (xen/arch/x86/hvm/viridian/viridian.c)",
        see=("Viridian hints",),
    ),
}
ALIASES = {
    "x2apic=": ("x2apic",),
    "apic=": ("apic",),
    "lapic": ("nolapic",),
    "intpost": ("iommu=intpost",),
    "intremap": ("iommu=intremap",),
    "iommu": ("iommu=",),
    "vpid": ("vpid=",),
}
"""Other spellings; an option can also be written with its value (``apicv=0``)."""


def _option(name: str) -> Topic:
    see = OPTIONS[name].see
    if name == "apicv":
        from xenapic.model.evidence import BY_APICV

        see = (*see, *BY_APICV)
    topic = Topic(name, TopicKind.OPTION, name, *OPTIONS[name], ALIASES.get(name, ()))
    return topic._replace(see=see)


SOURCES = {TopicKind.OPTION: Source(OPTIONS.keys, _option)}
