"""A change of Xen that only Bochs needs: its models with posted interrupts start no guest otherwise."""

from __future__ import annotations

from xenapic.proposal.places import How, Patch, Place

__all__ = ["ALIGNED"]

VCPU = ("xen/arch/x86/domain.c", "xen/common/domain.c")
"""Where a vCPU is allocated; the second from 4.22 on."""
VMCS_H = ("xen/arch/x86/include/asm/hvm/vmx/vmcs.h", "xen/include/asm-x86/hvm/vmx/vmcs.h")
"""The second up to 4.16."""


def _swap(file: tuple[str, ...], within: str, expect: str, put: str) -> Place:
    return Place(file, within, How.SWAP, (expect,), put)


ALIGNED = Patch(
    "x86/vmx: align the posted-interrupt descriptor to a page",
    """\
Bochs up to 3.0 fails VM entry unless the address of the descriptor is that
of a page; the processor wants it to be aligned to 64 bytes (SDM, volume 3,
"Checks on VMX Controls").  The structure of a vCPU, which holds it, then no
longer fits into a page.

For an emulator only.""",
    (
        _swap(
            VMCS_H,
            "struct vmx_vcpu",
            "struct pi_desc pi_desc;",
            "struct pi_desc       pi_desc __attribute__((aligned(4096)));",
        ),
        _swap(
            VCPU,
            "alloc_vcpu_struct",
            "BUILD_BUG_ON(sizeof(*v) > PAGE_SIZE);",
            "BUILD_BUG_ON(sizeof(*v) > 8 * PAGE_SIZE);",
        ),
        _swap(VCPU, "alloc_vcpu_struct", "alloc_xenheap_pages(0,", "alloc_xenheap_pages(3,"),
        _swap(VCPU, "alloc_vcpu_struct", "clear_page(v);", "memset(v, 0, 8 * PAGE_SIZE);"),
        _swap(VCPU, "free_vcpu_struct", "free_xenheap_page(v);", "free_xenheap_pages(v, 3);"),
    ),
)
