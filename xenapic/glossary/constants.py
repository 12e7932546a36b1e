"""Names of the controls and registers in the sources of Xen and Linux, and in the manuals' abbreviations.

Xen: ``xen/arch/x86/include/asm/hvm/vmx/vmcs.h``, ``asm/apicdef.h``; Linux: ``arch/x86/include/asm/vmx.h``.
"""

from __future__ import annotations

__all__ = ["OF_CONTROLS", "OF_REGISTERS"]

OF_CONTROLS: dict[str, tuple[str, ...]] = {
    "external_interrupt_exiting": ("PIN_BASED_EXT_INTR_MASK", "PIN_BASED_EXT_INTR_EXITING"),
    "posted_interrupts": (
        "PIN_BASED_POSTED_INTERRUPT",
        "PIN_BASED_POSTED_INTR",
        "cpu_has_vmx_posted_intr_processing",
        "cpu_has_vmx_posted_intr",
        "posted interrupts",
    ),
    "cr8_load_exiting": ("CPU_BASED_CR8_LOAD_EXITING",),
    "cr8_store_exiting": ("CPU_BASED_CR8_STORE_EXITING",),
    "tpr_shadow": ("CPU_BASED_TPR_SHADOW", "cpu_has_vmx_tpr_shadow"),
    "msr_bitmaps": (
        "CPU_BASED_ACTIVATE_MSR_BITMAP",
        "CPU_BASED_USE_MSR_BITMAPS",
        "cpu_has_vmx_msr_bitmap",
    ),
    "secondary_controls": (
        "CPU_BASED_ACTIVATE_SECONDARY_CONTROLS",
        "cpu_has_vmx_secondary_exec_control",
        "cpu_has_secondary_exec_ctrls",
    ),
    "tertiary_controls": (
        "CPU_BASED_ACTIVATE_TERTIARY_CONTROLS",
        "cpu_has_vmx_tertiary_exec_control",
        "cpu_has_tertiary_exec_ctrls",
    ),
    "virtualize_apic_accesses": (
        "SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES",
        "cpu_has_vmx_virtualize_apic_accesses",
    ),
    "virtualize_x2apic_mode": (
        "SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE",
        "cpu_has_vmx_virtualize_x2apic_mode",
    ),
    "apic_register_virtualization": (
        "SECONDARY_EXEC_APIC_REGISTER_VIRT",
        "cpu_has_vmx_apic_reg_virt",
        "cpu_has_vmx_apic_register_virt",
    ),
    "virtual_interrupt_delivery": (
        "SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY",
        "cpu_has_vmx_virtual_intr_delivery",
    ),
    "ipi_virtualization": ("TERTIARY_EXEC_IPI_VIRT", "cpu_has_vmx_ipiv", "IPIv"),
}
"""By the key of a control."""

OF_REGISTERS: dict[str, tuple[str, ...]] = {
    "ID": ("APIC ID", "local APIC ID register"),
    "LVR": ("APIC version", "version register"),
    "TASKPRI": ("TPR", "CR8"),
    "ARBPRI": ("APR",),
    "PROCPRI": ("PPR",),
    "RRR": ("remote read register",),
    "SPIV": ("SVR", "spurious-interrupt vector"),
    "ICR": ("ICR low", "ICR_LO", "IPI register"),
    "ICR2": ("ICR high", "ICR_HI"),
    "LVTT": ("LVT timer", "APIC timer"),
    "LVTTHMR": ("LVT thermal",),
    "LVTPC": ("LVT performance counter", "LVTPMC"),
    "LVT0": ("LINT0",),
    "LVT1": ("LINT1",),
    "LVTERR": ("LVT error",),
    "CMCI": ("LVT CMCI",),
    "TMICT": ("initial count", "TMR_ICR"),
    "TMCCT": ("current count", "TMR_CCR"),
    "TDCR": ("DCR", "divide configuration"),
    "SELF_IPI": ("self IPI",),
}
"""By Xen's name of a register."""
