"""The page's words: states, interfaces, options, and where in Xen a decision is made. Pure data."""

from __future__ import annotations

from xenapic.apic.state import ApicState
from xenapic.model.emulation import Emulated

__all__ = ["AFTER", "INTERFACES", "OPTIONS", "PLACES", "STATES"]

STATES = {
    ApicState.XAPIC: "xAPIC mode",
    ApicState.X2APIC: "x2APIC mode",
    ApicState.DISABLED: "disabled",
    ApicState.RELOCATED: "xAPIC mode at another address",
}
"""In the order of the choice."""
OPTIONS = ("", "apicv=0")
"""Xen's boot options that change what an access does; `host_controls` looks at no other."""
INTERFACES = {
    "xen": "what this release of Xen does",
    "proposal": "the proposal: a bit for each control",
}
AFTER = {
    Emulated.DONE: "Xen's emulated APIC does it.",
    Emulated.IGNORED: "Xen ignores a write, and a read returns the stored value, usually 0.",
    Emulated.FAULT: "the guest gets #GP(0).",
    Emulated.ABSENT: "no APIC answers; without a device model a read returns all ones.",
}
"""What the guest sees after an exit."""
PLACES = {
    "vmx": (
        "host: vmx_init_vmcs_config (xen/arch/x86/hvm/vmx/vmcs.c); vCPU: construct_vmcs, "
        "vmx_vlapic_msr_changed; page: vmx_alloc_vlapic_mapping (xen/arch/x86/hvm/vmx/vmx.c)"
    ),
    "svm": "construct_vmcb (xen/arch/x86/hvm/svm/vmcb.c): every access is intercepted",
    "proposal": "no Xen does this: xenapic.model.proposal",
    "after": (
        "vlapic_mmio_read, vlapic_mmio_write, vlapic_range, guest_rdmsr_x2apic, guest_wrmsr_x2apic "
        "(xen/arch/x86/hvm/vlapic.c)"
    ),
}
"""Where Xen decides."""
