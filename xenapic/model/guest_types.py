"""The kinds of guest and how Xen's flags distinguish them.

Xen has PV and HVM-type domains. PVH is an HVM-type domain without the emulated PC. Xen accepts
only the combinations of emulators below (``emulation_flags_ok`` in ``xen/arch/x86/domain.c``).
"""

from __future__ import annotations

from enum import Enum

from xenapic.model.flags import EMU, known_bits

__all__ = ["HVM_EMULATION", "PVH_DOM0_EMULATION", "PVH_EMULATION", "GuestType", "guest_type"]


class GuestType(Enum):
    """The kind of a guest. A PV guest has no local APIC."""

    PV = "pv"
    PVH = "pvh"
    HVM = "hvm"


PVH_EMULATION = EMU.LAPIC
"""What Xen emulates for a PVH guest."""
PVH_DOM0_EMULATION = EMU.LAPIC | EMU.IOAPIC | EMU.VPCI
"""What Xen emulates for a PVH dom0."""
HVM_EMULATION = EMU(known_bits(EMU)) & ~EMU.VPCI
"""What Xen emulates for an HVM guest: everything except VPCI. Since 4.19, USE_PIRQ is optional."""

HVM_ALONE = HVM_EMULATION & ~PVH_DOM0_EMULATION
"""The bits that no PVH domain may have."""


def guest_type(*, hvm: bool, emulation_flags: EMU) -> GuestType:
    """Return the kind of guest; ``hvm`` is the HVM bit of createdomain's or getdomaininfo's flags.

    An HVM-type domain with a bit that only HVM guests may have is HVM; any other is PVH. This rule
    also classifies combinations that Xen refuses: LAPIC|USE_PIRQ is HVM, LAPIC|VPCI and 0 are PVH.
    """
    if not hvm:
        return GuestType.PV
    return GuestType.HVM if emulation_flags & HVM_ALONE else GuestType.PVH
