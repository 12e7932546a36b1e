"""What no other table says of a term. Everything else of a topic is taken from where it is decided."""

from __future__ import annotations

from xenapic.apic.outcome import Completion, Kind, SvmExit, VmxExit
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.policy.terms import Want

__all__ = [
    "ALSO",
    "COMPLETIONS",
    "CONTROLS",
    "ERRNOS",
    "EXITS",
    "KINDS",
    "OPTIONS",
    "OWN_CODES",
    "RELEASES",
    "SETTINGS",
    "STATES",
    "TERMS",
    "WANTS",
    "Prose",
]


@dataclass(frozen=True, slots=True)
class Prose:
    """Words about one term."""

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
        "Interrupts of the processor itself end guest execution instead of reaching the guest.",
        "Decides about no access to the APIC. Virtual-interrupt delivery cannot be used without it.",
        PIN,
        f"{TAKEN}: required",
        ("virtual_interrupt_delivery",),
    ),
    "posted_interrupts": Prose(
        "An interrupt for a running vCPU is noted in a descriptor in memory and announced by a notification "
        "vector; the processor moves it into the virtual IRR and delivers it.",
        "Decides about no access to the APIC. It saves the exit that an interrupt from outside would cost.",
        POSTED,
        f"{TAKEN}; vmx_deliver_posted_intr (xen/arch/x86/hvm/vmx/vmx.c)",
        ("interrupts-need-no-exit",),
    ),
    "cr8_load_exiting": Prose(
        "MOV to CR8 exits.",
        "With it a guest's write of CR8 leaves. Xen drops it when, and only when, it uses the TPR shadow.",
        PROCESSOR_BASED,
        TAKEN,
        ("tpr_shadow", "CR_ACCESS"),
    ),
    "cr8_store_exiting": Prose(
        "MOV from CR8 exits.",
        "With it a guest's read of CR8 leaves. Xen drops it when, and only when, it uses the TPR shadow.",
        PROCESSOR_BASED,
        TAKEN,
        ("tpr_shadow", "CR_ACCESS"),
    ),
    "tpr_shadow": Prose(
        "There is a virtual-APIC page, and CR8 is the TPR in it. With 'virtualize APIC accesses' the page's "
        "offset 080 is it too, in x2APIC mode MSR 808.",
        "",
        f'{CR8}; "TPR virtualization"',
        f"{TAKEN}; the threshold is set in vmx_intr_assist (xen/arch/x86/hvm/vmx/intr.c)",
        ("TASKPRI", "TPR virtualization", "TPR_BELOW_THRESHOLD", "xapic-tpr-stays"),
    ),
    "msr_bitmaps": Prose(
        "A bitmap says per MSR and direction whether RDMSR and WRMSR exit. Without bitmaps all of them exit.",
        "",
        f'{PROCESSOR_BASED}; "MSR-bitmap address"',
        f"{TAKEN}; {SWITCHED} opens and closes 800 to 8FF",
        ("RDMSR", "WRMSR", "MSR bitmap"),
    ),
    "tertiary_controls": Prose(
        "The tertiary controls count. While it is 0 the processor takes all of them as 0.",
        "Decides about no access by itself: Xen uses no tertiary control that bears on the APIC.",
        PROCESSOR_BASED,
        f"{TAKEN}, since February 2024 and in point releases since then",
        ("ipi_virtualization",),
    ),
    "secondary_controls": Prose(
        "The secondary controls count. While it is 0 the processor takes all of them as 0.",
        "",
        PROCESSOR_BASED,
        TAKEN,
    ),
    "virtualize_apic_accesses": Prose(
        "The processor recognises accesses to the APIC-access page, which Xen maps at the guest's FEE00000. "
        "By itself it saves no exit: it makes the exit say which register was meant. Together with the TPR shadow "
        "and the controls that need it, accesses stay in the guest. While it is 0 the page is ordinary memory as "
        "far as VMX is concerned, and the page tables (EPT) decide.",
        "",
        PAGE,
        f"{TAKEN}; {SWITCHED}; domain_creation_finished (xen/arch/x86/hvm/vmx/vmx.c) maps the page",
        ("assisted_xapic", "xapic", "APIC_ACCESS", "apic-defect-memory"),
    ),
    "virtualize_x2apic_mode": Prose(
        "RDMSR and WRMSR of 800 to 8FF that the MSR bitmap lets through act on the virtual-APIC page. By itself "
        "only the TPR (808) is; the others need register virtualization (reads) or virtual-interrupt delivery (EOI, "
        "self-IPI). Xen uses it together with one of those two only.",
        "",
        MSRS,
        f"{TAKEN}; {SWITCHED}",
        ("assisted_x2apic", "x2apic", "MSR bitmap"),
    ),
    "apic_register_virtualization": Prose(
        "Reads of nearly all registers are answered from the virtual-APIC page, and writes go there first and exit "
        "afterwards (trap-like), which is cheaper to handle.",
        "",
        f"{PAGE}; {MSRS}",
        f"{TAKEN}; vmx_handle_apic_write (xen/arch/x86/hvm/vmx/vmx.c)",
        ("APIC_WRITE", "xapic-reads-stay", "x2apic-reads-stay"),
    ),
    "virtual_interrupt_delivery": Prose(
        "The processor evaluates and delivers pending virtual interrupts itself: at an EOI, a change of the TPR or a "
        "self-IPI the next one is delivered without Xen.",
        "",
        DELIVERY,
        f"{TAKEN}; vmx_process_isr, vmx_update_eoi_exit_bitmap (xen/arch/x86/hvm/vmx/vmx.c)",
        ("EOI virtualization", "self-IPI virtualization", "VIRTUALIZED_EOI"),
    ),
    "ipi_virtualization": Prose(
        "The processor sends virtual IPIs to other vCPUs through a table of posted-interrupt descriptors.",
        "Writes of the ICR could stay. No Xen up to 4.22 switches it on, so they leave.",
        IPI,
        f"not in {TAKEN}",
        ("ICR",),
    ),
    "avic": Prose(
        "AMD's virtual local APIC: xAPIC accesses are answered from a backing page, IPIs and device interrupts are "
        "delivered without an exit.",
        "None under Xen: no release up to 4.22 switches it on, and every APIC access leaves the guest.",
        AVIC,
        "nowhere",
        ("x2avic", "NPF"),
    ),
    "x2avic": Prose(
        "AVIC for guests in x2APIC mode.",
        "None under Xen: no release up to 4.22 switches it on, and every APIC access leaves the guest.",
        AVIC,
        "nowhere",
        ("avic", "MSR"),
    ),
}

