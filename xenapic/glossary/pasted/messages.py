"""Messages of Xen, toolstacks and the loader, and what each means. Pure data.

The wording is that of the sources named in each row (Xen 4.13 to 4.22; xapi's ``api_errors.ml``).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from xenapic.glossary.pasted.needles import needles

__all__ = ["HOST_ONLY", "MESSAGES", "Message", "message"]


class Message(NamedTuple):
    """A message: how to recognise it, and what it means."""

    pattern: re.Pattern[str]
    title: str
    text: str
    source: str = ""
    see: tuple[str, ...] = ()
    errno: bool = True
    """Whether a number or an error's name in the line can be an errno; if not, it has a meaning of its own."""
    needles: tuple[str, ...] = ()
    """A line without any of them, in lower case, does not match; empty if nothing is known."""


def message(
    pattern: str, title: str, text: str, source: str = "", see: tuple[str, ...] = (), errno: bool = True
) -> Message:
    """Return a row of a table of messages."""
    compiled = re.compile(pattern, re.IGNORECASE | re.ASCII)
    return Message(compiled, title, text, source, see, errno, needles(pattern))


_row = message


VMCS = "xen/arch/x86/hvm/vmx/vmcs.c"
VMX = "xen/arch/x86/hvm/vmx/vmx.c"
APIC = "xen/arch/x86/apic.c"
SETUP = "xen/arch/x86/domain.c, arch_sanitise_domain_config (debug builds print it)"
COMMON = "xen/common/domain.c, sanitise_domain_config (debug builds print it)"
XAPI = "xapi, ocaml/xapi-consts/api_errors.ml"
HOST_ONLY = "It is about the host's own APICs: a guest's APIC, x2APIC mode included, does not depend on it."
NOT_APIC = "It makes no difference to a guest's APIC."
LISTED = "A line of the list of features that Xen prints at boot: Xen uses it for its guests."

