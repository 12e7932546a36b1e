"""The name of every bit in the words of VMX controls. Pure data.

Source: Intel SDM volume 3C, "VM-execution control fields", "VM-exit control fields" and "VM-entry control
fields". What affects the APIC is in `xenapic.apic.features`; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping

from xenapic.frozen import dataclass

__all__ = ["WORDS", "Word", "bit_names", "names_of"]


@dataclass(frozen=True, slots=True)
class Word:
    """A word of controls: what it is called, and its bits."""

    key: str
    """`ControlField.key`, or ``vm_exit`` and ``vm_entry``."""
    name: str
    capabilities: tuple[int, ...]
    """The MSRs that report which bits may be 1: the plain one and, where there is one, the "true" one."""
    printed: tuple[str, ...]
    """What programs call the word: Xen's dump, Xen's boot messages, KVM's dump."""
    bits: Mapping[int, str]


WORDS = (
    Word(
        "pin_based",
        "pin-based VM-execution controls",
        (0x481, 0x48D),
        ("PinBased", "Pin-Based Exec Control", "PinBasedVMExecControl", "pin-based"),
        {
            0: "external-interrupt exiting",
            3: "NMI exiting",
            5: "virtual NMIs",
            6: "activate VMX-preemption timer",
            7: "process posted interrupts",
        },
    ),
    Word(
        "primary",
        "primary processor-based VM-execution controls",
        (0x482, 0x48E),
        ("CPUBased", "CPU-Based Exec Control", "CPUBasedVMExecControl", "primary"),
        {
            2: "interrupt-window exiting",
            3: "use TSC offsetting",
            7: "HLT exiting",
            9: "INVLPG exiting",
            10: "MWAIT exiting",
            11: "RDPMC exiting",
            12: "RDTSC exiting",
            15: "CR3-load exiting",
            16: "CR3-store exiting",
            17: "activate tertiary controls",
            19: "CR8-load exiting",
            20: "CR8-store exiting",
            21: "use TPR shadow",
            22: "NMI-window exiting",
            23: "MOV-DR exiting",
            24: "unconditional I/O exiting",
            25: "use I/O bitmaps",
            27: "monitor trap flag",
            28: "use MSR bitmaps",
            29: "MONITOR exiting",
            30: "PAUSE exiting",
            31: "activate secondary controls",
        },
    ),
    Word(
        "secondary",
        "secondary processor-based VM-execution controls",
        (0x48B,),
        ("SecondaryExec", "Secondary Exec Control", "SecondaryVMExecControl", "secondary"),
        {
            0: "virtualize APIC accesses",
            1: "enable EPT",
            2: "descriptor-table exiting",
            3: "enable RDTSCP",
            4: "virtualize x2APIC mode",
            5: "enable VPID",
            6: "WBINVD exiting",
            7: "unrestricted guest",
            8: "APIC-register virtualization",
            9: "virtual-interrupt delivery",
            10: "PAUSE-loop exiting",
            11: "RDRAND exiting",
            12: "enable INVPCID",
            13: "enable VM functions",
            14: "VMCS shadowing",
            15: "enable ENCLS exiting",
            16: "RDSEED exiting",
            17: "enable PML",
            18: "EPT-violation #VE",
            19: "conceal VMX from PT",
            20: "enable XSAVES/XRSTORS",
            22: "mode-based execute control for EPT",
            23: "sub-page write permissions for EPT",
            24: "Intel PT uses guest physical addresses",
            25: "use TSC scaling",
            26: "enable user wait and pause",
            27: "enable PCONFIG",
            28: "enable ENCLV exiting",
            30: "VMM bus-lock detection",
            31: "instruction timeout",
        },
    ),
    Word(
        "tertiary",
        "tertiary processor-based VM-execution controls",
        (0x492,),
        ("TertiaryExec", "Tertiary Exec Control", "TertiaryVMExecControl", "tertiary"),
        {
            0: "LOADIWKEY exiting",
            1: "enable HLAT",
            2: "EPT paging-write control",
            3: "guest-paging verification",
            4: "IPI virtualization",
            7: "virtualize IA32_SPEC_CTRL",
        },
    ),
    Word(
        "vm_exit",
        "VM-exit controls",
        (0x483, 0x48F),
        ("ExitControls", "VMExit Control", "VMExitControl"),
        {
            2: "save debug controls",
            9: "host address-space size",
            12: "load IA32_PERF_GLOBAL_CTRL",
            15: "acknowledge interrupt on exit",
            18: "save IA32_PAT",
            19: "load IA32_PAT",
            20: "save IA32_EFER",
            21: "load IA32_EFER",
            22: "save VMX-preemption timer value",
            23: "clear IA32_BNDCFGS",
            24: "conceal VMX from PT",
            25: "clear IA32_RTIT_CTL",
            26: "clear IA32_LBR_CTL",
            27: "clear UINV",
            28: "load CET state",
            29: "load PKRS",
            30: "save IA32_PERF_GLOBAL_CTRL",
            31: "activate secondary controls",
        },
    ),
    Word(
        "vm_entry",
        "VM-entry controls",
        (0x484, 0x490),
        ("EntryControls", "VMEntry Control", "VMEntryControl"),
        {
            2: "load debug controls",
            9: "IA-32e mode guest",
            10: "entry to SMM",
            11: "deactivate dual-monitor treatment",
            13: "load IA32_PERF_GLOBAL_CTRL",
            14: "load IA32_PAT",
            15: "load IA32_EFER",
            16: "load IA32_BNDCFGS",
            17: "conceal VMX from PT",
            18: "load IA32_RTIT_CTL",
            19: "load UINV",
            20: "load CET state",
            21: "load guest IA32_LBR_CTL",
            22: "load PKRS",
        },
    ),
)
"""In the order in which Xen reads them at boot."""


def bit_names(word: Word, value: int) -> tuple[str, ...]:
    """Return the names of the bits that are 1; a bit without a name is ``"bit 4"``."""
    return tuple(word.bits.get(bit, f"bit {bit}") for bit in range(64) if value >> bit & 1)


def names_of(text: str) -> Word | None:
    """Return the word that a program calls so; None if no word is called so."""
    plain = text.casefold()
    return next((word for word in WORDS if plain in map(str.casefold, word.printed)), None)
