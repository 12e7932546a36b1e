"""Topics about names that other projects use: KVM, Linux, QEMU, Hyper-V; and xl's Viridian settings.

Each row names where the name is met, what it is called here, and what it is under Xen. Sources: Linux
(``arch/x86/kvm/vmx/vmx.c``, ``arch/x86/include/asm/vmxfeatures.h``), QEMU (``target/i386/cpu.c``,
``docs/system/i386/hyperv.rst``), Xen (``docs/man/xl.cfg.5.pod.in``, ``xen/include/public/hvm/params.h``,
``viridian.c``).
"""

from __future__ import annotations

from typing import NamedTuple

from xenapic.glossary.topic import Source, Topic, TopicKind

__all__ = ["ROWS", "SOURCES", "Elsewhere"]

KVM = "a module parameter of KVM (kvm_intel)"
KVM_AMD = "a module parameter of KVM (kvm_amd)"
LINUX = "a flag in Linux' /proc/cpuinfo"
QEMU = "a CPU property of QEMU"
HYPERV = "an enlightenment of QEMU and libvirt (Hyper-V)"
XL = "an item of viridian= in xl.cfg"
NOT_XEN = "Xen does not read it."
KVM_SOURCE = "Linux, arch/x86/kvm/vmx/vmx.c"
KVM_AMD_SOURCE = "Linux, arch/x86/kvm/svm"
LINUX_SOURCE = "Linux, arch/x86/include/asm/vmxfeatures.h and cpufeatures.h"
QEMU_SOURCE = "QEMU, target/i386/cpu.c"
HYPERV_SOURCE = "QEMU, docs/system/i386/hyperv.rst"
XL_SOURCE = "docs/man/xl.cfg.5.pod.in; xen/arch/x86/hvm/viridian/viridian.c"


class Elsewhere(NamedTuple):
    """A name of another project."""

    where: str
    text: str
    """What it is there."""
    xen: str
    """What corresponds to it under Xen, and whether it makes a difference to a guest's APIC."""
    source: str
    see: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


