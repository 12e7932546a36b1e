"""The change that makes the proposal work: the patches, and every place that they change.

Nothing of Xen is here but the few words by which a place is recognized. Each patch compiles by itself, and
the interface comes last: until then each domain has the host's default.
"""

from __future__ import annotations

from xenapic.proposal.places import How, NewFile, Patch, Place

__all__ = ["PATCHES"]

X86 = "xen/arch/x86/"
VMX, VMCS, INTR, VVMX = (f"{X86}hvm/vmx/{name}.c" for name in ("vmx", "vmcs", "intr", "vvmx"))
VLAPIC = f"{X86}hvm/vlapic.c"
VIRIDIAN = f"{X86}hvm/viridian/viridian.c"
HVM_DOMAIN = f"{X86}include/asm/hvm/domain.h"
HVM_FUNCTIONS = f"{X86}include/asm/hvm/hvm.h"
PASSTHROUGH = "xen/drivers/passthrough/x86/hvm.c"

ACCESSES = "cpu_has_vmx_virtualize_apic_accesses"
REGISTERS = "cpu_has_vmx_apic_reg_virt"
DELIVERY = "cpu_has_vmx_virtual_intr_delivery"
POSTED = "cpu_has_vmx_posted_intr_processing"
TPR = "cpu_has_vmx_tpr_shadow"
X2APIC = "cpu_has_vmx_virtualize_x2apic_mode"


def swap(file: str, within: str, expect: str, put: str, times: int = 1, *, spelt: str = "") -> Place:
    """Return a place where a text is replaced; ``spelt`` is how other releases spell it."""
    return Place((file,), within, How.SWAP, tuple(filter(None, (expect, spelt))), put, times=times)


def before(file: str, within: str, expect: str, put: str = "", fragment: str = "") -> Place:
    """Return a place where lines go before a line."""
    return Place((file,), within, How.BEFORE, (expect,), put, fragment)


def after(file: str, within: str, expect: str, put: str = "", fragment: str = "") -> Place:
    """Return a place where lines go after a line."""
    return Place((file,), within, How.AFTER, (expect,), put, fragment)


def drop(file: str, within: str, expect: str, lines: int = 1, *, spelt: str = "") -> Place:
    """Return a place where lines are removed."""
    return Place((file,), within, How.DROP, tuple(filter(None, (expect, spelt))), times=lines)


BYTE = """\
    /* XEN_X86_APIC_*: controls in force for the local APICs */
    uint8_t apic_accel;

"""
INIT = """\
        apic_accel_init(d, config->arch.misc_flags);

"""

BITS = Patch(
    "x86/hvm: keep per domain which APIC controls are in force",
    """\
Xen decides at boot which of the processor's controls for local APICs it
uses, for all domains alike.  Give each control a bit and each HVM domain
a byte with the bits that are in force for it.

Nothing reads the byte yet, and nothing can be asked for: misc_flags is
still checked against the bits that it had.  So each domain has the
host's default.""",
    (
        after(
            "xen/include/public/arch-x86/xen.h",
            "",
            "#define XEN_X86_MSR_RELAXED",
            fragment="public.h",
        ),
        before(HVM_DOMAIN, "", "struct hvm_domain {", fragment="domain.h"),
        before(HVM_DOMAIN, "struct hvm_domain", "struct hvm_pi_ops pi_ops;", BYTE),
        before(
            f"{X86}domain.c",
            "arch_domain_create",
            "if ( (rc = hvm_domain_initialise(d, config)) != 0 )",
            INIT,
        ),
        before(f"{X86}Makefile", "", "obj-y += apic.o", "obj-y += apic-accel.o\n"),
    ),
    (NewFile(f"{X86}apic-accel.c", "apic-accel.c"),),
)

CONTROLS = """\
    apic_accel_controls(v);

"""
TPR_OPEN = """\
            /* With TPR shadow the processor does the TPR in any case. */
            vmx_clear_msr_intercept(v, MSR_X2APIC_TPR, VMX_MSR_RW);
"""