MESSAGES: tuple[Message, ...] = (
    # -- the list of features -----------------------------------------------------------------------
    _row(
        r"- APIC MMIO access virtualisation",
        "Xen uses 'virtualize APIC accesses'",
        LISTED,
        VMCS,
        ("virtualize_apic_accesses",),
    ),
    _row(r"- APIC TPR shadow", "Xen uses the TPR shadow", LISTED, VMCS, ("tpr_shadow",)),
    _row(
        r"- APIC Register Virtualization",
        "Xen uses APIC-register virtualization",
        LISTED,
        VMCS,
        ("apic_register_virtualization",),
    ),
    _row(
        r"- Virtual Interrupt Delivery",
        "Xen uses virtual-interrupt delivery",
        LISTED,
        VMCS,
        ("virtual_interrupt_delivery",),
    ),
    _row(
        r"- Posted Interrupt Processing",
        "Xen uses posted interrupts between processors",
        f"{LISTED} Interrupts of assigned devices are posted only with iommu=intpost.",
        VMCS,
        ("posted_interrupts", "iommu"),
    ),
    _row(
        r"- MSR direct-access bitmap",
        "Xen uses MSR bitmaps",
        f"{LISTED} Without them every access in x2APIC mode exits.",
        VMCS,
        ("msr_bitmaps",),
    ),
    _row(
        r"- (?:Extended Page Tables \(EPT\)|Virtual-Processor Identifiers \(VPID\)|Virtual NMI|Unrestricted Guest|"
        r"APIC-write|VMCS shadowing|VM Functions|Virtualisation Exceptions|Page Modification Logging|TSC Scaling|"
        r"Bus Lock Detection|Notify VM Exit|Virtualize SPEC_CTRL|EPT_.{1,20})(?=\s*$)",
        "a feature of VMX that Xen uses, not of the APIC",
        f"{LISTED} {NOT_APIC}",
        VMCS,
    ),
    _row(
        r"- (?:Nested Page Tables \(NPT\)|Last Branch Record \(LBR\) Virtualisation|Next-RIP Saved on #VMEXIT|"
        r"VMCB Clean Bits|TLB flush by ASID|DecodeAssists|Virtual VMLOAD/VMSAVE|Virtual GIF|NPT Supervisor Shadow Stack|"
        r"MSR_SPEC_CTRL virtualisation|Pause-Intercept Filter|Pause-Intercept Filter Threshold|TSC Rate MSR|"
        r"Bus Lock Filter|Idle HLT)(?=\s*$)",
        "a feature of SVM that Xen uses, not of the APIC",
        f"{LISTED} {NOT_APIC} No Xen uses AVIC, so every access to the APIC exits.",
        "xen/arch/x86/hvm/svm/svm.c",
        ("avic",),
    ),
    _row(
        r"VMX: Supported advanced features:?",
        "the start of Xen's list of features on Intel",
        "What is missing in a complete list is not used. Xen prints no line for 'virtualize x2APIC mode'. "
        "With the complete log, 'xenapic host --log FILE' tells what follows.",
        VMCS,
        ("APICv",),
    ),
    _row(
        r"SVM: Supported advanced features:?",
        "the start of Xen's list of features on AMD",
        "None of its lines is about the APIC: no Xen uses AVIC, so every access to the APIC exits.",
        "xen/arch/x86/hvm/svm/svm.c",
        ("avic",),
    ),
    # -- the host's x2APIC --------------------------------------------------------------------------
    _row(
        r"Not enabling x2APIC: depends on (?:iommu_supports_eim|IOMMU support)",
        "Xen leaves the host's APICs in xAPIC mode: the IOMMU cannot remap interrupts for x2APIC",
        "Up to Xen 4.13 x2APIC mode needs an IOMMU with interrupt remapping and extended interrupt mode (EIM); "
        f"the firmware has turned it off, or iommu= has. {HOST_ONLY}",
        f"{APIC}, x2apic_bsp_setup",
        ("x2apic=", "iommu"),
    ),
    _row(
        r"Not enabling x2APIC: disabled by cmdline",
        "Xen leaves the host's APICs in xAPIC mode: x2apic=0 is on its command line",
        HOST_ONLY,
        f"{APIC}, x2apic_bsp_setup",
        ("x2apic=",),
    ),
    _row(
        r"Not enabling x2APIC \(upon firmware request\)",
        "Xen leaves the host's APICs in xAPIC mode: the firmware asks for it",
        f"The ACPI table DMAR has the flag x2APIC_OPT_OUT. {HOST_ONLY}",
        f"{APIC}, x2apic_bsp_setup",
        ("x2apic=",),
    ),
    _row(
        r"IOMMU requests xAPIC mode, but x2APIC already enabled by firmware",
        "the firmware contradicts itself about the host's x2APIC mode",
        HOST_ONLY,
        f"{APIC}, x2apic_bsp_setup",
        ("x2apic=",),
    ),
    _row(
        r"x2APIC mode is already enabled by BIOS",
        "the firmware started the host's APICs in x2APIC mode",
        HOST_ONLY,
        f"{APIC}, check_x2apic_preenabled",
        ("x2apic=",),
    ),
    _row(
        r"x2APIC: Already enabled by BIOS: Ignoring cmdline disable",
        "x2apic=0 has no effect: the firmware turned x2APIC mode on",
        HOST_ONLY,
        f"{APIC}, x2apic_bsp_setup",
        ("x2apic=",),
    ),
    _row(
        r"(?:Using|Switched to|Overriding) APIC driver (?:with )?(?:x2apic_(?:phys|cluster|mixed)|bigsmp|default|flat)",
        "how Xen addresses the host's own APICs",
        HOST_ONLY,
        "xen/arch/x86/genapic",
        ("x2apic=", "x2apic_phys"),
    ),
    _row(
        r"ACPI FADT forcing x2APIC physical mode",
        "the firmware asks for x2APIC's physical mode",
        HOST_ONLY,
        "xen/arch/x86/genapic/x2apic.c",
        ("x2apic_phys",),
    ),
    _row(
        r"CPU\d+: No irq handler for vector [0-9a-f]{2} \(IRQ",
        "a physical interrupt arrived for which Xen has no handler",
        "It moved between processors too late, or a device interrupts without a driver. A guest's virtual interrupts never "
        "come there.",
        "xen/arch/x86/irq.c, do_IRQ",
    ),
    _row(
        r"Enabling APIC mode[.:]",
        "Xen turns the host's own APICs on",
        HOST_ONLY,
        APIC,
    ),
    _row(
        r"Unsupported: APIC ID \S+ in xAPIC mode w/o interrupt remapping|"
        r"APIC ID \S+ and/or ACPI ID \S+ beyond limit",
        "Xen does not use a processor of the host, because it cannot address its APIC",
        f"An APIC ID above 254 needs x2APIC mode and interrupt remapping. {HOST_ONLY}",
        "xen/arch/x86/smpboot.c; xen/arch/x86/acpi/boot.c",
        ("x2apic=", "intremap"),
    ),
    _row(
        r"Failed to enable Interrupt Remapping",
        "Xen could not turn interrupt remapping on",
        f"Before 4.14 the host's APICs then stay in xAPIC mode. {HOST_ONLY}",
        f"{APIC}, x2apic_bsp_setup",
        ("intremap", "x2apic="),
    ),
    _row(
        r"Interrupt remapping (?:enabled|disabled)",
        "whether the IOMMU remaps the interrupts of devices",
        f"It protects the host from devices, and is needed for APIC IDs above 254. {HOST_ONLY}",
        "xen/drivers/passthrough/iommu.c",
        ("intremap",),
    ),
    _row(
        r"I/O virtualisation (?:enabled|disabled)",
        "whether Xen uses an IOMMU",
        "With one, guests can have devices (capability hvm_directio). It makes no difference to what of the APIC "
        "exits; posting interrupts of devices (iommu=intpost) needs it.",
        "xen/drivers/passthrough/iommu.c",
        ("PHYSCAP.directio", "iommu-missing", "intpost"),
    ),
    _row(
        r"Intel VT-d Posted Interrupt (?:not )?enabled",
        "whether the IOMMU posts interrupts of assigned devices",
        "Off by default: it needs iommu=intpost. Posted interrupts between processors are another thing: the "
        "line '- Posted Interrupt Processing' is about them.",
        "xen/drivers/passthrough/vtd/iommu.c",
        ("intpost", "posted_interrupts"),
    ),
    _row(
        r"TSC_DEADLINE disabled due to Errata",
        "Xen does not use the APIC timer's deadline mode on this host",
        "Newer microcode removes the erratum. It is about the host's own timer.",
        APIC,
    ),
    # -- VMX and SVM --------------------------------------------------------------------------------
    _row(
        r"VMX disabled by BIOS|SVM Extension is disabled in BIOS",
        "the firmware turned hardware virtualization off",
        "Xen can run PV guests only. Turn VT-x (Intel) or SVM (AMD) on in the firmware's set-up.",
        f"{VMCS}; xen/arch/x86/hvm/svm/svm.c",
        ("hvm-missing",),
    ),
    _row(
        r"VMXON failed: perhaps because of TXT settings",
        "the firmware allows VMX only inside TXT",
        "Turn TXT off in the firmware's set-up, or start Xen through tboot.",
        f"{VMCS}, _vmx_cpu_up",
        ("hvm-missing",),
    ),
    _row(
        r"(?:VMX|SVM): failed to initialise",
        "Xen cannot use hardware virtualization on this processor",
        "Xen can run PV guests only. A line before it has the reason.",
        f"{VMX}; xen/arch/x86/hvm/svm/svm.c",
        ("hvm-missing",),
    ),
    _row(
        r"Capabilities fatally differ between CPU\d+ and CPU0",
        "the processors of this host differ in their VMX controls",
        "A processor that lacks what the first one has is not brought up: different steppings, microcode or firmware settings.",
        f"{VMCS}, vmx_init_vmcs_config",
    ),
    _row(
        r"VT-d Posted Interrupt is disabled for CPU-side Posted Interrupt is not enabled|"
        r"Intel VT-d Posted Interrupt is disabled for CPU-side Posted",
        "Xen turned iommu=intpost off: it does not use posted interrupts on the processor",
        "The processor lacks them, or apicv=0 turned them off with virtual-interrupt delivery.",
        f"{VMCS}, vmx_init_vmcs_config",
        ("posted_interrupts", "apicv", "iommu"),
    ),
    _row(
        r"Hardware Assisted Paging \(HAP\) (?:not detected|detected but disabled)",
        "guests cannot have hardware-assisted paging (EPT, NPT) here",
        "The processor lacks it, or hap=0 is on Xen's command line. A create with hap is refused.",
        "xen/arch/x86/hvm/hvm.c, hvm_enable",
        ("hap-missing", "hap"),
    ),
    # -- what a guest is told -----------------------------------------------------------------------
    _row(
        r"\bcpuid\s*\+?=.{0,200}\bx2apic=[01xksdh]|\bhost,(?:\w+=\w+,){0,20}x2apic=[01xksdh]",
        "what CPUID tells a guest about x2APIC, by its xl.cfg",
        "With x2apic=0 the guest sees no x2APIC and stays in xAPIC mode; Xen refuses the mode to it. It changes nothing "
        "for other guests or the host, and is no option of Xen.",
        "docs/man/xl.cfg.5.pod.in, cpuid; guest_wrmsr_apic_base (xen/arch/x86/hvm/vlapic.c)",
        ("x2apic-hidden", "xapic"),
        errno=False,
    ),
    _row(
        r"<feature\b[^>]{0,80}\bname=['\"]x2apic['\"][^>]{0,80}>",
        "what CPUID tells a guest about x2APIC, by its libvirt domain XML",
        "With policy disable or forbid the guest sees no x2APIC and stays in xAPIC mode. It changes nothing for other guests "
        "or the host.",
        "libvirt, src/libxl/libxl_conf.c",
        ("x2apic-hidden", "xapic"),
        errno=False,
    ),
    _row(
        r"<apic\b[^>]{0,80}/?>",
        "the feature 'apic' of a libvirt domain XML",
        "With Xen it sets libxl's apic for an HVM guest: whether the firmware's tables name an APIC. It turns no acceleration "
        "on or off. eoi= is KVM's.",
        "libvirt, src/libxl/libxl_conf.c",
        errno=False,
    ),
    _row(
        r"\bxen_caps\s*:.{0,200}\bhvm-3\.0",
        "what types of guests this host's Xen runs (xl info)",
        "hvm-3.0: HVM and PVH guests, so VT-x or SVM is on. It says nothing about APIC acceleration: 'xenapic host' does.",
        "xen/arch/x86/setup.c",
        ("PHYSCAP.hvm",),
    ),
    _row(
        r"\bxen_caps\s*:\s*xen-3\.0(?!.{0,200}hvm-)",
        "what types of guests this host's Xen runs (xl info)",
        "Without hvm-3.0 it runs PV guests only: VT-x or SVM is off in the firmware, or missing.",
        "xen/arch/x86/setup.c",
        ("hvm-missing",),
    ),
    # -- checks of a create -------------------------------------------------------------------------
    *(
        _row(pattern, title, "Xen refuses the create with EINVAL.", place, (code,))
        for pattern, title, place, code in (
            (
                r"Unknown CDF flags ",
                "createdomain.flags has bits that this Xen does not know",
                COMMON,
                "flags-unknown",
            ),
            (r"No vCPUS", "max_vcpus is 0", COMMON, "vcpus-none"),
            (
                r"HAP requested for non-HVM guest",
                "the flag hap needs the flag hvm",
                COMMON,
                "hap-without-hvm",
            ),
            (
                r"IOMMU requested but not available",
                "the flag iommu needs an IOMMU that Xen uses",
                COMMON,
                "iommu-missing",
            ),
            (
                r"IOMMU options specified but IOMMU not requested",
                "iommu_opts needs the flag iommu",
                COMMON,
                "iommu-opts-without-iommu",
            ),
            (
                r"vmtrace requested but not available",
                "vmtrace_size needs a host with vmtrace",
                COMMON,
                "vmtrace-missing",
            ),
            (
                r"Requested vCPUs \(\d+\) exceeds max",
                "more vCPUs than this type of guest can have",
                SETUP,
                "vcpus-too-many",
            ),
            (
                r"HAP requested but not available",
                "the host has no hardware-assisted paging",
                SETUP,
                "hap-missing",
            ),
            (
                r"Nested virt requested but not available",
                "the host offers no nested virtualization",
                SETUP,
                "nested-virt-missing",
            ),
            (
                r"Nested virt not supported without HAP",
                "nested virtualization needs hap",
                SETUP,
                "nested-virt-without-hap",
            ),
            (
                r"Nested virt and altp2m are not supported together",
                "nested virtualization excludes altp2m",
                SETUP,
                "altp2m-nested",
            ),
            (r"vmtrace not supported for PV", "vmtrace is for HVM-type guests", SETUP, "vmtrace-pv"),
            (
                r"Unsupported vmtrace size",
                "vmtrace_size is no power of two, or out of range",
                SETUP,
                "vmtrace-size",
            ),
            (
                r"Invalid arch misc flags ",
                "misc_flags has bits that this Xen does not know",
                SETUP,
                "misc-flags-unknown",
            ),
        )
    ),
    # -- running guests -----------------------------------------------------------------------------
    _row(
        r"\b\w{1,20} emulation failed \(\d+\): d\d+v\d+",
        "Xen could not emulate an instruction of a guest",
        "The number is a code of the emulator (1: unhandleable), not an errno. The line has the address of the "
        "instruction, not of what it accessed: whether that was the APIC's page is not in it.",
        "xen/arch/x86/hvm/emulate.c, hvm_dump_emulation_state",
        errno=False,
    ),
    _row(
        r"HVM\d+ restore: failed to load entry 5/\d+ rc -\d+|HVM\d+ restore: failed to load entry 6/\d+ rc -\d+",
        "Xen refuses the APIC's part of a saved guest",
        "Entry 5 is the local APIC's state (LAPIC), 6 its registers (LAPIC_REGS). The restore or migration ends. "
        "A reason is a base or a mode that Xen does not accept, or a vCPU that the guest does not have.",
        "xen/arch/x86/hvm/save.c, hvm_load; xen/arch/x86/hvm/vlapic.c, lapic_load_hidden, lapic_load_regs",
        ("IA32_APIC_BASE",),
        errno=False,
    ),
    _row(
        r"HVM\d+ restore: .{3,80}",
        "Xen refuses or changes a part of a saved guest, or reports one",
        "It is not about the APIC unless the line names entry 5 or 6 (LAPIC, LAPIC_REGS).",
        "xen/arch/x86/hvm/save.c, hvm_load",
        errno=False,
    ),
    _row(
        r"(?:xc_domain_hvm_setcontext|HVM_PARAM|Unable to restore HVM context|Failed to restore HVM context)",
        "Xen refuses the state of a saved or migrated guest",
        "No create was refused: the domain exists. 'xl dmesg' has a line 'HVM… restore:' that names the part.",
        "tools/libs/guest/xg_sr_restore_x86_hvm.c",
        errno=False,
    ),
    _row(
        r"bad LAPIC DFR value|Ignoring delivery mode 3|Ignoring guest SMI|unsupported delivery mode in ICR",
        "a guest wrote something to its APIC that Xen does not support",
        "The guest goes on. A write of ICR or DFR always exits, so acceleration plays no part.",
        "xen/arch/x86/hvm/vlapic.c",
        ("ICR", "DFR"),
    ),
    _row(
        r"VIRIDIAN (?:HVCALL_SEND_IPI(?:_EX)?|HYPERCALL: enabled|APIC_ASSIST|\w+: pfn)",
        "a Windows guest starts to use a hypercall or a page of Viridian",
        "Xen prints it once. A hypercall exits, as a write of ICR does; one hypercall can interrupt many processors.",
        "xen/arch/x86/hvm/viridian/viridian.c",
        ("Viridian hints",),
    ),
    _row(
        r"-{3,}\[ Xen-[\w.+-]{3,40}",
        "the start of Xen's register dump, of Xen itself or of a guest that crashed",
        "The line before it says what happened. CONTEXT: hypervisor means that Xen itself stopped there, hvm guest or "
        "pv guest that it prints a guest's registers.",
        "xen/arch/x86/x86_64/traps.c, show_registers",
    ),
    _row(
        r"tried to move the APIC MMIO window",
        "a guest wrote another base to IA32_APIC_BASE and got #GP",
        "Xen does not support it since 4.12. The guest is at fault; its APIC stays where it is.",
        "xen/arch/x86/hvm/vlapic.c, guest_wrmsr_apic_base",
        ("xapic-relocated", "apic-window-moves"),
    ),
    _row(
        r"bogus x2APIC record: ID ",
        "a saved or migrated guest has an x2APIC logical ID (LDR) that Xen cannot explain",
        "It follows neither from the APIC ID nor from a known defect of an older Xen: an ID derived from the vCPU's number "
        "is accepted without a message. Printed since 4.17.3 and 4.18.1.",
        "xen/arch/x86/hvm/vlapic.c, lapic_load_fixup",
        ("x2apic-ldr-from-vcpu",),
    ),
    _row(
        r"#GP\b|\bgeneral protection fault",
        "general protection fault (vector 13)",
        "By the APIC only: a write of a reserved bit or of a read-only register in x2APIC mode, a change of "
        "IA32_APIC_BASE that the SDM or Xen forbids, an MSR of 800 to 8FF outside x2APIC mode. Otherwise it is not of the APIC.",
        'SDM volume 3A, "x2APIC state transitions", "Reserved bit checking"',
        ("x2apic", "xapic-relocated"),
    ),
    # -- toolstacks ---------------------------------------------------------------------------------
    _row(
        r"device model did not start: -\d+|Stubdom \d+ for \d+ startup: .{3,60}|stubdom.{0,40}timed out",
        "the domain was created; its device model (QEMU, or a stub domain with it) did not start",
        "Xen refused no create of the guest, and the APIC plays no part. Look at "
        "/var/log/xen/qemu-dm-NAME.log and at the stub domain's console. The number is an error code of libxl.",
        "tools/libs/light/libxl_create.c, domcreate_devmodel_started; libxl_dm.c",
        errno=False,
    ),
    _row(
        r"Unable to set domain (?:build|create) info defaults",
        "libxl refuses the configuration before it asks Xen",
        "The line before it has the reason. 'xenapic plan FILE' checks the whole file.",
        "tools/libs/light/libxl_create.c, libxl__domain_config_setdefault",
        ("toolstack-refused",),
        errno=False,
    ),
    _row(
        r"libxenctrl\.so\.\S*: cannot open shared object file",
        "the loader finds no libxenctrl of this release",
        "A program was built for the libxenctrl of this release, and only another or none is installed; every release has its own. "
        "Install the package of that release (Debian: libxenmisc4.19 for libxenctrl.so.4.19), "
        "or a program built for the installed one. "
        "xenapic takes the library of the running Xen; XENAPIC_LIBXENCTRL or --library names another.",
        "ld.so(8)",
        ("library-not-found",),
    ),
    _row(
        r"undefined symbol: xc_\w+|symbol lookup error: .{1,200}undefined symbol: (?:xc|libxl|xs)_\w+",
        "a program calls a function that the loaded library of Xen's tools does not have",
        "The program and the library are of different releases, or an older library is found first. Which calls came and "
        "went: 'xenapic abi diff' (xc_domain_getinfo went in 4.18).",
        "ld.so(8)",
        ("library-not-found",),
        errno=False,
    ),
    _row(
        r"lib(?:xenlight|xlutil|xenguest|xenstore|xentoollog|xencall|xenforeignmemory|xenevtchn)\S*\.so\S*: cannot open shared object file|"
        r"error while loading shared libraries: lib(?:xen|xl)\S*\.so",
        "the loader misses a library of Xen's tools",
        "The program and the installed Xen packages are of different releases. Install the package that has this file.",
        "ld.so(8)",
    ),
    _row(
        r"Domain name must be specified|Neither kernel nor bootloader specified|xl: maxvcpus < vcpus|"
        r"Invalid domain type \S*|unknown passthrough option|invalid value \".{0,40}\" for \"\w+\"|xl: [Uu]nable to parse \w+|"
        r"vcpu hard affinity map is empty|xl: (?:vnuma|maxmem|invalid pnode) .{0,80}|Failed to parse config\b|"
        r"Contradicting \"builder\" and \"type\"|Unable to allocate cpumap|Invalid pcpu range",
        "xl refuses the configuration itself",
        "Neither libxl nor Xen was asked. 'xenapic plan FILE' reads the file as xl does, and names the key.",
        "tools/xl/xl_parse.c",
        ("toolstack-refused",),
        errno=False,
    ),
    _row(
        r"domain creation fail: (?P<error>[A-Z][\w /]{2,40})|cannot make domain: -\d+",
        "Xen refused the create that libxl sent",
        "Xen gives only the error number. 'xenapic plan FILE' checks the configuration as xl and Xen do, and "
        "names the rule.",
        "tools/libs/light/libxl_create.c, libxl__domain_make",
        ("EINVAL",),
    ),
    _row(
        r"xc: error: .{0,80}(?:Could not obtain handle on privileged command interface|privcmd)",
        "the tools cannot reach Xen",
        "They run outside dom0, without root, or the kernel's privcmd device is missing.",
        "tools/libs/call/linux.c",
        ("no-xen", "no-privilege"),
    ),
    _row(
        r"VM_REQUIRES_IOMMU",
        "the VM has devices to pass through, and the host reports no IOMMU",
        "xapi looks at the capability hvm_directio of 'xl info'. Turn VT-d or AMD-Vi on in the firmware, and leave iommu= on.",
        XAPI,
        ("PHYSCAP.directio", "iommu-missing"),
    ),
    _row(
        r"VM_HVM_REQUIRED",
        "the operation needs an HVM guest",
        "It is not about the APIC.",
        XAPI,
    ),
    _row(
        r"VM_INCOMPATIBLE_WITH_THIS_HOST|VM_HOST_INCOMPATIBLE_VERSION\w*|CPU_FEATURE_MASKING_NOT_SUPPORTED",
        "xapi does not run or move the VM on this host, because of CPUID features or versions",
        "xapi compares feature sets of CPUID. What a host's Xen uses of the APIC's acceleration is no part of them: "
        "'xenapic guest --to' compares it.",
        XAPI,
        ("APICv",),
    ),
    _row(
        r"Xenctrl\.Error\(\s*\"?(?P<errno>\d{1,3}): (?P<said>[A-Za-z ,/-]{2,60})",
        "a call of libxenctrl failed under xapi (xenopsd)",
        "The number is an errno if the errno's own message follows it; otherwise it is a code of libxenctrl (1: internal error).",
        "tools/ocaml/libs/xc/xenctrl_stubs.c, failwith_xc",
    ),
)
"""The first row that matches a line counts."""