TERMS: dict[str, Prose] = {
    "access": Prose(
        "One read or write by the guest of one register of its local APIC: at the page (xAPIC mode), by RDMSR or WRMSR "
        "(x2APIC mode), or of the TPR by CR8 (any mode). What becomes of it is an outcome.",
        see=("stays", "exits before", "exits after", "memory"),
    ),
    "accelerated": Prose(
        "Not a term of this specification, because it has no one meaning: it has been used for 'the exit has a more "
        "specific reason', for 'some accesses stay' and for 'all accesses stay'. Name the control or the effect.",
        see=("virtualize_apic_accesses", "xapic-reads-stay", "x2apic-reads-stay"),
    ),
    "APICv": Prose(
        "Short for APIC-register virtualization together with virtual-interrupt delivery. Xen's option apicv "
        "switches both, and 'virtualize x2APIC mode' with them.",
        see=("apic_register_virtualization", "virtual_interrupt_delivery", "apicv"),
    ),
    "aspect": Prose(
        "One control that a policy can ask for or forbid on its own: TPR shadow, virtualize APIC accesses, register "
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
        "The page whose accesses the processor takes for accesses to the APIC while 'virtualize APIC accesses' is 1. "
        "One per domain under Xen, mapped at the guest's FEE00000. Its content is never meant to be seen.",
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
        "Decided once, at Xen's boot, for every domain. On every release all of APIC acceleration is; 4.17-rc let a "
        "domain leave two controls out.",
        xen=TAKEN,
        see=("4.17-rc",),
    ),
    "in force": Prose(
        "The control is 1 in the VMCS of the guest's vCPU, in the APIC state in which it can be: 'virtualize APIC "
        "accesses' in xAPIC mode at the default base, 'virtualize x2APIC mode' in x2APIC mode, the others always. "
        "What Xen reports, logs or was asked for is something else.",
        see=("xapic", "x2apic"),
    ),
    "MSR bitmap": Prose(
        "For x2APIC mode with assistance Xen lets through, with register virtualization, reads of 800 to 8FF but for "
        "80A, 838 and 839; with virtual-interrupt delivery, writes of 808, 80B and 83F. Otherwise 800 to 8FF exit.",
        sdm=MSRS,
        xen=SWITCHED,
        see=("msr_bitmaps", "x2APIC assistance"),
    ),
    "x2APIC assistance": Prose(
        "'Virtualize x2APIC mode' together with register virtualization or virtual-interrupt delivery. Xen "
        "uses x2APIC mode only so.",
        xen=SWITCHED,
        see=("virtualize_x2apic_mode", "assisted_x2apic"),
    ),
    "late": Prose(
        "Of a refusal: Xen finds it after the architecture part of a create has run. On an Intel host that virtualizes "
        "APIC accesses such a refusal takes the host down.",
        xen="domain_create (xen/common/domain.c)",
        see=("late-refused-create-panic",),
    ),
    "plan": Prose(
        "What comes of a policy that a host can meet: the flags for createdomain, what will be in force, warnings. "
        "Otherwise there is a refusal with every reason.",
        see=("require", "forbid", "prefer"),
    ),
    "safe probe": Prose(
        "A create with an assisted flag on a Xen whose arch_capabilities is 0 cannot succeed. ENODEV: the "
        "interface is there, the hardware is not. EINVAL: no interface. Nothing is created, and the refusal is an early one.",
        see=("ENODEV", "EINVAL", "4.17-rc"),
    ),
    "XEN_HVM_CPUID_APIC_ACCESS_VIRT": Prose(
        "Bit 0 of EAX of the hypervisor's CPUID leaf base + 4 (40000004, or 40000104 with Viridian), as the guest sees it.",
        "Set if Xen uses register virtualization; on 4.17-rc the xAPIC flag must be set too.",
        xen="cpuid_hypervisor_leaves (xen/arch/x86/traps.c, since 4.21 cpuid.c)",
        see=("apic_register_virtualization", "assisted_xapic"),
    ),
    "XEN_HVM_CPUID_X2APIC_VIRT": Prose(
        "Bit 1 of EAX of the hypervisor's CPUID leaf base + 4, as the guest sees it.",
        "Set if Xen uses x2APIC mode, register virtualization and virtual-interrupt delivery; on 4.17-rc the x2APIC flag "
        "takes the place of x2APIC mode. It says more than is so: the ICR's writes leave all the same.",
        xen="cpuid_hypervisor_leaves (xen/arch/x86/traps.c, since 4.21 cpuid.c)",
        see=("virtualize_x2apic_mode", "cpuid-x2apic-virt-overstates"),
    ),
    "Viridian hints": Prose(
        "What a Windows guest is told of its APIC: to use Viridian's MSRs for EOI, ICR and TPR (leaf 40000004 EAX bit 3) when "
        "Xen does not use register virtualization, and that APIC accesses are virtualized (leaf 40000006 EAX bit 0).",
        "Host-wide on every release; 4.17-rc's flags never reached them.",
        xen="cpuid_viridian_leaves (xen/arch/x86/hvm/viridian/viridian.c)",
        see=("viridian-ignores-assisted-flags",),
    ),
}