VMCSS = Patch(
    "x86/vmx: make VMCSs from the controls of their domain",
    """\
construct_vmcs() copies the words that were chosen at boot, and
vmx_vlapic_msr_changed() decides by the host's features.  Let both use
what is in force for the domain.

A domain without the APIC-access page does not get it allocated, so
installing and mapping it have nothing to do, and an access ends in the
emulator.  "Virtualize APIC accesses" must not stay set then: VM entry
would use an APIC-access address of 0.

Where "virtualize x2APIC mode" is not in force, APIC accesses stay
virtualized in x2APIC mode, as they are today on processors without
register virtualization.

No change for a domain with the host's default.""",
    (
        Place((VMCS,), "construct_vmcs", How.ABOVE, fragment="controls.c"),
        swap(
            VMCS,
            "construct_vmcs",
            "__vmwrite(PIN_BASED_VM_EXEC_CONTROL,",
            "apic_accel_write_pin(d,",
        ),
        before(VMCS, "construct_vmcs", "vmx_update_cpu_exec_control(v);", CONTROLS),
        swap(VMCS, "construct_vmcs", DELIVERY, "apic_accel(d, DELIVERY)"),
        swap(VMCS, "construct_vmcs", POSTED, "apic_accel(d, POSTED)"),
        swap(VMCS, "construct_vmcs", TPR, "apic_accel(d, TPR_SHADOW)"),
        swap(
            VMCS,
            "vmcs_dump_vcpu",
            "(vmx_pin_based_exec_control & PIN_BASED_POSTED_INTERRUPT)",
            "apic_accel(v->domain, POSTED)",
            spelt="(vmx_caps.pin_based_exec_control & PIN_BASED_POSTED_INTERRUPT)",
        ),
        swap(VMX, "vmx_alloc_vlapic_mapping", f"!{ACCESSES}", "!apic_accel(d, ACCESS_PAGE)"),
        swap(VMX, "vmx_install_vlapic_mapping", ACCESSES, "apic_accel(v->domain, ACCESS_PAGE)"),
        swap(
            VMX,
            "vmx_vlapic_msr_changed",
            f"virtualize_x2apic_mode = ( ({REGISTERS} || {DELIVERY}) && {X2APIC} );",
            "virtualize_x2apic_mode = apic_accel(v->domain, X2APIC_MODE);",
        ),
        swap(VMX, "vmx_vlapic_msr_changed", f"!{ACCESSES}", "!apic_accel(v->domain, ACCESS_PAGE)"),
        before(VMX, "vmx_vlapic_msr_changed", f"if ( {REGISTERS} )", TPR_OPEN),
        swap(VMX, "vmx_vlapic_msr_changed", REGISTERS, "apic_accel(v->domain, REGISTERS)"),
        swap(VMX, "vmx_vlapic_msr_changed", DELIVERY, "apic_accel(v->domain, DELIVERY)"),
        swap(
            VMX,
            "vmx_vlapic_msr_changed",
            "else v->arch.hvm.vmx.secondary_exec_control |= SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES;",
            "else if ( apic_accel(v->domain, ACCESS_PAGE) )\n"
            "            v->arch.hvm.vmx.secondary_exec_control |=\n"
            "                SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES;",
        ),
    ),
)


def delivered(within: str, hook: str, owner: str) -> Place:
    """Return a place where a hook of virtual-interrupt delivery is called."""
    return swap(
        VLAPIC,
        within,
        f"if ( hvm_funcs.{hook} )",
        f"if ( hvm_funcs.{hook} &&\n         apic_accel({owner}->domain, DELIVERY) )",
    )


ENABLED = "hvm_funcs.virtual_intr_delivery_enabled", "hvm_funcs.caps.virtual_intr_delivery"

