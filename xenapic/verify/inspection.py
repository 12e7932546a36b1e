"""Compare the controls in force for a domain with the model, and with the policy it was created for."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING

from xenapic.apic.access import access
from xenapic.apic.controls import CONTROLS, Controls
from xenapic.apic.features import Technology
from xenapic.apic.outcome import Kind, MsrBitmap, Operation
from xenapic.apic.registers import Reg
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.model import proposal
from xenapic.model.acceleration import VcpuApic, msr_bitmap, page_backing, vcpu_apic_svm
from xenapic.model.apicbits import APIC, in_force_of
from xenapic.model.host import Host
from xenapic.model.info import DomainInfo
from xenapic.model.measured import VcpuControls
from xenapic.policy.outlook import AccessRow, irrelevant_unknowns, possible_vcpus, rows, vcpus_in_force
from xenapic.policy.terms import Aspect, Policy, Want

if TYPE_CHECKING:
    from xenapic.live.xen import Xen

__all__ = ["Inspection", "Kept", "Promise", "VcpuInspection", "compare_controls", "inspect"]


class Kept(Enum):
    """Whether something that a policy asked for is in force."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_NOW = "not now"
    """Not visible in this state of the APIC."""


SHOWS_IN = {
    Aspect.APIC_ACCESSES: (ApicState.XAPIC,),
    Aspect.X2APIC_MODE: (ApicState.X2APIC,),
}
"""States in which an aspect is visible; other aspects are visible in all states."""


@dataclass(frozen=True, slots=True)
class Promise:
    """Something that the domain's policy asked for, and whether it is in force on a vCPU."""

    asked: str
    kept: Kept


@dataclass(frozen=True, slots=True)
class VcpuInspection:
    """What is in force on a vCPU, and what should be."""

    measured: VcpuControls
    predicted: tuple[Controls, ...]
    """What the model predicts: one possibility if the host is completely known, none on AMD."""
    promises: tuple[Promise, ...]
    apic: VcpuApic | None
    """What decides the outcome of accesses; None when the vCPU has no controls yet."""
    irrelevant: frozenset[str] = frozenset()
    """Keys of unknown controls that make no difference; they are not compared."""

    @property
    def agrees(self) -> bool | None:
        """Whether the controls are as predicted; None where the model predicts nothing."""
        controls = self.measured.controls
        if controls is None or not self.predicted:
            return None
        keys = set(controls.keys) - self.irrelevant
        return any(keys == set(possible.keys) - self.irrelevant for possible in self.predicted)

    @property
    def differences(self) -> tuple[str, ...]:
        """Keys of the controls that differ from every prediction."""
        controls = self.measured.controls
        if self.agrees is not False or controls is None:
            return ()
        return tuple(
            key
            for key in CONTROLS
            if key not in self.irrelevant
            and all(possible.has(key) is not controls.has(key) for possible in self.predicted)
        )

    @property
    def plain_memory(self) -> bool:
        """Whether the APIC is in xAPIC mode, but its page is plain memory: no APIC answers."""
        if self.measured.state is not ApicState.XAPIC or self.apic is None:
            return False
        apic = self.apic
        outcome = access(
            apic.controls, apic.state, apic.bitmap, Reg.LVR, Operation.READ, backing=apic.backing
        )
        return outcome.kind is Kind.MEMORY

    def accesses(self) -> Iterator[AccessRow]:
        """Yield the outcome of each access; nothing when the vCPU has no controls yet."""
        return rows((self.apic,)) if self.apic else iter(())


@dataclass(frozen=True, slots=True)
class Inspection:
    """A domain's vCPUs, and the policy it was created for, if one is stored."""

    info: DomainInfo
    policy: Policy | None
    vcpus: tuple[VcpuInspection, ...]
    in_force: APIC | None = None
    """The controls that Xen says are in force for the domain; None where it decides for the host."""

    @property
    def ok(self) -> bool:
        """Whether everything is as the model predicts and the policy asked, and no APIC is plain memory."""
        return not any(
            vcpu.agrees is False
            or vcpu.plain_memory
            or any(promise.kept is Kept.BROKEN for promise in vcpu.promises)
            for vcpu in self.vcpus
        )


def inspect(xen: Xen, domid: int) -> Inspection:
    """Inspect a domain, which may be running.

    Raises `DomainNotFound`, and `MeasureFailed` when the controls cannot be read (a PV domain has no local
    APIC).
    """
    domain = xen.domain(domid)
    return compare_controls(domain.info(), domain.policy(), xen.host(), domain.controls())


def compare_controls(
    info: DomainInfo, policy: Policy | None, host: Host, measured: tuple[VcpuControls, ...]
) -> Inspection:
    """Compare the controls of a domain's vCPUs with the model and the policy; nothing is asked of Xen."""
    in_force = None if host.offer is None else in_force_of(info.misc_flags)
    vcpus = tuple(_vcpu(info, policy, host, vcpu) for vcpu in measured)
    return Inspection(info, policy, vcpus, in_force)


def _vcpu(info: DomainInfo, policy: Policy | None, host: Host, measured: VcpuControls) -> VcpuInspection:
    controls = measured.controls
    if host.technology is Technology.SVM:
        return VcpuInspection(measured, (), (), vcpu_apic_svm(measured.state))
    if controls is None:
        return VcpuInspection(measured, (), (), None)
    predicted = tuple(dict.fromkeys(_predicted(info, host, measured.state)))
    backing = page_backing(_has_page(info, host), measured.state)
    apic = VcpuApic(measured.state, controls, _bitmap(info, host, controls), backing)
    promises = tuple(_promises(policy, measured.state, controls))
    return VcpuInspection(measured, predicted, promises, apic, irrelevant_unknowns(host))


def _has_page(info: DomainInfo, host: Host) -> bool:
    """Return True if Xen maps the APIC page in the domain."""
    if host.offer is not None:
        return APIC.ACCESS_PAGE in in_force_of(info.misc_flags)
    return bool(host.features["virtualize_apic_accesses"])


def _bitmap(info: DomainInfo, host: Host, controls: Controls) -> MsrBitmap:
    if host.offer is not None and controls.has("virtualize_x2apic_mode"):
        return proposal.bitmap(in_force_of(info.misc_flags))
    return msr_bitmap(controls)


def _predicted(info: DomainInfo, host: Host, state: ApicState) -> Iterator[Controls]:
    if host.offer is None:
        vcpus = possible_vcpus(host, int(info.misc_flags), state)
    else:
        vcpus = vcpus_in_force(host, in_force_of(info.misc_flags), state)
    for possible in vcpus:
        if isinstance(possible.controls, Controls):
            yield possible.controls


def _promises(policy: Policy | None, state: ApicState, controls: Controls) -> Iterator[Promise]:
    for aspect, want, words in policy.asked if policy else ():
        if want is Want.PREFER:
            continue
        if state not in SHOWS_IN.get(aspect, tuple(ApicState)):
            yield Promise(words, Kept.NOT_NOW)
            continue
        kept = controls.has(aspect.value) is (want is Want.REQUIRE)
        yield Promise(words, Kept.KEPT if kept else Kept.BROKEN)
