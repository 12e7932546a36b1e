"""How Xen uses the processor's APIC controls: for the host, for a domain, for a vCPU.

Xen decides at three times, and each decision is one function here: at boot for all domains
(`host_controls`), at create for a domain (`domain_choice`; only 4.17-rc has a choice), and
for a vCPU whenever the guest's APIC_BASE changes (`vcpu_apic`). What Xen reports to guests and
toolstacks follows from these decisions (`cpuid_leaf`, `arch_capabilities`, `viridian_hints`).

Sources, in Xen: ``vmx_init_vmcs_config``, ``construct_vmcs`` (``xen/arch/x86/hvm/vmx/vmcs.c``),
``vmx_vlapic_msr_changed``, ``vmx_alloc_vlapic_mapping`` (``xen/arch/x86/hvm/vmx/vmx.c``),
``cpuid_hypervisor_leaves`` (``xen/arch/x86/traps.c``, later ``cpuid.c``), ``arch_do_physinfo``
(``xen/arch/x86/sysctl.c``). All are the same in 4.15 to 4.22, except 4.17-rc.
"""

from __future__ import annotations

from enum import IntFlag
from functools import lru_cache

from xenapic.apic.access import access
from xenapic.apic.controls import CONTROLS, Controls
from xenapic.apic.outcome import Backing, MsrBitmap, Operation, SvmControls, VmxExit, bits
from xenapic.apic.registers import Reg
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.model.flags import MISC, PHYSCAP_X86
from xenapic.model.releases import XenRelease

__all__ = [
    "APIC_BITS",
    "INTERCEPT_ALL",
    "SVM",
    "DomainChoice",
    "HvmLeaf",
    "VcpuApic",
    "ViridianHints",
    "arch_capabilities",
    "cpuid_leaf",
    "domain_choice",
    "host_controls",
    "msr_bitmap",
    "page_backing",
    "vcpu_apic",
    "vcpu_apic_svm",
    "viridian_hints",
    "x2apic_assistance",
]

SVM = SvmControls()
"""What every Xen sets on AMD: neither AVIC nor x2AVIC."""


VAA = CONTROLS["virtualize_apic_accesses"][1]
X2APIC_MODE = CONTROLS["virtualize_x2apic_mode"][1]
REGISTERS = CONTROLS["apic_register_virtualization"][1]
DELIVERY = CONTROLS["virtual_interrupt_delivery"][1]
TPR_SHADOW = CONTROLS["tpr_shadow"][1]
CR8_EXITING = CONTROLS["cr8_load_exiting"][1] | CONTROLS["cr8_store_exiting"][1]
MSR_BITMAPS = CONTROLS["msr_bitmaps"][1]
SECONDARY = CONTROLS["secondary_controls"][1]
TERTIARY = CONTROLS["tertiary_controls"][1]
EXTERNAL = CONTROLS["external_interrupt_exiting"][1]
POSTED = CONTROLS["posted_interrupts"][1]


# -- the host ----------------------------------------------------------------------------------------


def host_controls(release: XenRelease, allowed: Controls, *, apicv: bool = True) -> Controls:
    """Return the controls that Xen chooses at boot for all domains.

    ``allowed`` has the bits that the processor allows to be 1 (the capability MSRs'
    allowed-1 half); ``apicv`` is Xen's boot option.
    """
    optional = MSR_BITMAPS | TPR_SHADOW | SECONDARY | (TERTIARY if release.tertiary_controls else 0)
    primary = CR8_EXITING | allowed.primary & optional
    shadow = bool(primary & TPR_SHADOW)
    if shadow:
        primary &= ~CR8_EXITING
    wanted = VAA | (X2APIC_MODE | REGISTERS | DELIVERY if shadow and apicv else 0)
    secondary = allowed.secondary & wanted if primary & SECONDARY else 0
    posted = allowed.pin_based & POSTED if secondary & DELIVERY else 0
    return Controls(EXTERNAL | posted, primary, secondary, 0)


# -- a domain ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DomainChoice:
    """The assistance that a domain gets; an input of `vcpu_apic`."""

    xapic: bool
    """Whether APIC accesses are virtualized while the APIC is in xAPIC mode."""
    x2apic: bool
    """Whether x2APIC mode is virtualized while the APIC is in it."""