INTERRUPTS = Patch(
    "x86/vmx: deliver interrupts by the controls of the domain",
    """\
Whether the processor delivers interrupts (RVI, SVI, EOI-exit bitmap) or
Xen injects them is decided by the host's features, in VMX's code and in
vlapic.c, where hvm_funcs has a bit for it.  A domain without
virtual-interrupt delivery would hang at its first interrupt: it stays in
the IRR, and is never acknowledged.

Ask the domain, and drop the bit that nothing needs any more.  AMD's
domains have no bit of the byte, and nothing changes for them.

An APIC-write exit also comes from virtual-interrupt delivery without
register virtualization, so its assertion was too narrow.

No change for a domain with the host's default.""",
    (
        delivered("vlapic_set_irq", "update_eoi_exit_bitmap", "target"),
        swap(
            VLAPIC,
            "vlapic_set_irq",
            "if ( hvm_funcs.deliver_posted_intr )",
            "if ( hvm_funcs.deliver_posted_intr && apic_accel(target->domain, POSTED) )",
        ),
        delivered("vlapic_EOI_set", "handle_eoi", "v"),
        delivered("lapic_load_regs", "process_isr", "v"),
        swap(
            VLAPIC, "vlapic_has_pending_irq", ENABLED[0], "apic_accel(v->domain, DELIVERY)", spelt=ENABLED[1]
        ),
        swap(
            VLAPIC, "vlapic_ack_pending_irq", ENABLED[0], "apic_accel(v->domain, DELIVERY)", spelt=ENABLED[1]
        ),
        drop(
            VMX,
            "start_vmx",
            "vmx_function_table.virtual_intr_delivery_enabled = true;",
            spelt="vmx_function_table.caps.virtual_intr_delivery = true;",
        ),
        drop(HVM_FUNCTIONS, "", "/* Hardware virtual interrupt delivery enable? */", 3),
        swap(VMX, "vmx_get_nonreg_state", DELIVERY, "apic_accel(v->domain, DELIVERY)"),
        swap(VMX, "vmx_set_nonreg_state", DELIVERY, "apic_accel(v->domain, DELIVERY)"),
        swap(
            VMX,
            "vmx_handle_apic_write",
            f"ASSERT({REGISTERS});",
            "ASSERT(apic_accel(current->domain, REGISTERS) ||\n"
            "           apic_accel(current->domain, DELIVERY));",
        ),
        swap(VMX, "vmx_vmexit_handler", DELIVERY, "apic_accel(v->domain, DELIVERY)"),
        swap(INTR, "nvmx_intr_intercept", DELIVERY, "apic_accel(v->domain, DELIVERY)"),
        swap(INTR, "vmx_intr_assist", DELIVERY, "apic_accel(v->domain, DELIVERY)", 4),
        swap(INTR, "vmx_intr_assist", TPR, "apic_accel(v->domain, TPR_SHADOW)"),
        swap(VVMX, "virtual_vmexit", DELIVERY, "apic_accel(v->domain, DELIVERY)"),
    ),
)

THRESHOLD = """\

    /*
     * With TPR shadow, and neither virtual-interrupt delivery nor virtualized
     * APIC accesses, VM entry fails if the threshold exceeds the class of the
     * virtual TPR.  The guest may have lowered that since the threshold was
     * set, and not every way out of here sets it again.
     */
    if ( apic_accel(v->domain, TPR_SHADOW) &&
         !apic_accel(v->domain, DELIVERY) &&
         !(v->arch.hvm.vmx.secondary_exec_control &
           SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES) &&
         !nestedhvm_vcpu_in_guestmode(v) )
        __vmwrite(TPR_THRESHOLD, 0);
"""

STALE = Patch(
    "x86/vmx: leave no stale TPR threshold behind",
    """\
vmx_intr_assist() returns early while a guest is single-stepped, while an
event is handled, and for some forks, and then the threshold of an
earlier VM entry stays.  Where APIC accesses are virtualized, that costs
a VM exit.  Where they are not, VM entry fails if the guest has lowered
its TPR meanwhile.""",
    (after(INTR, "vmx_intr_assist", "int pt_vector;", THRESHOLD),),
)

HOOKS = "if ( !iommu_intpost || !is_hvm_domain(d) )"
HOOKS_PUT = "if ( !iommu_intpost || !is_hvm_domain(d) || !apic_accel(d, POSTED) )"

POSTING = Patch(
    "x86/vt-d: post interrupts only into domains with posted interrupts",
    """\
With VT-d's interrupt posting, devices write into the posted-interrupt
descriptor of a vCPU.  In a domain without posted interrupts nobody looks
there.

No change for a domain with the host's default.""",
    (
        swap(VMX, "vmx_pi_hooks_assign", HOOKS, HOOKS_PUT),
        swap(VMX, "vmx_pi_hooks_deassign", HOOKS, HOOKS_PUT),
        swap(
            PASSTHROUGH,
            "pt_irq_create_bind",
            "if ( iommu_intpost )",
            "if ( iommu_intpost && apic_accel(d, POSTED) )",
            2,
        ),
    ),
)


