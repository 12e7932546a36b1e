"""Typical situations of a guest's vCPU, from no acceleration to full acceleration.

Each is computed from the features of a processor and the model of Xen; tables, pictures
and explanations use them.
"""

from __future__ import annotations

from xenapic.apic.controls import Controls
from xenapic.apic.processors import APICV, X2APIC
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.model.acceleration import DomainChoice, VcpuApic, domain_choice, host_controls, vcpu_apic
from xenapic.model.releases import DEVELOPMENT, XEN_RELEASES

__all__ = ["TYPICAL", "Typical"]


@dataclass(frozen=True, slots=True)
class Typical:
    """A situation and the vCPU in it."""

    name: str
    title: str
    where: str
    """The hosts and guests that are in it."""
    vcpu: VcpuApic


RELEASED = XEN_RELEASES[-1]
ONLY_THE_PAGE = {"msr_bitmaps", "secondary_controls", "virtualize_apic_accesses"}


def _on(offers: set[str] | frozenset[str], state: ApicState) -> VcpuApic:
    """Return a vCPU under a released Xen on a processor with these features."""
    host = host_controls(RELEASED, Controls.of(*offers))
    return vcpu_apic(host, domain_choice(RELEASED, host, 0), state)


def _without_the_flag() -> VcpuApic:
    host = host_controls(DEVELOPMENT, Controls.of(*APICV))
    return vcpu_apic(host, DomainChoice(xapic=False, x2apic=False), ApicState.XAPIC)


TYPICAL = (
    Typical(
        "xapic-no-shadow",
        "xAPIC without TPR shadow",
        "an Intel processor without TPR shadow; the table has none",
        _on(ONLY_THE_PAGE, ApicState.XAPIC),
    ),
    Typical(
        "xapic-shadow",
        "xAPIC with TPR shadow only",
        "Intel processors without APICv, and any Intel host with apicv=0",
        _on(X2APIC, ApicState.XAPIC),
    ),
    Typical(
        "xapic-apicv",
        "xAPIC with APICv",
        "Intel processors with register virtualization and virtual-interrupt delivery",
        _on(APICV, ApicState.XAPIC),
    ),
    Typical(
        "x2apic-intercepted",
        "x2APIC without assistance",
        "Intel processors without APICv, any Intel host with apicv=0, and 4.17-rc without the x2APIC flag",
        _on(X2APIC, ApicState.X2APIC),
    ),
    Typical(
        "x2apic-apicv",
        "x2APIC with APICv",
        "Intel processors with register virtualization, virtual-interrupt delivery and x2APIC mode",
        _on(APICV, ApicState.X2APIC),
    ),
    Typical(
        "xapic-memory",
        "4.17-rc without the xAPIC flag",
        "4.17.0-rc1 to rc3, an Intel host that can virtualize APIC accesses, a domain without ASSISTED_XAPIC",
        _without_the_flag(),
    ),
)
"""From the least accelerated to the most; the defect comes last."""