def x2apic_assistance(host: Controls) -> bool:
    """Return True if Xen uses x2APIC mode; it also needs one of the two controls that make it useful."""
    return bool(host.secondary & X2APIC_MODE and host.secondary & (REGISTERS | DELIVERY))


def domain_choice(release: XenRelease, host: Controls, misc_flags: int) -> DomainChoice:
    """Return the assistance that a domain gets; only 4.17-rc looks at ``misc_flags``.

    On a host with x2APIC assistance, a released Xen sets 'virtualize APIC accesses' without checking
    that the processor has it (the else branch of ``vmx_vlapic_msr_changed``). All known processors do.
    """
    if release.per_domain_apic:
        return DomainChoice(bool(misc_flags & MISC.ASSISTED_XAPIC), bool(misc_flags & MISC.ASSISTED_X2APIC))
    x2apic = x2apic_assistance(host)
    return DomainChoice(x2apic or bool(host.secondary & VAA), x2apic)


PLAIN_MEMORY_CODE = "apic-defect-memory"
"""The code of the defect that an HVM-type domain without ASSISTED_XAPIC runs into."""
PLAIN_MEMORY = (
    "without it, this Xen leaves plain memory mapped where the guest expects its APIC: nothing intercepts "
    "accesses, there is no interrupt controller behind them, and any guest hangs unless it switches to "
    "x2APIC mode at once"
)
"""What that defect does to such a domain."""
PLAIN_MEMORY_SOURCE = "defect of 4.17-rc, observed on a real Xen"


# -- a vCPU ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VcpuApic:
    """The settings of a vCPU whose APIC is in a given state."""

    state: ApicState
    controls: Controls | SvmControls
    bitmap: MsrBitmap
    backing: Backing
    """What is behind the APIC page where the processor does not virtualize it."""


INTERCEPT_ALL = MsrBitmap()
READ_INTERCEPTED = bits((Reg.PROCPRI, Reg.TMICT, Reg.TMCCT))
"""PPR (80A), TMICT (838) and TMCCT (839), which Xen computes."""
WRITE_OPEN = bits((Reg.TASKPRI, Reg.EOI, Reg.SELF_IPI))
"""TPR (808), EOI (80B) and SELF_IPI (83F), whose writes the processor completes."""


def msr_bitmap(controls: Controls) -> MsrBitmap:
    """Return the bitmap that Xen sets for a vCPU with these controls; it opens in x2APIC mode only."""
    return _x2apic_bitmap(controls.secondary) if controls.secondary & X2APIC_MODE else INTERCEPT_ALL


def _x2apic_bitmap(secondary: int) -> MsrBitmap:
    everything = INTERCEPT_ALL.read
    return MsrBitmap(
        READ_INTERCEPTED if secondary & REGISTERS else everything,
        everything & ~WRITE_OPEN if secondary & DELIVERY else everything,
    )


@lru_cache(maxsize=4096)
def vcpu_apic(host: Controls, choice: DomainChoice, state: ApicState) -> VcpuApic:
    """Return the controls, the MSR bitmap and what is behind the page for an APIC in a state."""
    secondary = host.secondary & ~(X2APIC_MODE | VAA)
    bitmap = INTERCEPT_ALL
    if state is ApicState.X2APIC and choice.x2apic:
        secondary |= X2APIC_MODE
        bitmap = _x2apic_bitmap(secondary)
    elif state in (ApicState.XAPIC, ApicState.X2APIC) and choice.xapic:
        secondary |= VAA
    return VcpuApic(
        state,
        Controls(host.pin_based, host.primary, secondary, host.tertiary),
        bitmap,
        page_backing(bool(host.secondary & VAA), state),
    )


def end_leaves(vcpu: VcpuApic, *, level: bool) -> bool:
    """Return True if the guest's end of an interrupt, its write of EOI, leaves the guest.

    Where the processor completes the write, it exits afterwards (``VIRTUALIZED_EOI``) for the vectors of the
    EOI-exit bitmap. Xen puts each vector there when it is delivered level-triggered, and takes it out when it
    is not: ``vlapic_set_irq`` (``xen/arch/x86/hvm/vlapic.c``), ``vmx_update_eoi_exit_bitmap``.
    """
    end = access(
        vcpu.controls, vcpu.state, vcpu.bitmap, Reg.EOI, Operation.WRITE, value=0, backing=vcpu.backing
    )
    return end.kind.leaves or (level and VmxExit.VIRTUALIZED_EOI in end.may_exit)


