"""Texts about terms that no other table has. A topic takes everything else from the table that decides.

Pure data, by the name of the topic: this module imports none of the tables, so that one topic is cheap.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "ALSO",
    "CAUTIONS",
    "COMPLETIONS",
    "CONTROLS",
    "ERRNOS",
    "ERRORS",
    "EXITS",
    "FLAGS",
    "OPTIONS",
    "OUTCOMES",
    "OWN_CODES",
    "REFUSALS",
    "RELEASES",
    "SETTINGS",
    "STATES",
    "TERMS",
    "WANTS",
    "Prose",
]


class Prose(NamedTuple):
    """The texts of one topic."""

    text: str
    effect: str = ""
    sdm: str = ""
    xen: str = ""
    see: tuple[str, ...] = ()


PIN = 'SDM volume 3C, "Pin-based VM-execution controls"'
PROCESSOR_BASED = 'SDM volume 3C, "Processor-based VM-execution controls"'
PAGE = 'SDM volume 3C, "Virtualizing memory-mapped APIC accesses"'
MSRS = 'SDM volume 3C, "Virtualizing MSR-based APIC accesses"'
CR8 = 'SDM volume 3C, "Virtualizing CR8-based TPR accesses"'
DELIVERY = 'SDM volume 3C, "Evaluation and delivery of virtual interrupts"'
POSTED = 'SDM volume 3C, "Posted-interrupt processing"'
IPI = 'SDM volume 3C, "IPI virtualization"'
REASONS = 'SDM volume 3D, "VMX basic exit reasons"'
APIC_STATE = 'SDM volume 3A, "Local APIC status and location"'
X2APIC_STATES = 'SDM volume 3A, "x2APIC state transitions"'
APM_EXITS = 'AMD APM volume 2, appendix "SVM intercept exit codes"'
AVIC = 'AMD APM volume 2, section 15.29 "Advanced Virtual Interrupt Controller"'
TAKEN = "vmx_init_vmcs_config (xen/arch/x86/hvm/vmx/vmcs.c)"
SWITCHED = "vmx_vlapic_msr_changed (xen/arch/x86/hvm/vmx/vmx.c)"
HANDLED = "vmx_vmexit_handler (xen/arch/x86/hvm/vmx/vmx.c)"

CONTROLS: dict[str, Prose] = {
    "external_interrupt_exiting": Prose(
        "Interrupts of the physical processor cause a VM exit instead of reaching the guest.",
        "It affects no access to the APIC. Virtual-interrupt delivery requires it.",
        PIN,
        f"{TAKEN}: required",
        ("virtual_interrupt_delivery",),
    ),
    "posted_interrupts": Prose(
        "An interrupt for a running vCPU is recorded in a descriptor in memory and announced by a notification "
        "vector; the processor moves it into the virtual IRR and delivers it.",
        "It affects no access to the APIC. It saves the exit that an interrupt from outside would cost.",
        POSTED,
        f"{TAKEN}; vmx_deliver_posted_intr (xen/arch/x86/hvm/vmx/vmx.c)",
        ("interrupts-need-no-exit",),
    ),
    "cr8_load_exiting": Prose(
        "MOV to CR8 exits.",
        "While it is 1, a guest's write of CR8 exits. Xen clears it exactly when it uses the TPR shadow.",
        PROCESSOR_BASED,
        TAKEN,
        ("tpr_shadow", "CR_ACCESS"),
    ),
    "cr8_store_exiting": Prose(
        "MOV from CR8 exits.",
        "While it is 1, a guest's read of CR8 exits. Xen clears it exactly when it uses the TPR shadow.",
        PROCESSOR_BASED,
        TAKEN,
        ("tpr_shadow", "CR_ACCESS"),
    ),
    "tpr_shadow": Prose(
        "The vCPU has a virtual-APIC page, and CR8 accesses the TPR in it. With 'virtualize APIC accesses', offset 080 "
        "of the APIC page does too; in x2APIC mode, MSR 808 does.",
        "",
        f'{CR8}; "TPR virtualization"',
        f"{TAKEN}; vmx_intr_assist (xen/arch/x86/hvm/vmx/intr.c) sets the threshold",
        ("TASKPRI", "TPR virtualization", "TPR_BELOW_THRESHOLD", "xapic-tpr-stays"),
    ),
    "msr_bitmaps": Prose(
        "A bitmap says for each MSR whether RDMSR and WRMSR exit. Without bitmaps, all of them exit.",
        "",
        f'{PROCESSOR_BASED}; "MSR-bitmap address"',
        f"{TAKEN}; {SWITCHED} opens and closes 800 to 8FF",
        ("RDMSR", "WRMSR", "MSR bitmap"),
    ),
    "tertiary_controls": Prose(
        "Activates the tertiary controls. While it is 0, the processor treats all of them as 0.",
        "It affects no access by itself: Xen uses no tertiary control that concerns the APIC.",
        PROCESSOR_BASED,
        f"{TAKEN}, since February 2024 and in the point releases after that",
        ("ipi_virtualization",),
    ),
    "secondary_controls": Prose(
        "Activates the secondary controls. While it is 0, the processor treats all of them as 0.",
        "",
        PROCESSOR_BASED,
        TAKEN,
    ),
    "virtualize_apic_accesses": Prose(
        "The processor recognises accesses to the APIC-access page, which Xen maps at the guest's FEE00000. "
        "By itself it saves no exit, but the exit says which register was accessed. Together with the TPR shadow "
        "and the controls that require the TPR shadow, accesses stay in the guest. While it is 0, VMX treats the page as "
        "ordinary memory, and the page tables (EPT) decide.",
        "",
        PAGE,
        f"{TAKEN}; {SWITCHED}; domain_creation_finished (xen/arch/x86/hvm/vmx/vmx.c) maps the page",
        ("assisted_xapic", "xapic", "APIC_ACCESS", "apic-defect-memory"),
    ),
    "virtualize_x2apic_mode": Prose(
        "RDMSR and WRMSR of 800 to 8FF that the MSR bitmap lets through act on the virtual-APIC page. By itself "
        "it covers only the TPR (808); reads of other registers need register virtualization, writes of EOI and self-IPI need "
        "virtual-interrupt delivery. Xen uses it only together with one of these two.",
        "",
        MSRS,
        f"{TAKEN}; {SWITCHED}",
        ("assisted_x2apic", "x2apic", "MSR bitmap"),
    ),
    "apic_register_virtualization": Prose(
        "The processor answers reads of nearly all registers from the virtual-APIC page. Writes go to that page first "
        "and exit afterwards (trap-like), which is cheaper to handle.",
        "",
        f"{PAGE}; {MSRS}",
        f"{TAKEN}; vmx_handle_apic_write (xen/arch/x86/hvm/vmx/vmx.c)",
        ("APIC_WRITE", "xapic-reads-stay", "x2apic-reads-stay"),
    ),
    "virtual_interrupt_delivery": Prose(
        "The processor itself evaluates and delivers pending virtual interrupts: after an EOI, a change of the TPR or a "
        "self-IPI, it delivers the next one without Xen.",
        "",
        DELIVERY,
        f"{TAKEN}; vmx_process_isr, vmx_update_eoi_exit_bitmap (xen/arch/x86/hvm/vmx/vmx.c)",
        ("EOI virtualization", "self-IPI virtualization", "VIRTUALIZED_EOI"),
    ),
    "ipi_virtualization": Prose(
        "The processor sends virtual IPIs to other vCPUs through a table of posted-interrupt descriptors.",
        "Writes of the ICR could stay in the guest. No Xen up to 4.22 turns it on, so they exit.",
        IPI,
        f"not in {TAKEN}",
        ("ICR",),
    ),
    "avic": Prose(
        "AMD's virtual local APIC: the processor answers xAPIC accesses from a backing page, and delivers IPIs and device "
        "interrupts without an exit.",
        "None under Xen: no release up to 4.22 turns it on, and every APIC access exits.",
        AVIC,
        "nowhere",
        ("x2avic", "NPF"),
    ),
    "x2avic": Prose(
        "AVIC for guests in x2APIC mode.",
        "None under Xen: no release up to 4.22 turns it on, and every APIC access exits.",
        AVIC,
        "nowhere",
        ("avic", "MSR"),
    ),
}

TERMS: dict[str, Prose] = {
    "access": Prose(
        "One read or write of one register of the guest's local APIC: through the page (xAPIC mode), by RDMSR or WRMSR "
        "(x2APIC mode), or of the TPR through CR8 (any mode). What happens to it is its outcome.",
        see=("stays", "exits before", "exits after", "memory"),
    ),
    "accelerated": Prose(
        "Not a term here, because it has several meanings: people use it for 'the exit has a more specific reason', for "
        "'some accesses stay' and for 'all accesses stay'. Name the control or the effect.",
        see=("virtualize_apic_accesses", "xapic-reads-stay", "x2apic-reads-stay"),
    ),
    "APICv": Prose(
        "Short for APIC-register virtualization together with virtual-interrupt delivery. Xen's option apicv "
        "switches both, and 'virtualize x2APIC mode' with them.",
        see=("apic_register_virtualization", "virtual_interrupt_delivery", "apicv"),
    ),
    "aspect": Prose(
        "A control that a policy can require or forbid: TPR shadow, virtualize APIC accesses, register "
        "virtualization, virtual-interrupt delivery, posted interrupts, virtualize x2APIC mode.",
        see=(
            "tpr_shadow",
            "virtualize_apic_accesses",
            "apic_register_virtualization",
            "virtual_interrupt_delivery",
            "posted_interrupts",
            "virtualize_x2apic_mode",
        ),
    ),
    "APIC-access page": Prose(
        "The page whose accesses the processor treats as accesses to the APIC while 'virtualize APIC accesses' is 1. "
        "Xen has one per domain and maps it at the guest's FEE00000. Software should never see its content.",
        sdm=PAGE,
        xen="vmx_alloc_vlapic_mapping, domain_creation_finished (xen/arch/x86/hvm/vmx/vmx.c)",
        see=("virtualize_apic_accesses", "memory"),
    ),
    "virtual-APIC page": Prose(
        "The page that holds a vCPU's virtual registers. Accesses that stay in the guest read and write it; Xen's own "
        "emulation uses the same page.",
        sdm='SDM volume 3C, "Virtual APIC state"',
        xen="struct vlapic, regs_page (xen/arch/x86/include/asm/hvm/vlapic.h)",
        see=("tpr_shadow",),
    ),
    "decided host-wide": Prose(
        "Decided once, when Xen boots, for every domain. Every release decides all of APIC acceleration this way, except "
        "4.17-rc, where a domain can turn two controls off.",
        xen=TAKEN,
        see=("4.17-rc",),
    ),
    "in force": Prose(
        "The control is 1 in the VMCS of the guest's vCPU, in the APIC state that it belongs to: 'virtualize APIC "
        "accesses' in xAPIC mode at the default base, 'virtualize x2APIC mode' in x2APIC mode, the others always. "
        "What Xen reports, what it logs and what was asked for are different facts.",
        see=("xapic", "x2apic"),
    ),
    "MSR bitmap": Prose(
        "In x2APIC mode with x2APIC assistance, Xen lets through reads of 800 to 8FF except 80A, 838 and 839 (with register "
        "virtualization) and writes of 808, 80B and 83F (with virtual-interrupt delivery). All other accesses to 800 "
        "to 8FF exit.",
        sdm=MSRS,
        xen=SWITCHED,
        see=("msr_bitmaps", "x2APIC assistance"),
    ),
    "x2APIC assistance": Prose(
        "'Virtualize x2APIC mode' together with register virtualization or virtual-interrupt delivery. Xen "
        "uses x2APIC mode only in this combination.",
        xen=SWITCHED,
        see=("virtualize_x2apic_mode", "assisted_x2apic"),
    ),
    "late": Prose(
        "A refusal is late if Xen finds the error after the architecture part of a create has run. On an Intel host that "
        "virtualizes APIC accesses, a late refusal crashes the host. Without hap, it crashes every host whose Xen has "
        "shadow paging.",
        xen="domain_create (xen/common/domain.c)",
        see=("late-refused-create-panic", "late-refused-shadow-panic"),
    ),
    "plan": Prose(
        "The result of a policy that a host can satisfy: the flags for createdomain, what will be in force, and warnings. "
        "If the host cannot satisfy it, the result is a refusal with every reason.",
        see=("require", "forbid", "prefer"),
    ),
    "safe probe": Prose(
        "A create with an assisted flag that cannot succeed, because Xen's arch_capabilities is 0. ENODEV: the "
        "interface exists, but the hardware lacks the feature. EINVAL: there is no interface. Nothing is created, and the refusal is "
        "an early one.",
        see=("ENODEV", "EINVAL", "4.17-rc"),
    ),
    "XEN_HVM_CPUID_APIC_ACCESS_VIRT": Prose(
        "Bit 0 of EAX of the hypervisor's CPUID leaf base + 4 (40000004, or 40000104 with Viridian), as the guest sees it.",
        "Set if Xen uses register virtualization; on 4.17-rc only if the xAPIC flag is set too.",
        xen="cpuid_hypervisor_leaves (xen/arch/x86/traps.c, since 4.21 cpuid.c)",
        see=("apic_register_virtualization", "assisted_xapic"),
    ),
    "XEN_HVM_CPUID_X2APIC_VIRT": Prose(
        "Bit 1 of EAX of the hypervisor's CPUID leaf base + 4, as the guest sees it.",
        "Set if Xen uses x2APIC mode, register virtualization and virtual-interrupt delivery; on 4.17-rc the x2APIC flag "
        "replaces x2APIC mode in this condition. It promises too much: writes of the ICR exit nevertheless.",
        xen="cpuid_hypervisor_leaves (xen/arch/x86/traps.c, since 4.21 cpuid.c)",
        see=("virtualize_x2apic_mode", "cpuid-x2apic-virt-overstates"),
    ),
    "Viridian hints": Prose(
        "What Xen tells a Windows guest about its APIC: to use Viridian's MSRs for EOI, ICR and TPR (leaf 40000004 EAX bit 3) "
        "if Xen does not use register virtualization, and that APIC accesses are virtualized (leaf 40000006 EAX bit 0).",
        "Host-wide on every release; 4.17-rc's flags do not change them.",
        xen="cpuid_viridian_leaves (xen/arch/x86/hvm/viridian/viridian.c)",
        see=("viridian-ignores-assisted-flags",),
    ),
    "guest interrupt status": Prose(
        "A field of the VMCS with two vectors, used with virtual-interrupt delivery: RVI, the highest virtual "
        "interrupt that is requested (from the virtual IRR), and SVI, the one in service (from the virtual ISR).",
        sdm=DELIVERY,
        xen="GUEST_INTR_STATUS; vmx_sync_pir_to_irr, vmx_process_isr (xen/arch/x86/hvm/vmx/vmx.c)",
        see=("virtual_interrupt_delivery",),
    ),
    "EOI-exit bitmap": Prose(
        "A bit for each vector. With virtual-interrupt delivery, a guest's EOI of a vector whose bit is 1 exits "
        "(VIRTUALIZED_EOI). Xen sets the bits of level-triggered interrupts, whose end the I/O APIC must see.",
        sdm='SDM volume 3C, "EOI virtualization"',
        xen="EOI_EXIT_BITMAP; vmx_update_eoi_exit_bitmap (xen/arch/x86/hvm/vmx/vmx.c)",
        see=("VIRTUALIZED_EOI", "EOI virtualization"),
    ),
    "TPR threshold": Prose(
        "A field of the VMCS, used with the TPR shadow and without virtual-interrupt delivery: a guest's write "
        "that lowers the TPR below it exits, because an interrupt that waits may then be taken.",
        sdm='SDM volume 3C, "TPR virtualization"',
        xen="TPR_THRESHOLD (xen/arch/x86/hvm/vmx/intr.c)",
        see=("tpr_shadow", "TPR_BELOW_THRESHOLD"),
    ),
    "posted-interrupt descriptor": Prose(
        "64 bytes of memory for each vCPU: a bit for each vector that was posted (PIR), outstanding notification "
        "(ON), suppress notification (SN), and for an IOMMU notification vector (NV) and destination (NDST).",
        sdm=POSTED,
        xen="struct pi_desc, PI_DESC_ADDR (xen/arch/x86/include/asm/hvm/vmx/vmcs.h)",
        see=("posted_interrupts",),
    ),
    "IA32_APIC_BASE": Prose(
        "MSR 1B: whether the APIC is enabled (bit 11) and in x2APIC mode (bit 10), whether this is the boot processor "
        "(bit 8), and where the APIC's page is. A guest's RDMSR and WRMSR of it always exit. Since 4.12 Xen answers "
        "a guest that moves the page with #GP.",
        sdm=APIC_STATE,
        xen="guest_wrmsr_apic_base (xen/arch/x86/hvm/vlapic.c)",
        see=("disabled", "xapic", "x2apic", "apic-window-moves"),
    ),
    "TSC deadline": Prose(
        "A mode of the APIC's timer: a guest writes the TSC value of the next interrupt to IA32_TSC_DEADLINE "
        "(MSR 6E0). The MSR is none of 800 to 8FF: a guest's write of it exits on every processor and release.",
        sdm='SDM volume 3A, "TSC-deadline mode"',
        xen="vlapic_tdt_msr_set (xen/arch/x86/hvm/vlapic.c)",
        see=("LVTT", "tdt"),
    ),
    "INIT and SIPI": Prose(
        "Two kinds of IPIs with which an operating system starts another processor. A guest's are emulated: its write "
        "of ICR exits, and Xen starts the vCPU.",
        sdm='SDM volume 3A, "MP initialization"',
        xen="vlapic_init_sipi_action (xen/arch/x86/hvm/vlapic.c)",
        see=("ICR",),
    ),
}

ALSO: dict[str, tuple[str, ...]] = {
    "APICv": ("apic virtualization",),
    "aspect": ("aspects",),
    "XEN_HVM_CPUID_APIC_ACCESS_VIRT": ("APIC_ACCESS_VIRT", "HvmLeaf.APIC_ACCESS_VIRT"),
    "XEN_HVM_CPUID_X2APIC_VIRT": ("X2APIC_VIRT", "HvmLeaf.X2APIC_VIRT"),
    "Viridian hints": ("viridian", "CPUID4A_MSR_BASED_APIC", "CPUID6A_APIC_OVERLAY"),
    "APIC-access page": ("APIC_ACCESS_ADDR", "APIC-access address"),
    "virtual-APIC page": ("VIRTUAL_APIC_PAGE_ADDR", "virtual-APIC address", "vlapic", "VAPIC page"),
    "guest interrupt status": ("GUEST_INTR_STATUS", "InterruptStatus", "RVI", "SVI"),
    "EOI-exit bitmap": ("EOI_EXIT_BITMAP", *(f"EOI_EXIT_BITMAP{number}" for number in range(4))),
    "TPR threshold": ("TPR_THRESHOLD",),
    "posted-interrupt descriptor": (
        "PIR",
        "PI_DESC_ADDR",
        "POSTED_INTR_DESC_ADDR",
        "POSTED_INTR_NOTIFICATION_VECTOR",
        "POSTED_INTR_NV",
        "PostedIntrVec",
    ),
    "IA32_APIC_BASE": ("MSR_IA32_APICBASE", "MSR_APIC_BASE", "APIC_BASE", "apicbase"),
    "TSC deadline": ("TSC_DEADLINE", "IA32_TSC_DEADLINE", "MSR_TSC_DEADLINE", "MSR_IA32_TSC_DEADLINE"),
    "INIT and SIPI": ("SIPI", "INIT-SIPI-SIPI", "start-up IPI"),
}
"""Other spellings of terms."""

STATES: dict[str, Prose] = {
    "disabled": Prose(
        "Bit 11 is 0: the APIC is hardware-disabled. On a real processor nothing answers at FEE00000.",
        "Xen clears both mode controls. The APIC-access page stays mapped: where Xen can virtualize APIC accesses, "
        "FEE00000 is memory.",
        APIC_STATE,
        SWITCHED,
        ("memory", "apic-page-memory-outside-xapic"),
    ),
    "xapic": Prose(
        "xAPIC mode at the default base. The registers are at FEE00000, 16 bytes apart. Every guest starts in this state.",
        "Xen sets 'virtualize APIC accesses' where it can; on 4.17-rc only with the xAPIC flag.",
        APIC_STATE,
        SWITCHED,
        ("virtualize_apic_accesses", "assisted_xapic"),
    ),
    "x2apic": Prose(
        "x2APIC mode. The registers are MSRs 800 to 8FF.",
        "With x2APIC assistance, Xen sets 'virtualize x2APIC mode' and opens the MSR bitmap; on 4.17-rc only with the x2APIC "
        "flag. Without it, every access exits, and 'virtualize APIC accesses' stays set.",
        X2APIC_STATES,
        SWITCHED,
        ("virtualize_x2apic_mode", "MSR bitmap", "assisted_x2apic"),
    ),
    "xapic-relocated": Prose(
        "xAPIC mode at a base other than FEE00000. Since Xen 4.12 a guest that relocates its APIC gets #GP, but a toolstack can "
        "load such a state.",
        "Xen clears both mode controls: every access exits with an EPT violation.",
        APIC_STATE,
        f"{SWITCHED}; guest_wrmsr_apic_base (xen/arch/x86/hvm/vlapic.c)",
        ("EPT_VIOLATION",),
    ),
}

OUTCOMES: dict[str, Prose] = {
    "stays": Prose(
        "The processor completes the access, and the guest continues without an exit. The completion says how."
    ),
    "exits before": Prose(
        "Fault-like exit: the guest's instruction has done nothing yet, and Xen performs the access.",
        see=("APIC_ACCESS", "RDMSR", "EPT_VIOLATION"),
    ),
    "exits after": Prose(
        "Trap-like exit: the write has reached the virtual-APIC page, and Xen does what follows from it. Each write "
        "still costs one exit.",
        see=("APIC_WRITE",),
    ),
    "depends": Prose(
        "A write that stays or exits afterwards, depending on the value: a write of the ICR or of the self-IPI register.",
        see=("ICR", "SELF_IPI"),
    ),
    "faults": Prose(
        "The guest gets #GP(0) without an exit: the processor checks the reserved bits of a virtualized WRMSR.",
        see=("x2apic",),
    ),
    "memory": Prose(
        "The access reads or writes plain memory instead of an APIC. Every vCPU of the domain can read back what was "
        "written, and nothing else happens.",
        see=("apic-defect-memory", "apic-page-memory-outside-xapic"),
    ),
    "physical": Prose(
        "The access reaches the processor's own APIC. A hypervisor must never allow this, and no combination that Xen sets does; "
        "the table can express it so that it can rule it out."
    ),
    "unknown": Prose("The outcome depends on a fact about the host that is unknown."),
}

COMPLETIONS: dict[str, Prose] = {
    "read of the virtual-APIC page": Prose(
        "The guest gets the value in the virtual-APIC page.", see=("virtual-APIC page",)
    ),
    "TPR virtualization": Prose(
        "The TPR is written. Without virtual-interrupt delivery, the guest exits when the TPR's class falls below the "
        "threshold; with it, the processor evaluates pending interrupts.",
        sdm='SDM volume 3C, "TPR virtualization"',
        see=("tpr_shadow", "TPR_BELOW_THRESHOLD"),
    ),
    "EOI virtualization": Prose(
        "The processor removes the highest vector from the ISR and evaluates pending interrupts. The guest exits if the "
        "vector is in the EOI-exit bitmap, which has the vectors whose EOI Xen must see (level-triggered ones).",
        sdm='SDM volume 3C, "EOI virtualization"',
        see=("virtual_interrupt_delivery", "VIRTUALIZED_EOI"),
    ),
    "self-IPI virtualization": Prose(
        "The processor sets the vector in the IRR and evaluates pending interrupts.",
        sdm='SDM volume 3C, "Self-IPI virtualization"',
        see=("virtual_interrupt_delivery", "ICR", "SELF_IPI"),
    ),
    "IPI virtualization": Prose("No Xen uses it.", sdm=IPI, see=("ipi_virtualization",)),
    "write of the virtual-APIC page, bytes 2:0 cleared": Prose(
        "The destination is stored, and nothing else happens.", sdm=PAGE, see=("ICR2",)
    ),
}

EXITS: dict[str, Prose] = {
    "CR_ACCESS": Prose(
        "A control-register access, for example MOV to or from CR8.", sdm=REASONS, xen="vmx_cr_access (vmx.c)"
    ),
    "RDMSR": Prose(
        "RDMSR that the MSR bitmap does not let through.", sdm=REASONS, xen="vmx_msr_read_intercept (vmx.c)"
    ),
    "WRMSR": Prose(
        "WRMSR that the MSR bitmap does not let through.", sdm=REASONS, xen="vmx_msr_write_intercept (vmx.c)"
    ),
    "TPR_BELOW_THRESHOLD": Prose(
        "Trap-like: the guest lowered its TPR below the threshold that Xen set, so an interrupt can now be delivered.",
        sdm=REASONS,
        xen="vmx_intr_assist (xen/arch/x86/hvm/vmx/intr.c)",
        see=("tpr_shadow",),
    ),
    "APIC_ACCESS": Prose(
        "Fault-like: an access to the APIC-access page that is not virtualized. The exit qualification has the offset and the kind "
        "of access. Xen decodes the instruction, except for an EOI, which it performs at once.",
        sdm=REASONS,
        xen=f"{HANDLED}, vmx_handle_eoi_write",
        see=("virtualize_apic_accesses",),
    ),
    "VIRTUALIZED_EOI": Prose(
        "Trap-like: the processor virtualized an EOI for a vector in the EOI-exit bitmap.",
        sdm=REASONS,
        xen=HANDLED,
    ),
    "EPT_VIOLATION": Prose(
        "Fault-like: nothing is mapped where the guest expects its APIC. Xen decodes and emulates the instruction.",
        sdm=REASONS,
        xen="ept_handle_violation (vmx.c)",
    ),
    "APIC_WRITE": Prose(
        "Trap-like: the value is in the virtual-APIC page, and Xen does what follows from it without decoding the instruction.",
        sdm=REASONS,
        xen="vmx_handle_apic_write (vmx.c)",
        see=("apic_register_virtualization",),
    ),
    "CR8_READ": Prose(
        "MOV from CR8, if intercepted. No Xen intercepts it.", sdm=APM_EXITS, xen="construct_vmcb"
    ),
    "CR8_WRITE": Prose(
        "MOV to CR8, if intercepted. No Xen intercepts it.", sdm=APM_EXITS, xen="construct_vmcb"
    ),
    "MSR": Prose(
        "RDMSR or WRMSR; for 800 to 8FF always, under every Xen.", sdm=APM_EXITS, xen="svm_vmexit_handler"
    ),
    "NPF": Prose(
        "Nested page fault. On AMD, every access to the APIC's page ends in it, under every Xen.",
        sdm=APM_EXITS,
        xen="svm_do_nested_pgfault",
    ),
}

FLAGS: dict[str, str] = {
    "MISC.MSR_RELAXED": "Reading an MSR that Xen does not handle returns 0 instead of faulting, if the processor has the MSR.",
    "MISC.ASSISTED_XAPIC": "Virtualize APIC accesses for this domain. Only in 4.17.0-rc1 to rc3.",
    "MISC.ASSISTED_X2APIC": "Virtualize x2APIC mode for this domain. Only in 4.17.0-rc1 to rc3.",
    "APIC.TPR_SHADOW": "Use TPR shadow for this domain. Every other bit but ACCESS_PAGE needs it.",
    "APIC.ACCESS_PAGE": "Map the APIC-access page in this domain and virtualize accesses to it; without it they are slower, and right.",
    "APIC.REGISTERS": "APIC-register virtualization for this domain.",
    "APIC.DELIVERY": "Virtual-interrupt delivery for this domain.",
    "APIC.POSTED": "Process posted interrupts for this domain.",
    "APIC.X2APIC_MODE": "Virtualize x2APIC mode for this domain, while its APIC is in that mode.",
    "PHYSCAP_X86.ASSISTED_XAPIC": "The host can virtualize APIC accesses.",
    "PHYSCAP_X86.ASSISTED_X2APIC": (
        "The host has x2APIC mode, and register virtualization or virtual-interrupt delivery."
    ),
    "PHYSCAP.hvm": "The host runs HVM and PVH guests.",
    "PHYSCAP.pv": "The host runs PV guests.",
    "PHYSCAP.directio": "Xen uses an IOMMU (VT-d, AMD-Vi), so devices can be passed through. 'xl info' prints it as hvm_directio "
    "and pv_directio. It says nothing about APIC acceleration.",
    "PHYSCAP.hap": "Hardware-assisted paging (EPT, NPT) is available.",
    "PHYSCAP.shadow": "Shadow paging is built in.",
    "PHYSCAP.iommu_hap_pt_share": "The IOMMU can use the guest's own page tables.",
    "PHYSCAP.vmtrace": "Processor traces of guests (Intel PT) are available.",
    "PHYSCAP.vpmu": "Guests can have performance counters.",
    "PHYSCAP.gnttab_v1": "Grant tables of version 1 are available.",
    "PHYSCAP.gnttab_v2": "Grant tables of version 2 are available.",
    "CDF.hvm": "A hardware-virtualized guest (HVM or PVH); without the flag, a PV guest.",
    "CDF.hap": "Hardware-assisted paging (EPT, NPT).",
    "CDF.s3_integrity": "tboot checks the domain's memory across a suspend of the host.",
    "CDF.oos_off": "Shadow paging without out-of-sync pages.",
    "CDF.xs_domain": "The xenstore domain.",
    "CDF.iommu": "Devices can be assigned to the domain.",
    "CDF.nested_virt": "The guest can use VMX or SVM itself (nested virtualization).",
    "CDF.vpmu": "The guest has performance counters. Since 4.16.",
    "CDF.trap_unmapped_accesses": "Arm: trap accesses to unmapped memory. Since 4.21; refused on x86.",
    "EMU.LAPIC": "A local APIC for each vCPU. PVH and HVM guests have it.",
    "EMU.HPET": "A high-precision event timer.",
    "EMU.PM": "ACPI power management: its timer and its registers.",
    "EMU.RTC": "A real-time clock.",
    "EMU.IOAPIC": "An I/O APIC.",
    "EMU.PIC": "Two 8259 interrupt controllers.",
    "EMU.VGA": "A VGA adapter.",
    "EMU.IOMMU": "An emulated IOMMU.",
    "EMU.PIT": "An 8254 timer. PV guests can have it too.",
    "EMU.USE_PIRQ": "Interrupts of devices can be routed over event channels.",
    "EMU.VPCI": "PCI configuration space (vPCI).",
}

WANTS: dict[str, str] = {
    "require": "The aspect is in force, or there is no plan. Unknown counts as not in force: the refusal says how to measure.",
    "forbid": "The aspect is not in force, or there is no plan. Unknown counts as in force.",
    "prefer": "In force where possible. There is a plan in any case; a warning says if it is not in force, or unknown.",
    "host default": "Whatever the host does. The same as not naming the aspect.",
}

REFUSALS: dict[str, str] = {
    "aspect-missing": "A required aspect will not be in force on this host.",
    "guest-without-apic": "An aspect is required for a PV guest, which has no local APIC.",
    "x2apic-hidden": "x2APIC mode is required, but the guest may not enter it.",
    "aspect-imposed": "A forbidden aspect is in force for every such guest on this host.",
    "aspect-unknown": "It is unknown whether a required or forbidden aspect will be in force.",
    "aspect-needs-forbidden": "A required aspect needs one that the policy forbids. Only on a Xen with one bit per control.",
    "policy-conflict": "The policy requires and forbids the same aspect.",
    "guest-type-missing": "Xen cannot run a PVH or HVM guest on this host.",
}

CAUTIONS: dict[str, str] = {
    "host-wide": "This Xen decides for the whole host: nothing can be changed for this domain alone.",
    "preferred-not-had": "A preferred aspect will not be in force.",
    "preferred-unknown": "It is unknown whether a preferred aspect will be in force.",
    "flag-ignored": "This release ignores assisted_xapic and assisted_x2apic, but does what they ask for anyway.",
    "no-setting": "Bits are set for which no toolstack has a setting: only xenapic can create such a domain, on a Xen with one bit "
    "per control.",
    "defect-accepted": "The policy accepts a defect by its code, and the plan runs into it.",
    "asked-twice": "An aspect is preferred and also required or forbidden; the preference has no effect.",
    "release-unverified": "The release is not known: the answer is that for a known one whose layout it has.",
    "no-apic": "A PV guest has no local APIC: APIC acceleration does not concern it.",
}

SETTINGS: dict[str, Prose] = {
    "assisted_xapic": Prose(
        "A setting of xl.cfg and xl.conf in 4.17.0-rc1 to rc3; the default is whatever the host offers. Its man page: 'a "
        "memory-mapped APIC access will be decoded by hardware and either issue a more specific VM exit than just a p2m fault, or "
        "altogether avoid a VM exit'. It switches one bit, 'virtualize APIC accesses'. Every other release "
        "ignores it, because xl ignores settings that it does not know.",
        "1: 'virtualize APIC accesses' in xAPIC mode. 0: without it; where the host could virtualize, the guest's APIC page is then "
        "plain memory. TPR shadow, register virtualization and virtual-interrupt delivery stay set either way. For a PV "
        "guest, xl ignores it, and libxl refuses it from other callers.",
        xen="construct_vmcs, vmx_vlapic_msr_changed of 4.17-rc; libxl_x86.c, xl_parse.c",
        see=("MISC.ASSISTED_XAPIC", "virtualize_apic_accesses", "apic-defect-memory", "assisted_x2apic"),
    ),
    "assisted_x2apic": Prose(
        "A setting of xl.cfg and xl.conf in 4.17.0-rc1 to rc3; the default is whatever the host offers. Its man page: 'certain "
        "accesses to MSR APIC registers will avoid a VM exit'. It switches one bit, 'virtualize x2APIC mode', and the MSR bitmap "
        "with it. Every other release ignores it, because xl ignores settings that it does not know.",
        "1: 'virtualize x2APIC mode' in x2APIC mode, and an open bitmap. 0: every access in x2APIC mode exits; register "
        "virtualization and virtual-interrupt delivery stay set, and the guest can still use x2APIC mode. For a PV guest, xl "
        "ignores it, and libxl refuses it from other callers.",
        xen="vmx_vlapic_msr_changed of 4.17-rc; libxl_x86.c, xl_parse.c",
        see=("MISC.ASSISTED_X2APIC", "virtualize_x2apic_mode", "x2APIC assistance", "assisted_xapic"),
    ),
}

OPTIONS: dict[str, Prose] = {
    "apicv": Prose(
        "Boolean, default true. Intel only; decided at boot, for every domain.",
        "apicv=0 turns off register virtualization, virtual-interrupt delivery, x2APIC mode and, with them, posted "
        "interrupts. TPR shadow and 'virtualize APIC accesses' stay on: no option of Xen turns them off.",
        xen="opt_apicv_enabled (xen/arch/x86/hvm/vmx/vmcs.c)",
        see=("APICv", "tpr_shadow"),
    ),
    "console_to_ring": Prose(
        "Xen copies what dom0's console prints into Xen's ring.",
        "dom0 can then write any line into the ring, so xenapic takes no fact from it.",
        xen="xen/drivers/char/console.c",
    ),
    "conring_size": Prose(
        "Size of Xen's console ring.",
        "A larger ring keeps the boot log longer; xenapic only trusts a ring that is complete since boot.",
        xen="xen/drivers/char/console.c",
    ),
    "gnttab_max_frames": Prose(
        "The highest number of grant frames of a domain; 64 by default.",
        "Before 4.18, a create that asks for more is refused late.",
        xen="xen/common/grant_table.c",
        see=("grant-frames-too-many", "late"),
    ),
    "gnttab_max_maptrack_frames": Prose(
        "The highest number of maptrack frames of a domain; 1024 by default.",
        "Before 4.18, a create that asks for more is refused late.",
        xen="xen/common/grant_table.c",
        see=("maptrack-frames-too-many", "late"),
    ),
    "altp2m": Prose(
        "Makes alternate p2m tables available.",
        "None on the APIC. Since 4.21, createdomain refuses altp2m without it.",
        xen="opt_altp2m_enabled (xen/arch/x86/hvm/hvm.c)",
        see=("altp2m-missing",),
    ),
}

RELEASES: dict[str, str] = {
    "4.17-rc": "The development tree of July to November 2022, 4.17.0-rc1 to rc3: the only one in which a domain can "
    "choose. It calls itself 4.17 and has 4.17's ABI; only its behaviour is different (the safe probe). For tests only.",
    "4.17": "Since 4.17.0 without the choice per domain, which was removed before the release.",
}

ERRNOS: dict[str, str] = {
    "EINVAL": "From the safe probe: no choice per domain.",
    "ENODEV": "From the safe probe: the choice exists, but the hardware lacks the feature.",
    "EACCES": "Every domctl returns it if the library is of another release than the hypervisor.",
    "EOPNOTSUPP": "Linux also calls it ENOTSUP.",
    "EEXIST": "",
    "ESRCH": "From calls about a domain: no domain has this number.",
}

OWN_CODES: dict[str, Prose] = {
    "field-missing": Prose("The release's createdomain lacks the field, and its value is not the default."),
    "assisted-flags-conflict": Prose(
        "misc_flags sets an assisted flag that the policy's plan leaves out. The policy chooses these flags.",
        see=("MISC.ASSISTED_XAPIC", "MISC.ASSISTED_X2APIC"),
    ),
}
"""Codes that `xenapic.model.create.prepare_request` adds to those of the rules; xenapic refuses, not Xen."""

ERRORS: dict[str, str] = {
    "error": "Base class of every error of this package.",
    "unavailable": "Xen cannot be used from here; each subclass says what to install or do.",
    "library-not-found": "No libxenctrl of a known release could be loaded.",
    "release-unknown": "The libxenctrl is of a release whose structures are unknown: calling it could corrupt memory.",
    "layout-unproven": "A proof of a library's layout cannot be read, proves nothing, or is of another build.",
    "headers-unusable": "A Xen's headers are missing or incomplete, or there is no C compiler to read them with.",
    "release-mismatch": "The library and the running hypervisor are of different releases.",
    "no-privilege": "Xen runs, but this user or this domain may not control it.",
    "no-xen": "The machine does not run under Xen, or its kernel lacks Xen's interface.",
    "handle-closed": "The handle is closed, or the parent process opened it before a fork.",
    "measure-failed": "The controls in force could not be read with certainty.",
    "config-invalid": "A value that no release accepts in its field: wrong type, out of range, or a contradiction.",
    "policy-invalid": "A policy with an unknown aspect, effect or value, or a policy file in an unknown format.",
    "name-unknown": "A table has no row of this name: no such processor, release or feature.",
    "document-invalid": "Not the JSON document expected: not JSON, another schema, a missing key or a wrong type.",
    "host-unknown": "A question about a host that the known facts about it cannot answer.",
    "log-invalid": "A text is not a boot log of Xen that says anything about VMX or SVM.",
    "file-unreadable": "A file cannot be read; the message says why.",
    "tree-unexpected": "A source tree of Xen in which a place is not as a change expects it; the file and the function are named.",
    "image-invalid": "A kernel cannot be booted, or the images do not fit the domain; the message says why.",
    "guest-failed": "A booted guest did not do in time what was expected, or its console cannot be used.",
    "probe-failed": "The probe guest failed or timed out, or its timing cannot tell a VM exit from none.",
    "trace-busy": "Xen's only set of trace buffers is in use; the message says how.",
    "toolstack-refused": "A toolstack would refuse the configuration before it sends anything to Xen.",
    "config-refused": "A domain was refused before Xen was called, with every reason.",
    "policy-refused": "This host cannot satisfy the policy. The error has every reason.",
    "call-failed": "A call of libxenctrl failed. The error has Xen's error number and what was asked.",
    "close-failed": "Several domains could not be destroyed when the handle was closed. The error has each reason.",
    "domain-not-found": "No domain has this number (ESRCH).",
    "lab": "The lab itself failed, not the command that it ran.",
    "lab-snapshot": "A snapshot of a started machine is damaged or does not fit; the machine boots instead.",
    "lab-usage": "There is no such machine, release of Xen or file.",
    "lab-prerequisite": "Programs or package sources that the lab needs are missing; the message says what to install.",
    "lab-build": "A Xen could not be built from source; the message has the end of the log, and its file.",
    "lab-fetch": "The packages of a Xen release could not be fetched or unpacked.",
    "lab-channel": "What dom0 sent back is damaged, or too large for the channel.",
    "lab-boot": "The emulated machine did not complete a stage of its boot. The error has the serial log.",
    "lab-timeout": "A stage took longer than its limit.",
    "lab-disk-full": "The disk of the run's files (TMPDIR) is full, and the machine stands still.",
    "lab-emulator": "The emulator ended before the command did.",
    "lab-xen-panic": "Xen stopped with a BUG or a panic; the serial log says which.",
    "lab-dom0": "Dom0's kernel or its start-up script gave up before the command ended.",
}
"""By the code of the exception."""