ALSO: dict[str, tuple[str, ...]] = {
    "APICv": ("apic virtualization",),
    "aspect": ("aspects",),
    "XEN_HVM_CPUID_APIC_ACCESS_VIRT": ("APIC_ACCESS_VIRT", "HvmLeaf.APIC_ACCESS_VIRT"),
    "XEN_HVM_CPUID_X2APIC_VIRT": ("X2APIC_VIRT", "HvmLeaf.X2APIC_VIRT"),
    "Viridian hints": ("viridian", "CPUID4A_MSR_BASED_APIC", "CPUID6A_APIC_OVERLAY"),
}
"""Other spellings of terms."""

STATES: dict[ApicState, Prose] = {
    ApicState.DISABLED: Prose(
        "On a processor nothing answers at FEE00000.",
        "Xen clears both mode controls. The APIC-access page stays mapped: where Xen can virtualize APIC accesses, "
        "FEE00000 is memory.",
        APIC_STATE,
        SWITCHED,
        ("memory", "apic-page-memory-outside-xapic"),
    ),
    ApicState.XAPIC: Prose(
        "The registers are at FEE00000, 16 bytes apart. Every guest starts so.",
        "Xen sets 'virtualize APIC accesses' where it can; on 4.17-rc only with the xAPIC flag.",
        APIC_STATE,
        SWITCHED,
        ("virtualize_apic_accesses", "assisted_xapic"),
    ),
    ApicState.X2APIC: Prose(
        "The registers are MSRs 800 to 8FF.",
        "With x2APIC assistance Xen sets 'virtualize x2APIC mode' and opens the MSR bitmap; on 4.17-rc only with the x2APIC "
        "flag. Without, every access exits, and 'virtualize APIC accesses' stays set.",
        X2APIC_STATES,
        SWITCHED,
        ("virtualize_x2apic_mode", "MSR bitmap", "assisted_x2apic"),
    ),
    ApicState.RELOCATED: Prose(
        "The registers were moved from FEE00000. A guest that tries gets #GP since Xen 4.12; a toolstack can load such a state.",
        "Xen clears both mode controls: every access exits by EPT.",
        APIC_STATE,
        f"{SWITCHED}; guest_wrmsr_apic_base (xen/arch/x86/hvm/vlapic.c)",
        ("EPT_VIOLATION",),
    ),
}

