"""``xenapic/inspect``: the controls in force for a domain."""

from __future__ import annotations

from typing import ClassVar

from xenapic.apic.state import ApicState
from xenapic.documents.accesses import AccessEntry
from xenapic.documents.domains import GUEST_NAMES, GuestName
from xenapic.frozen import dataclass
from xenapic.model.apicbits import APIC
from xenapic.model.flags import MISC
from xenapic.verify.inspection import Inspection, Promise, VcpuInspection

__all__ = ["InspectionReport", "VcpuEntry"]


@dataclass(frozen=True, slots=True)
class VcpuEntry:
    """One vCPU."""

    vcpu: int
    apic_state: ApicState
    apic_base: int
    """IA32_APIC_BASE."""
    controls: tuple[str, ...] | None
    """Keys of the controls in force; null when they could not be read."""
    why_not: str | None
    """Why the controls could not be read."""
    as_predicted: bool | None
    """Null where the model predicts nothing."""
    differences: tuple[str, ...]
    """Keys of the controls that differ from every prediction."""
    plain_memory: bool
    """Whether the guest's APIC page is plain memory: no APIC answers."""
    promises: tuple[Promise, ...]
    """What the domain's policy asked for, and whether it is in force."""
    accesses: tuple[AccessEntry, ...]

    @classmethod
    def of(cls, vcpu: VcpuInspection) -> VcpuEntry:
        """Return the entry of a vCPU."""
        controls = vcpu.measured.controls
        return cls(
            vcpu=vcpu.measured.vcpu,
            apic_state=vcpu.measured.state,
            apic_base=vcpu.measured.apic_base,
            controls=None if controls is None else tuple(controls.keys),
            why_not=vcpu.measured.why_not or None,
            as_predicted=vcpu.agrees,
            differences=vcpu.differences,
            plain_memory=vcpu.plain_memory,
            promises=vcpu.promises,
            accesses=tuple(map(AccessEntry.of, vcpu.accesses())),
        )


@dataclass(frozen=True, slots=True)
class InspectionReport:
    """The controls in force for a domain, vCPU by vCPU."""

    SCHEMA: ClassVar[str] = "xenapic/inspect/1"

    domid: int
    type: GuestName
    misc_flags: MISC
    ok: bool
    """Whether everything is as the model predicts and the policy asked, and no APIC page is plain memory."""
    policy: bool
    """Whether the domain was created for a policy."""
    vcpus: tuple[VcpuEntry, ...]
    in_force: APIC | None = None
    """The controls that Xen says are in force; null where it decides for the whole host."""

    @classmethod
    def of(cls, inspection: Inspection) -> InspectionReport:
        """Return the document of an inspection."""
        return cls(
            domid=inspection.info.domid,
            type=GUEST_NAMES[inspection.info.guest_type],
            misc_flags=inspection.info.misc_flags,
            ok=inspection.ok,
            policy=inspection.policy is not None,
            vcpus=tuple(map(VcpuEntry.of, inspection.vcpus)),
            in_force=inspection.in_force,
        )
