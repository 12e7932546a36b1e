static void apic_accel_write_pin(const struct domain *d, uint32_t ctl)
{
    if ( !apic_accel(d, POSTED) )
        ctl &= ~PIN_BASED_POSTED_INTERRUPT;

    __vmwrite(PIN_BASED_VM_EXEC_CONTROL, ctl);
}

/* Leave out what is not in force for the domain; the modes come later. */
static void apic_accel_controls(struct vcpu *v)
{
    const struct domain *d = v->domain;

    if ( cpu_has_vmx_tpr_shadow && !apic_accel(d, TPR_SHADOW) )
    {
        v->arch.hvm.vmx.exec_control &= ~CPU_BASED_TPR_SHADOW;
        v->arch.hvm.vmx.exec_control |= CPU_BASED_CR8_LOAD_EXITING |
                                        CPU_BASED_CR8_STORE_EXITING;
    }

    if ( !apic_accel(d, ACCESS_PAGE) )
        v->arch.hvm.vmx.secondary_exec_control &=
            ~SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES;

    if ( !apic_accel(d, REGISTERS) )
        v->arch.hvm.vmx.secondary_exec_control &=
            ~SECONDARY_EXEC_APIC_REGISTER_VIRT;

    if ( !apic_accel(d, DELIVERY) )
        v->arch.hvm.vmx.secondary_exec_control &=
            ~SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY;
}