KINDS: dict[Kind, Prose] = {
    Kind.STAYS: Prose("No exit. What completes the access is one of the completions."),
    Kind.EXITS_BEFORE: Prose(
        "The guest's instruction has done nothing yet.", see=("APIC_ACCESS", "RDMSR", "EPT_VIOLATION")
    ),
    Kind.EXITS_AFTER: Prose("One exit per write all the same.", see=("APIC_WRITE",)),
    Kind.DEPENDS: Prose("So is a write of the ICR, and of the self-IPI register.", see=("ICR", "SELF_IPI")),
    Kind.FAULTS: Prose("The processor checks reserved bits of virtualized WRMSR.", see=("x2apic",)),
    Kind.MEMORY: Prose(
        "What is written can be read back, by every vCPU of the domain, and nothing else happens.",
        see=("apic-defect-memory", "apic-page-memory-outside-xapic"),
    ),
    Kind.PHYSICAL: Prose("No combination that Xen sets leads here; the table knows it to be able to say so."),
    Kind.UNKNOWN: Prose("What a table says where a fact of the host is unknown and makes a difference."),
}

COMPLETIONS: dict[Completion, Prose] = {
    Completion.READ: Prose("The value is the one in the virtual-APIC page.", see=("virtual-APIC page",)),
    Completion.TPR: Prose(
        "The TPR is written. Without virtual-interrupt delivery the guest is left when its class falls below the "
        "threshold; with it pending interrupts are evaluated.",
        sdm='SDM volume 3C, "TPR virtualization"',
        see=("tpr_shadow", "TPR_BELOW_THRESHOLD"),
    ),
    Completion.EOI: Prose(
        "The highest vector is taken out of the ISR, and pending interrupts are evaluated. The guest is left if the "
        "vector is in the EOI-exit bitmap, which holds those that Xen must see (level-triggered ones).",
        sdm='SDM volume 3C, "EOI virtualization"',
        see=("virtual_interrupt_delivery", "VIRTUALIZED_EOI"),
    ),
    Completion.SELF_IPI: Prose(
        "The vector is set in the IRR, and pending interrupts are evaluated.",
        sdm='SDM volume 3C, "Self-IPI virtualization"',
        see=("virtual_interrupt_delivery", "ICR", "SELF_IPI"),
    ),
    Completion.IPI: Prose("Under no Xen.", sdm=IPI, see=("ipi_virtualization",)),
    Completion.ICR_HIGH: Prose("The destination is only stored.", sdm=PAGE, see=("ICR2",)),
}

