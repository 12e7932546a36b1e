"""Messages of Linux, KVM, QEMU and libvirt, and what each means on a host with Xen. Pure data.

Sources: Linux (``arch/x86/kernel/apic``, ``arch/x86/kvm``), libvirt (``src/libxl``), the messages' own words.
"""

from __future__ import annotations

from xenapic.glossary.pasted.messages import HOST_ONLY, Message, message

__all__ = ["OTHER_MESSAGES"]

LINUX = "Linux, arch/x86/kernel/apic"
KVM = "Linux, arch/x86/kvm"
LIBVIRT = "libvirt, src/libxl"
LOG = "The reason is in /var/log/libvirt/libxl/libxl-driver.log, and for a refusal by Xen nowhere else."
SEEN_BY_LINUX = (
    "In a guest it is about the guest's own virtual APIC; in dom0 (PV) and on bare metal about the machine's."
)
KERNEL_OWN = (
    "It is how this Linux uses the APIC that it sees. Under Xen it says nothing about what exits: that "
    "depends on the host's Xen alone."
)


def _row(
    pattern: str, title: str, text: str, source: str = LINUX, see: tuple[str, ...] = (), errno: bool = False
) -> Message:
    return message(pattern, title, text, source, see, errno)


OTHER_MESSAGES: tuple[Message, ...] = (
    # -- libvirt --------------------------------------------------------------------------------------
    _row(
        r"could not find capabilities for (?:arch|os ?type|domaintype)=\S{1,40}",
        "libvirt finds no support for this type of guest on the host",
        "It asks Xen for its capabilities when it starts. For an HVM or PVH guest: Xen offers no hvm, because "
        "VT-x or SVM is off in the firmware or missing, or an old AMD processor lacks nested paging. "
        "No create was sent.",
        f"{LIBVIRT}/libxl_capabilities.c; src/conf/capabilities.c",
        ("hvm-missing", "hap-missing"),
    ),
    _row(
        r"libxenlight failed to (?:create new|restore) domain",
        "libvirt's message for every failure of libxl",
        f"It says nothing about the cause. {LOG} 'xenapic plan FILE' takes the domain's XML.",
        f"{LIBVIRT}/libxl_domain.c",
        ("toolstack-refused",),
    ),
    _row(
        r"(?:error|libvirtError): unsupported configuration: .{3,200}",
        "libvirt refuses the configuration itself",
        "Neither libxl nor Xen was asked. 'xenapic plan FILE' takes the domain's XML.",
        LIBVIRT,
        ("toolstack-refused",),
    ),
    # -- Linux: its own APIC ----------------------------------------------------------------------------
    _row(
        r"x2apic: enabled by BIOS, switching to x2apic ops|Enabled x2apic|\bx2apic enabled\b|Enabling x2apic",
        "Linux runs the APIC that it sees in x2APIC mode",
        f"{SEEN_BY_LINUX} A guest in x2APIC mode gets 'virtualize x2APIC mode' where Xen has it; 'virtualize APIC accesses' "
        "is then without effect.",
        LINUX,
        ("x2apic", "virtualize_x2apic_mode"),
    ),
    _row(
        r"x2apic: IRQ remapping doesn't support X2APIC mode",
        "Linux does not use x2APIC mode: it sees no interrupt remapping",
        f"{SEEN_BY_LINUX} A Linux that knows Xen needs no interrupt remapping for x2APIC mode in a guest.",
        LINUX,
        ("xapic", "x2apic"),
    ),
    _row(
        r"x2apic is disabled because BIOS sets x2apic opt out bit|BIOS set x2apic opt out",
        "the firmware asks an operating system not to use x2APIC mode (flag x2APIC_OPT_OUT of the ACPI table DMAR)",
        f"Xen obeys it too ('Not enabling x2APIC (upon firmware request)'). {HOST_ONLY}",
        "Linux, drivers/iommu/intel/irq_remapping.c",
        ("x2apic=",),
    ),
    _row(
        r"x2apic disabled by user|nox2apic|x2apic: disabled",
        "Linux does not use x2APIC mode, by its own option or finding",
        f"{SEEN_BY_LINUX} A guest in xAPIC mode accesses the page at FEE00000; every VMX control for x2APIC "
        "mode is without effect for it.",
        LINUX,
        ("xapic", "x2apic"),
    ),
    _row(
        r"Switched APIC routing to |Setting APIC routing to |APIC: Switch to symmetric I/O mode",
        "how Linux addresses APICs",
        KERNEL_OWN,
        LINUX,
    ),
    _row(
        r"\[Firmware Bug\]: CPU\s*\d+: APIC ID mismatch",
        "Linux compares the APIC ID that CPUID tells with the one that the APIC tells",
        "In a PV dom0 the first is made by Xen and the second is the machine's, so they can differ on a good "
        "firmware. It is not about a guest's APIC and not about acceleration.",
        "Linux, arch/x86/kernel/cpu/topology_common.c",
    ),
    _row(
        r"try to use APIC[0-9a-f]{3} \(LVT offset \d+\)|LVT offset \d+ assigned for vector",
        "Linux sets up AMD's extended interrupts (LVT entries at 500 to 530) for machine checks or sampling",
        "A PV dom0 sees the machine's registers and cannot set them up as it wants. A guest's APIC has no such "
        "registers. It is not about acceleration.",
        LINUX,
    ),
    _row(
        r"spurious APIC interrupt(?: through vector [0-9a-f]+)? on CPU#?\d+",
        "an interrupt came with the spurious vector, or its cause was gone when it was taken",
        f"{SEEN_BY_LINUX} One now and then is harmless; a flood has a device or a driver as cause.",
        f"{LINUX}; xen/arch/x86/apic.c",
        ("SPIV",),
    ),
    _row(
        r"\bdo_IRQ: \S+ No irq handler for vector|__common_interrupt: \S+ No irq handler for vector",
        "an interrupt arrived for which this Linux has no handler",
        f"{SEEN_BY_LINUX} Often it is one that moved between processors too late.",
        "Linux, arch/x86/kernel/irq.c",
    ),
    _row(
        r"clocksource: .{0,80}TSC.{0,80}unstable|hrtimer: interrupt took \d+ ns|rcu_sched (?:self-)?detected stall|"
        r"rcu: INFO: rcu_\w+ (?:self-)?detected stall|soft lockup - CPU#\d+ stuck",
        "a Linux whose processor did not run for a while, or whose timer came late",
        "In a guest: the vCPU was not scheduled, or an interrupt was lost. The line alone does not say which.",
        "Linux, kernel/time, kernel/rcu, kernel/watchdog.c",
    ),
    _row(
        r"CLOCK_WATCHDOG_TIMEOUT",
        "Windows' stop code 101: a processor did not take its clock interrupt in time",
        "In a guest: the vCPU was not scheduled, it hung, or an interrupt was lost. The code alone does not say which. Of the "
        "known defects, those under 'explain --xen VERSION' can lose an interrupt.",
        "Microsoft, bug check code reference, 0x101",
    ),
    _row(
        r"Hyper-V: Using (?:enlightened APIC|IPI hypercalls|hypercall for .{3,40}TLB)|hv_apic: .{3,80}",
        "a Linux that runs as a guest of Hyper-V, or of something that shows its leaves (viridian=)",
        "It uses Hyper-V's MSRs or hypercalls in place of its APIC for some operations. Each of them exits; accesses that "
        "stay in the guest would not. Xen's own leaves come first for a Linux guest, so under Xen this is unusual.",
        "Linux, arch/x86/hyperv/hv_apic.c",
        ("Viridian hints",),
    ),
    # -- KVM --------------------------------------------------------------------------------------------
    _row(
        r"kvm(?:_intel|_amd)?: .{0,60}(?:not supported by CPU|disabled by bios|VMX not enabled|SVM not supported|no hardware support)",
        "KVM finds no hardware virtualization on this machine, as it sees it",
        "Under Xen, dom0 and guests are shown none (unless a guest has nested virtualization). It says "
        "nothing about Xen's own use of VT-x or SVM.",
        KVM,
        ("CDF.nested_virt",),
    ),
    _row(
        r"\bkvm_apic(?:_ipi|_accept_irq)?\b",
        "a trace event of KVM about its guests' APICs",
        "Xen has none of these: 'xenapic exits' counts the exits of a running domain.",
        f"{KVM}/trace.h",
    ),
)
"""The first row that matches a line counts."""