ROWS: dict[str, Elsewhere] = {
    "enable_apicv": Elsewhere(
        KVM,
        "Turns APIC virtualization on: register virtualization, virtual-interrupt delivery, posted interrupts.",
        f"{NOT_XEN} Its counterpart is the boot option apicv=, for the whole host; it also turns off 'virtualize x2APIC mode'.",
        KVM_SOURCE,
        ("apicv", "APICv", "posted_interrupts"),
    ),
    "enable_ipiv": Elsewhere(
        KVM,
        "Turns IPI virtualization on.",
        "No Xen uses IPI virtualization, so there is no counterpart: writes of the ICR exit.",
        KVM_SOURCE,
        ("ipi_virtualization", "ICR"),
    ),
    "flexpriority": Elsewhere(
        f"{KVM}, and {LINUX}",
        "FlexPriority: the TPR shadow together with 'virtualize APIC accesses'. As a flag of /proc/cpuinfo it says that the "
        "processor has both.",
        "Xen uses both where the processor has them; no option turns them off.",
        f"{KVM_SOURCE}; arch/x86/kernel/cpu/feat_ctl.c",
        ("tpr_shadow", "virtualize_apic_accesses"),
        ("flexpriority_enabled", "FlexPriority"),
    ),
    "vnmi": Elsewhere(
        f"{KVM}, and {LINUX}",
        "Virtual NMIs: the processor tracks whether a guest blocks NMIs.",
        "Xen uses it where the processor has it ('Virtual NMI' in its log). It makes no difference to a guest's APIC: NMIs are not "
        "accesses to it.",
        f"{KVM_SOURCE}; {LINUX_SOURCE}",
        (),
        ("virtual NMI", "Virtual NMIs"),
    ),
    "avic=": Elsewhere(
        KVM_AMD,
        "Turns AVIC on.",
        "No Xen uses AVIC, so there is no counterpart: every access to the APIC exits on AMD.",
        f"{KVM_AMD_SOURCE}/avic.c",
        ("avic", "x2avic"),
    ),
    "vid": Elsewhere(
        LINUX,
        "Among 'vmx flags': the processor has virtual-interrupt delivery.",
        "Xen uses it unless apicv=0.",
        LINUX_SOURCE,
        ("virtual_interrupt_delivery",),
    ),
    "vapic": Elsewhere(
        LINUX,
        "Among 'vmx flags': the processor has 'virtualize APIC accesses'.",
        "Xen uses it where the processor has it.",
        LINUX_SOURCE,
        ("virtualize_apic_accesses",),
    ),
    "vapic_reg": Elsewhere(
        LINUX,
        "Among 'vmx flags': the processor has APIC-register virtualization.",
        "Xen uses it unless apicv=0.",
        LINUX_SOURCE,
        ("apic_register_virtualization",),
    ),
    "vtpr": Elsewhere(
        LINUX,
        "Among 'vmx flags': the processor has the TPR shadow; 'flags' calls it tpr_shadow.",
        "Xen uses it where the processor has it.",
        LINUX_SOURCE,
        ("tpr_shadow",),
    ),
    "posted_intr": Elsewhere(
        LINUX,
        "Among 'vmx flags': the processor can process posted interrupts.",
        "Xen uses it with virtual-interrupt delivery, so not with apicv=0.",
        LINUX_SOURCE,
        ("posted_interrupts",),
    ),
    "ipi_virt": Elsewhere(
        LINUX,
        "Among 'vmx flags', since Linux 5.19: the processor has IPI virtualization.",
        "No Xen uses it.",
        LINUX_SOURCE,
        ("ipi_virtualization",),
        ("ipiv",),
    ),
    "apicv (Linux flag)": Elsewhere(
        LINUX,
        "Among 'vmx flags': the processor has register virtualization, virtual-interrupt delivery and posted "
        "interrupts, and the TPR shadow with 'virtualize APIC accesses' (arch/x86/kernel/cpu/feat_ctl.c).",
        "Xen uses each part that the processor has, unless apicv=0.",
        LINUX_SOURCE,
        ("APICv", "apicv"),
    ),
    "preemption_timer": Elsewhere(
        f"{KVM}, and {LINUX}",
        "The VMX-preemption timer: an exit after a time. KVM uses it for the APIC timer of guests.",
        "Xen does not use it: the guest's APIC timer is a timer of Xen's.",
        f"{KVM_SOURCE}; {LINUX_SOURCE}",
    ),
    "irqchip": Elsewhere(
        "an option of QEMU (-machine kernel-irqchip=)",
        "Where QEMU's KVM guests have their APIC: in the kernel, in QEMU, or split.",
        "Under Xen the local APIC is always in Xen; QEMU only emulates devices.",
        "QEMU, qemu-options.hx",
        ("EMU.LAPIC",),
        ("kernel-irqchip", "kernel_irqchip"),
    ),
    **{
        name: Elsewhere(
            QEMU,
            f"The control {what}, offered to a guest that is itself a hypervisor.",
            "It says nothing about Xen on the bare machine. A Xen that runs as QEMU's guest uses the control only if QEMU offers it.",
            QEMU_SOURCE,
            (key,),
        )
        for name, what, key in (
            ("vmx-apicv-xapic", "'virtualize APIC accesses'", "virtualize_apic_accesses"),
            ("vmx-apicv-x2apic", "'virtualize x2APIC mode'", "virtualize_x2apic_mode"),
            ("vmx-apicv-register", "'APIC-register virtualization'", "apic_register_virtualization"),
            ("vmx-apicv-vid", "'virtual-interrupt delivery'", "virtual_interrupt_delivery"),
            ("vmx-flexpriority", "'use TPR shadow'", "tpr_shadow"),
            ("vmx-posted-intr", "'process posted interrupts'", "posted_interrupts"),
            ("vmx-msr-bitmap", "'use MSR bitmaps'", "msr_bitmaps"),
            ("vmx-secondary-ctls", "'activate secondary controls'", "secondary_controls"),
            ("vmx-cr8-load-exit", "'CR8-load exiting'", "cr8_load_exiting"),
            ("vmx-cr8-store-exit", "'CR8-store exiting'", "cr8_store_exiting"),
        )
    },
    "apic_assist": Elsewhere(
        XL,
        "Viridian's page in which a guest sees whether it must write the EOI at all (HV_X64_MSR_VP_ASSIST_PAGE).",
        "It saves the EOI's exit where EOI exits. With virtual-interrupt delivery the EOI stays in the guest anyway, and Xen "
        "needs no help from the page.",
        XL_SOURCE,
        ("EOI", "virtual_interrupt_delivery", "Viridian hints"),
        ("hv-vapic", "hv_vapic", "HVMPV_apic_assist"),
    ),
    "hcall_remote_tlb_flush": Elsewhere(
        XL,
        "Windows asks Xen to flush the TLBs of other vCPUs, instead of sending them IPIs.",
        "It does not change the APIC, but a guest that flushes so writes its ICR less often, and these writes exit under "
        "every Xen.",
        XL_SOURCE,
        ("ICR", "Viridian hints"),
        ("hv-tlbflush", "hv_tlbflush", "HVMPV_hcall_remote_tlb_flush"),
    ),
    "hcall_ipi": Elsewhere(
        XL,
        "Windows sends IPIs by a hypercall instead of the ICR.",
        "It takes the place of writes of the ICR, which exit under every Xen; one hypercall can reach many vCPUs.",
        XL_SOURCE,
        ("ICR", "Viridian hints"),
        ("hv-ipi", "hv_ipi", "HVMPV_hcall_ipi"),
    ),
    "ex_processor_masks": Elsewhere(
        XL,
        "Masks of more than 64 vCPUs for Viridian's hypercalls.",
        "It makes no difference to a guest's APIC.",
        XL_SOURCE,
        (),
        ("HVMPV_ex_processor_masks",),
    ),
    "synic": Elsewhere(
        XL,
        "Viridian's synthetic interrupt controller, which stimer uses.",
        "Its interrupts are delivered through the guest's APIC; accesses to the APIC stay or exit as without it.",
        XL_SOURCE,
        ("Viridian hints",),
        ("hv-synic", "hv_synic", "HVMPV_synic"),
    ),
    "stimer": Elsewhere(
        XL,
        "Viridian's synthetic timers.",
        "A guest that uses them writes the APIC's timer registers (LVTT, TMICT) less often; those writes exit under every Xen.",
        XL_SOURCE,
        ("TMICT", "LVTT"),
        ("hv-stimer", "hv_stimer", "HVMPV_stimer"),
    ),
    "hv-avic": Elsewhere(
        HYPERV,
        "Tells Windows not to use Hyper-V's APIC MSRs, so that hardware can virtualize the APIC.",
        f"{NOT_XEN} Xen decides the same hint by itself: see Viridian hints.",
        HYPERV_SOURCE,
        ("Viridian hints",),
        ("hv_avic", "hv-apicv", "hv_apicv"),
    ),
    "time_ref_count": Elsewhere(
        XL,
        "Viridian's reference counter.",
        "It makes no difference to a guest's APIC.",
        XL_SOURCE,
        (),
        ("reference_tsc", "hv-time", "HVMPV_time_ref_count"),
    ),
    "crash_ctl": Elsewhere(
        XL,
        "MSRs in which Windows leaves the parameters of a crash.",
        "It makes no difference to a guest's APIC.",
        XL_SOURCE,
        (),
        ("hv-crash", "HVMPV_crash_ctl"),
    ),
}


def _topic(name: str) -> Topic:
    row = ROWS[name]
    return Topic(
        name,
        TopicKind.ELSEWHERE,
        name,
        f"{row.where[:1].upper()}{row.where[1:]}. {row.text}",
        f"Under Xen: {row.xen}",
        xen=row.source,
        see=row.see,
        aliases=row.aliases,
    )


SOURCES = {TopicKind.ELSEWHERE: Source(ROWS.keys, _topic)}