EXITS: dict[VmxExit | SvmExit, Prose] = {
    VmxExit.CR_ACCESS: Prose("MOV to or from CR8, for one.", sdm=REASONS, xen="vmx_cr_access (vmx.c)"),
    VmxExit.RDMSR: Prose(
        "RDMSR that the MSR bitmap does not let through.", sdm=REASONS, xen="vmx_msr_read_intercept (vmx.c)"
    ),
    VmxExit.WRMSR: Prose(
        "WRMSR that the MSR bitmap does not let through.", sdm=REASONS, xen="vmx_msr_write_intercept (vmx.c)"
    ),
    VmxExit.TPR_BELOW_THRESHOLD: Prose(
        "Trap-like: the guest lowered its TPR below what Xen waits for, so an interrupt may now be delivered.",
        sdm=REASONS,
        xen="vmx_intr_assist (xen/arch/x86/hvm/vmx/intr.c)",
        see=("tpr_shadow",),
    ),
    VmxExit.APIC_ACCESS: Prose(
        "Fault-like: an access to the APIC-access page that is not virtualized. The exit qualification holds offset and kind of "
        "access; Xen decodes the instruction, but for an EOI, which it does at once.",
        sdm=REASONS,
        xen=f"{HANDLED}, vmx_handle_eoi_write",
        see=("virtualize_apic_accesses",),
    ),
    VmxExit.VIRTUALIZED_EOI: Prose(
        "Trap-like: an EOI for a vector in the EOI-exit bitmap was virtualized.", sdm=REASONS, xen=HANDLED
    ),
    VmxExit.EPT_VIOLATION: Prose(
        "Fault-like: nothing is mapped where the guest expects its APIC. Xen decodes the instruction and emulates.",
        sdm=REASONS,
        xen="ept_handle_violation (vmx.c)",
    ),
    VmxExit.APIC_WRITE: Prose(
        "Trap-like: the value is in the virtual-APIC page, Xen does what follows from it; nothing is decoded.",
        sdm=REASONS,
        xen="vmx_handle_apic_write (vmx.c)",
        see=("apic_register_virtualization",),
    ),
    SvmExit.CR8_READ: Prose(
        "MOV from CR8, when intercepted; no Xen does.", sdm=APM_EXITS, xen="construct_vmcb"
    ),
    SvmExit.CR8_WRITE: Prose(
        "MOV to CR8, when intercepted; no Xen does.", sdm=APM_EXITS, xen="construct_vmcb"
    ),
    SvmExit.MSR: Prose(
        "RDMSR or WRMSR; for 800 to 8FF always, under every Xen.", sdm=APM_EXITS, xen="svm_vmexit_handler"
    ),
    SvmExit.NPF: Prose(
        "Nested page fault: AMD's way to an access to the APIC's page, under every Xen.",
        sdm=APM_EXITS,
        xen="svm_do_nested_pgfault",
    ),
}

WANTS: dict[Want, str] = {
    Want.REQUIRE: "Unknown counts as not in force: the refusal says how to measure.",
    Want.FORBID: "Unknown counts as in force.",
    Want.PREFER: "A warning says when it could not be had, or is unknown.",
    Want.DEFAULT: "The same as not naming the aspect.",
}