def leaf(expect: str, put: str) -> Place:
    """Return a place in the hypervisor's leaves, which moved in 4.21."""
    files = f"{X86}traps.c", f"{X86}cpuid.c"
    return Place(files, "cpuid_hypervisor_leaves", How.SWAP, (expect,), put)


LEAVES = Patch(
    "x86/cpuid: tell a guest about its own APIC",
    """\
The hypervisor's leaf base + 4 and Viridian's hints describe the host's
features.  Describe what is in force for the domain.

XEN_HVM_CPUID_APIC_ACCESS_VIRT says that APIC accesses need no VM exit,
so it also needs the APIC-access page.  Viridian's hint to use MSRs for
EOI, ICR and TPR is about writes, so it depends on virtual-interrupt
delivery, and not on register virtualization.

No change for a domain with the host's default on a processor that has
register virtualization and virtual-interrupt delivery, or neither.""",
    (
        leaf(
            f"if ( {X2APIC} && {REGISTERS} && {DELIVERY} )",
            "if ( apic_accel(d, X2APIC_MODE) &&\n"
            "             apic_accel(d, REGISTERS) &&\n"
            "             apic_accel(d, DELIVERY) )",
        ),
        leaf(f"if ( {REGISTERS} )", "if ( apic_accel(d, ACCESS_PAGE) && apic_accel(d, REGISTERS) )"),
        swap(VIRIDIAN, "cpuid_viridian_leaves", f"!{REGISTERS}", "!apic_accel(d, DELIVERY)"),
        swap(VIRIDIAN, "cpuid_viridian_leaves", ACCESSES, "apic_accel(d, ACCESS_PAGE)"),
    ),
)

CHECK = """\

    rc = apic_accel_check(config);
    if ( rc )
        return rc;
"""
REPORT = """\
    pi->arch_capabilities |=
        MASK_INSR(apic_accel_available(),
                  XEN_SYSCTL_PHYSCAP_X86_APIC_AVAILABLE_MASK) |
        MASK_INSR(apic_accel_default(),
                  XEN_SYSCTL_PHYSCAP_X86_APIC_DEFAULT_MASK);

"""
READ_BACK = """\
    if ( is_hvm_domain(d) )
        info->arch_config.misc_flags =
            MASK_INSR(d->arch.hvm.apic_accel, XEN_X86_APIC_ON_MASK);
"""

INTERFACE = Patch(
    "x86: let a domain ask for APIC controls",
    """\
createdomain takes two words, "on" and "off", physinfo reports what is
available and what is the default, and getdomaininfo returns what is in
force.  A request that cannot be served is refused before anything is
allocated, with EINVAL if it makes no sense on any host, and ENODEV if
another host could serve it.

The words are in bits that every release refuses (misc_flags) or leaves
0 (arch_capabilities), so no structure changes, and no libxenctrl
needs to.""",
    (
        before("xen/include/public/sysctl.h", "", "struct xen_sysctl_physinfo {", fragment="physcap.h"),
        after(f"{X86}domain.c", "arch_sanitise_domain_config", "unsigned int max_vcpus;", "    int rc;\n"),
        swap(
            f"{X86}domain.c",
            "arch_sanitise_domain_config",
            "config->arch.misc_flags & ~XEN_X86_MSR_RELAXED",
            "config->arch.misc_flags &\n"
            "         ~(XEN_X86_MSR_RELAXED | XEN_X86_APIC_ON_MASK |\n"
            "           XEN_X86_APIC_OFF_MASK)",
        ),
        Place(
            (f"{X86}domain.c",),
            "arch_sanitise_domain_config",
            How.AFTER_BLOCK,
            ("if ( config->arch.misc_flags &",),
            CHECK,
        ),
        before(f"{X86}sysctl.c", "arch_do_physinfo", "if ( hvm_enabled )", REPORT),
        after(
            f"{X86}domctl.c",
            "arch_get_domain_info",
            "info->arch_config.emulation_flags = d->arch.emulation_flags;",
            READ_BACK,
        ),
    ),
)

PATCHES = (BITS, VMCSS, INTERRUPTS, STALE, POSTING, LEAVES, INTERFACE)
"""In the order in which they apply."""
