"""Names of the reasons for VM exits.

Sources: Intel SDM volume 3D, appendix "VMX basic exit reasons"; AMD APM volume 2, appendix
"SVM intercept exit codes" (names without ``VMEXIT_``).
"""

from __future__ import annotations

from xenapic.apic.features import Technology

__all__ = ["reason_name", "reason_number"]

VMX_NAMES = {
    0: "exception or NMI",
    1: "external interrupt",
    2: "triple fault",
    3: "INIT signal",
    4: "start-up IPI",
    5: "I/O SMI",
    6: "other SMI",
    7: "interrupt window",
    8: "NMI window",
    9: "task switch",
    10: "CPUID",
    11: "GETSEC",
    12: "HLT",
    13: "INVD",
    14: "INVLPG",
    15: "RDPMC",
    16: "RDTSC",
    17: "RSM",
    18: "VMCALL",
    19: "VMCLEAR",
    20: "VMLAUNCH",
    21: "VMPTRLD",
    22: "VMPTRST",
    23: "VMREAD",
    24: "VMRESUME",
    25: "VMWRITE",
    26: "VMXOFF",
    27: "VMXON",
    28: "control-register access",
    29: "MOV DR",
    30: "I/O instruction",
    31: "RDMSR",
    32: "WRMSR",
    33: "VM-entry failure: guest state",
    34: "VM-entry failure: MSR loading",
    36: "MWAIT",
    37: "monitor trap flag",
    39: "MONITOR",
    40: "PAUSE",
    41: "VM-entry failure: machine check",
    43: "TPR below threshold",
    44: "APIC access",
    45: "virtualized EOI",
    46: "access to GDTR or IDTR",
    47: "access to LDTR or TR",
    48: "EPT violation",
    49: "EPT misconfiguration",
    50: "INVEPT",
    51: "RDTSCP",
    52: "VMX-preemption timer expired",
    53: "INVVPID",
    54: "WBINVD or WBNOINVD",
    55: "XSETBV",
    56: "APIC write",
    57: "RDRAND",
    58: "INVPCID",
    59: "VMFUNC",
    60: "ENCLS",
    61: "RDSEED",
    62: "page-modification log full",
    63: "XSAVES",
    64: "XRSTORS",
    65: "PCONFIG",
    66: "SPP-related event",
    67: "UMWAIT",
    68: "TPAUSE",
    69: "LOADIWKEY",
    70: "ENCLV",
    72: "ENQCMD PASID translation failure",
    73: "ENQCMDS PASID translation failure",
    74: "bus lock",
    75: "instruction timeout",
    76: "SEAMCALL",
    77: "TDCALL",
}

SVM_SINGLE = {
    0x65: "CR0_SEL_WRITE",
    0x8E: "RDPRU",
    0x8F: "EFER_WRITE_TRAP",
    0xA0: "INVLPGB",
    0xA1: "INVLPGB_ILLEGAL",
    0xA2: "INVPCID",
    0xA3: "MCOMMIT",
    0xA4: "TLBSYNC",
    0x400: "NPF",
    0x401: "AVIC_INCOMPLETE_IPI",
    0x402: "AVIC_NOACCEL",
    0x403: "VMGEXIT",
    0xFFFFFFFF: "INVALID",
}
SVM_RUNS = (
    (0x60, "INTR NMI SMI INIT VINTR"),
    (0x66, "IDTR_READ GDTR_READ LDTR_READ TR_READ IDTR_WRITE GDTR_WRITE LDTR_WRITE TR_WRITE"),
    (0x6E, "RDTSC RDPMC PUSHF POPF CPUID RSM IRET SWINT INVD PAUSE HLT INVLPG INVLPGA IOIO MSR"),
    (0x7D, "TASK_SWITCH FERR_FREEZE SHUTDOWN VMRUN VMMCALL VMLOAD VMSAVE STGI CLGI SKINIT RDTSCP ICEBP"),
    (0x89, "WBINVD MONITOR MWAIT MWAIT_CONDITIONAL XSETBV"),
)
"""Consecutive codes: the first code and the names."""
SVM_NUMBERED = (
    (0x00, 16, "CR{}_READ"),
    (0x10, 16, "CR{}_WRITE"),
    (0x20, 16, "DR{}_READ"),
    (0x30, 16, "DR{}_WRITE"),
    (0x40, 32, "EXCP{}"),
    (0x90, 16, "CR{}_WRITE_TRAP"),
)
"""Codes numbered by register or vector: the first code, how many there are, and the name."""

SVM_NAMES = {
    **SVM_SINGLE,
    **{first + at: name for first, names in SVM_RUNS for at, name in enumerate(names.split())},
    **{first + at: name.format(at) for first, count, name in SVM_NUMBERED for at in range(count)},
}
NAMES = {Technology.VMX: VMX_NAMES, Technology.SVM: SVM_NAMES}


def reason_name(technology: Technology, reason: int) -> str:
    """Return the name of a reason, ``"unknown"`` for one that is not in the manuals."""
    return NAMES[technology].get(reason, "unknown")


def reason_number(technology: Technology, reason: int) -> str:
    """Return the number of a reason as its manual writes it: decimal for VMX, hexadecimal for SVM."""
    return str(reason) if technology is Technology.VMX else f"{reason:#x}"