SETTINGS: dict[str, Prose] = {
    "assisted_xapic": Prose(
        "A setting of xl.cfg and xl.conf in 4.17.0-rc1 to rc3, default what the host offers. Its man page: 'a "
        "memory-mapped APIC access will be decoded by hardware and either issue a more specific VM exit than just a p2m fault, or "
        "altogether avoid a VM exit'. What it controlled is one bit, 'virtualize APIC accesses'. Every other release "
        "does not look at it: xl passes over settings it does not know.",
        "1: 'virtualize APIC accesses' in xAPIC mode. 0: without it, and the guest's APIC page is plain memory where the host "
        "could virtualize. TPR shadow, register virtualization and virtual-interrupt delivery stay set either way. For a PV "
        "guest xl does not look at it, and libxl refuses it from others.",
        xen="construct_vmcs, vmx_vlapic_msr_changed of 4.17-rc; libxl_x86.c, xl_parse.c",
        see=("MISC.ASSISTED_XAPIC", "virtualize_apic_accesses", "apic-defect-memory", "assisted_x2apic"),
    ),
    "assisted_x2apic": Prose(
        "A setting of xl.cfg and xl.conf in 4.17.0-rc1 to rc3, default what the host offers. Its man page: 'certain "
        "accesses to MSR APIC registers will avoid a VM exit'. What it controlled is one bit, 'virtualize x2APIC mode', and with "
        "it the MSR bitmap. Every other release does not look at it: xl passes over settings it does not know.",
        "1: 'virtualize x2APIC mode' in x2APIC mode, bitmap open. 0: every access in x2APIC mode exits; register virtualization and "
        "virtual-interrupt delivery stay set, and the guest may still use x2APIC mode. For a PV guest xl does not look "
        "at it, and libxl refuses it from others.",
        xen="vmx_vlapic_msr_changed of 4.17-rc; libxl_x86.c, xl_parse.c",
        see=("MISC.ASSISTED_X2APIC", "virtualize_x2apic_mode", "x2APIC assistance", "assisted_xapic"),
    ),
}

OPTIONS: dict[str, Prose] = {
    "apicv": Prose(
        "Boolean, default true. Intel only, at boot, for every domain.",
        "apicv=0 takes register virtualization, virtual-interrupt delivery, x2APIC mode and with them posted interrupts "
        "away. TPR shadow and 'virtualize APIC accesses' stay: no option of Xen takes those.",
        xen="opt_apicv_enabled (xen/arch/x86/hvm/vmx/vmcs.c)",
        see=("APICv", "tpr_shadow"),
    ),
    "console_to_ring": Prose(
        "What dom0's console prints goes into Xen's ring as well.",
        "dom0 can write whole lines into the ring, so no fact is taken from it.",
        xen="xen/drivers/char/console.c",
    ),
    "conring_size": Prose(
        "Size of Xen's console ring.",
        "A larger one keeps the boot log longer; only a ring that is whole since boot is believed.",
        xen="xen/drivers/char/console.c",
    ),
    "gnttab_max_frames": Prose(
        "Most grant frames of a domain, 64 unless said.",
        "Before 4.18 a create that asks for more is refused late.",
        xen="xen/common/grant_table.c",
        see=("grant-frames-too-many", "late"),
    ),
    "gnttab_max_maptrack_frames": Prose(
        "Most maptrack frames of a domain, 1024 unless said.",
        "Before 4.18 a create that asks for more is refused late.",
        xen="xen/common/grant_table.c",
        see=("maptrack-frames-too-many", "late"),
    ),
    "altp2m": Prose(
        "Alternate p2m tables can be had.",
        "None on the APIC. Since 4.21 createdomain refuses altp2m without it.",
        xen="opt_altp2m_enabled (xen/arch/x86/hvm/hvm.c)",
        see=("altp2m-missing",),
    ),
}

RELEASES: dict[str, str] = {
    "4.17-rc": "The development tree of July to November 2022, 4.17.0-rc1 to rc3: the only one in which a domain can "
    "choose. It calls itself 4.17 and has 4.17's ABI; behaviour tells it apart (the safe probe). For tests only.",
    "4.17": "From 4.17.0 on without the choice per domain, which was taken out before the release.",
}

ERRNOS: dict[str, str] = {
    "EINVAL": "For the safe probe it means: no choice per domain.",
    "ENODEV": "For the safe probe it means: the choice is there, the hardware is not.",
    "EACCES": "Every domctl answers so when the library is of another release than the hypervisor.",
    "EOPNOTSUPP": "Linux knows the number as ENOTSUP, too.",
    "EEXIST": "",
    "ESRCH": "From calls about a domain: there is none of that number.",
}

OWN_CODES: dict[str, Prose] = {
    "field-missing": Prose(
        "The release's createdomain does not have the field, and it is not at its default."
    ),
    "assisted-flags-conflict": Prose(
        "misc_flags sets an assisted flag that the policy's plan leaves out. The policy chooses these flags.",
        see=("MISC.ASSISTED_XAPIC", "MISC.ASSISTED_X2APIC"),
    ),
}
"""Codes that `xenapic.model.create.prepare_request` adds to those of the rules; xenapic refuses, not Xen."""
