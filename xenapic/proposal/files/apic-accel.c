/* SPDX-License-Identifier: MIT */
/*
 * The processor's controls for local APICs, per domain: what a domain can
 * have, what it has unless it asks, and what a request makes of that.
 *
 * Everything here works on XEN_X86_APIC_* bits.  What the bits do to a VMCS is
 * next to the VMCS.
 */

#include <xen/errno.h>
#include <xen/lib.h>
#include <xen/sched.h>
#include <public/domctl.h>
#include <asm/hvm/domain.h>
#include <asm/hvm/hvm.h>
#include <asm/hvm/vmx/vmcs.h>

/* Bits without which VM entry fails with these bits. */
static uint32_t needed(uint32_t bits)
{
    uint32_t need = 0;

    if ( bits & XEN_X86_APIC_POSTED )
        need |= XEN_X86_APIC_DELIVERY;

    if ( (bits | need) & (XEN_X86_APIC_REGISTERS | XEN_X86_APIC_DELIVERY |
                          XEN_X86_APIC_X2APIC_MODE) )
        need |= XEN_X86_APIC_TPR_SHADOW;

    return need;
}

uint32_t apic_accel_available(void)
{
    /* These words of the processor make every VMCS, so nothing can disagree. */
    if ( !hvm_enabled )
        return 0;

    return (cpu_has_vmx_tpr_shadow ? XEN_X86_APIC_TPR_SHADOW : 0) |
           (cpu_has_vmx_virtualize_apic_accesses
            ? XEN_X86_APIC_ACCESS_PAGE : 0) |
           (cpu_has_vmx_apic_reg_virt ? XEN_X86_APIC_REGISTERS : 0) |
           (cpu_has_vmx_virtual_intr_delivery ? XEN_X86_APIC_DELIVERY : 0) |
           (cpu_has_vmx_posted_intr_processing ? XEN_X86_APIC_POSTED : 0) |
           (cpu_has_vmx_virtualize_x2apic_mode ? XEN_X86_APIC_X2APIC_MODE : 0);
}

uint32_t apic_accel_default(void)
{
    uint32_t bits = apic_accel_available();

    /* x2APIC mode alone saves the exits of the TPR and of nothing else. */
    if ( !(bits & (XEN_X86_APIC_REGISTERS | XEN_X86_APIC_DELIVERY)) )
        bits &= ~XEN_X86_APIC_X2APIC_MODE;

    return bits;
}

int apic_accel_check(const struct xen_domctl_createdomain *config)
{
    uint32_t on = MASK_EXTR(config->arch.misc_flags, XEN_X86_APIC_ON_MASK);
    uint32_t off = MASK_EXTR(config->arch.misc_flags, XEN_X86_APIC_OFF_MASK);

    if ( !(on | off) )
        return 0;

    if ( !(config->flags & XEN_DOMCTL_CDF_hvm) )
    {
        dprintk(XENLOG_INFO, "APIC controls for a PV domain\n");
        return -EINVAL;
    }

    /* L1's controls are added to those of its own VMCS: not sorted out yet. */
    if ( config->flags & XEN_DOMCTL_CDF_nested_virt )
    {
        dprintk(XENLOG_INFO, "APIC controls and nested virt together\n");
        return -EINVAL;
    }

    if ( on & off )
    {
        dprintk(XENLOG_INFO, "APIC controls on and off: %#x\n", on & off);
        return -EINVAL;
    }

    if ( needed(on) & off )
    {
        dprintk(XENLOG_INFO, "APIC controls off, but needed: %#x\n",
                needed(on) & off);
        return -EINVAL;
    }

    if ( (on | needed(on)) & ~apic_accel_available() )
    {
        dprintk(XENLOG_INFO, "APIC controls on, but not available: %#x\n",
                (on | needed(on)) & ~apic_accel_available());
        return -ENODEV;
    }

    return 0;
}

void apic_accel_init(struct domain *d, uint32_t misc_flags)
{
    uint32_t on = MASK_EXTR(misc_flags, XEN_X86_APIC_ON_MASK);
    uint32_t off = MASK_EXTR(misc_flags, XEN_X86_APIC_OFF_MASK);
    uint32_t possible = (apic_accel_default() | on | needed(on)) &
                        apic_accel_available() & ~off;
    uint32_t bit;

    d->arch.hvm.apic_accel = 0;

    for ( bit = 1; bit & XEN_X86_APIC_ALL; bit <<= 1 )
        if ( (possible & bit) && !(needed(bit) & ~possible) )
            d->arch.hvm.apic_accel |= bit;
}