def page_backing(virtualizes: bool, state: ApicState) -> Backing:
    """Return what is behind the page where a guest expects its APIC.

    If the host can virtualize APIC accesses, Xen maps a page of memory at the default base in every domain
    (``vmx_alloc_vlapic_mapping``). Only the control 'virtualize APIC accesses' turns that page into an APIC.
    """
    return Backing.MEMORY if virtualizes and state is not ApicState.RELOCATED else Backing.ABSENT


def vcpu_apic_svm(state: ApicState) -> VcpuApic:
    """Return what Xen sets on AMD: it intercepts every access and maps nothing."""
    return VcpuApic(state, SVM, INTERCEPT_ALL, Backing.ABSENT)


# -- what Xen reports --------------------------------------------------------------------------------


class HvmLeaf(IntFlag):
    """``XEN_HVM_CPUID_*``: bits of EAX of the hypervisor leaf base + 4 (``arch-x86/cpuid.h``)."""

    APIC_ACCESS_VIRT = 1 << 0
    X2APIC_VIRT = 1 << 1
    IOMMU_MAPPINGS = 1 << 2
    VCPU_ID_PRESENT = 1 << 3
    DOMID_PRESENT = 1 << 4
    UPCALL_VECTOR = 1 << 6
    """Since 4.17."""


ALWAYS = HvmLeaf.IOMMU_MAPPINGS | HvmLeaf.VCPU_ID_PRESENT | HvmLeaf.DOMID_PRESENT
APIC_BITS = HvmLeaf.APIC_ACCESS_VIRT | HvmLeaf.X2APIC_VIRT
"""The bits about the APIC."""


def cpuid_leaf(release: XenRelease, host: Controls, choice: DomainChoice) -> HvmLeaf:
    """Return what an HVM-type guest reads in EAX of the hypervisor's leaf base + 4, subleaf 0.

    The base is 0x40000000, or 0x40000100 with Viridian. The value depends on the host and the
    domain's flags, never on the mode of the guest's APIC.
    """
    registers, delivery = host.secondary & REGISTERS, host.secondary & DELIVERY
    xapic = choice.xapic if release.per_domain_apic else True
    x2apic = choice.x2apic if release.per_domain_apic else bool(host.secondary & X2APIC_MODE)
    bits = ALWAYS | (HvmLeaf.UPCALL_VECTOR if release.number >= (4, 17) else HvmLeaf(0))
    if registers and xapic:
        bits |= HvmLeaf.APIC_ACCESS_VIRT
    if registers and delivery and x2apic:
        bits |= HvmLeaf.X2APIC_VIRT
    return bits


@dataclass(frozen=True, slots=True)
class ViridianHints:
    """What Viridian's leaves tell a Windows guest about its APIC (``hvm/viridian/viridian.c``).

    They always describe the host: the choice per domain in 4.17-rc never reached them.
    """

    msr_based_apic: bool
    """``CPUID4A_MSR_BASED_APIC``, leaf 0x40000004 EAX bit 3: prefer Viridian's MSRs for EOI, ICR and TPR."""
    apic_overlay: bool
    """``CPUID6A_APIC_OVERLAY``, leaf 0x40000006 EAX bit 0: APIC accesses are virtualized."""


def viridian_hints(host: Controls) -> ViridianHints:
    """Return the hints that a Windows guest gets about its APIC."""
    return ViridianHints(not host.secondary & REGISTERS, bool(host.secondary & VAA))


def arch_capabilities(release: XenRelease, host: Controls) -> PHYSCAP_X86 | None:
    """Return ``physinfo.arch_capabilities``; None if the release has no such field."""
    if not release.has_physinfo_arch_capabilities:
        return None
    word = PHYSCAP_X86(0)
    if release.per_domain_apic and host.secondary & VAA:
        word |= PHYSCAP_X86.ASSISTED_XAPIC
    if release.per_domain_apic and x2apic_assistance(host):
        word |= PHYSCAP_X86.ASSISTED_X2APIC
    return word
