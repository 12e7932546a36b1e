"""What is in force for a domain, against what the model predicts and what the domain was created for."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING

from xenapic.apic.access import access
from xenapic.apic.controls import CONTROLS, Controls
from xenapic.apic.features import Technology
from xenapic.apic.outcome import Kind, Operation
from xenapic.apic.registers import Reg
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.model.acceleration import VcpuApic, msr_bitmap, page_backing, vcpu_apic_svm
from xenapic.model.host import Host
from xenapic.model.info import DomainInfo
from xenapic.model.measured import VcpuControls
from xenapic.policy.outlook import AccessRow, irrelevant_unknowns, possible_vcpus, rows
from xenapic.policy.terms import Aspect, Policy, Want

if TYPE_CHECKING:
    from xenapic.live.xen import Xen

__all__ = ["Inspection", "Kept", "Promise", "VcpuInspection", "inspect", "judge"]


class Kept(Enum):
    """What became of something that a policy asked for."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_NOW = "not now"
    """It shows in another state of the APIC."""


SHOWS_IN = {
    Aspect.APIC_ACCESSES: (ApicState.XAPIC,),
    Aspect.X2APIC_MODE: (ApicState.X2APIC,),
}
"""States in which an aspect shows; the others show in all."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One thing that the domain's policy asked for, and what became of it on a vCPU."""

    asked: str
    kept: Kept


@dataclass(frozen=True, slots=True)
class VcpuInspection:
    """One vCPU: what is in force, and whether it is as it should be."""

    found: VcpuControls
    predicted: tuple[Controls, ...]
    """What the model has for it: one when the host is wholly known, none on AMD."""
    promises: tuple[Promise, ...]
    situation: VcpuApic | None
    """What accesses go by; None when the vCPU has no controls yet."""
    beside: frozenset[str] = frozenset()
    """Keys of controls of which the predictions say nothing."""

    @property
    def agrees(self) -> bool | None:
        """Whether the model predicted it; None where it predicts nothing."""
        controls = self.found.controls
        if controls is None or not self.predicted:
            return None
        found = set(controls.keys) - self.beside
        return any(found == set(one.keys) - self.beside for one in self.predicted)

    @property
    def differences(self) -> tuple[str, ...]:
        """Keys of the controls that are unlike every prediction."""
        controls = self.found.controls
        if self.agrees is not False or controls is None:
            return ()
        return tuple(
            key
            for key in CONTROLS
            if key not in self.beside and all(one.has(key) is not controls.has(key) for one in self.predicted)
        )

    @property
    def plain_memory(self) -> bool:
        """Whether the guest's APIC is plain memory: enabled in xAPIC mode, and nothing behind its page."""
        if self.found.state is not ApicState.XAPIC or self.situation is None:
            return False
        one = self.situation
        found = access(one.controls, one.state, one.bitmap, Reg.LVR, Operation.READ, backing=one.backing)
        return found.kind is Kind.MEMORY

    def accesses(self) -> Iterator[AccessRow]:
        """Yield what becomes of each access; nothing when the vCPU has no controls yet."""
        return rows((self.situation,)) if self.situation else iter(())


@dataclass(frozen=True, slots=True)
class Inspection:
    """A domain's vCPUs, and the policy it was created for, if that is remembered."""

    info: DomainInfo
    policy: Policy | None
    vcpus: tuple[VcpuInspection, ...]

    @property
    def ok(self) -> bool:
        """Whether everything is as the model predicts and the policy asked, and no APIC is plain memory."""
        return not any(
            one.agrees is False
            or one.plain_memory
            or any(promise.kept is Kept.BROKEN for promise in one.promises)
            for one in self.vcpus
        )


def inspect(xen: Xen, domid: int) -> Inspection:
    """Look at a domain, which may be running.

    Raises `DomainNotFound`, and `MeasureFailed` when what is in force cannot be read (a PV
    domain has no local APIC).
    """
    domain = xen.domain(domid)
    return judge(domain.info(), domain.policy(), xen.host(), domain.controls())


def judge(info: DomainInfo, policy: Policy | None, host: Host, found: tuple[VcpuControls, ...]) -> Inspection:
    """Hold what was found against the model and the policy; pure."""
    return Inspection(info, policy, tuple(_vcpu(info, policy, host, one) for one in found))


def _vcpu(info: DomainInfo, policy: Policy | None, host: Host, found: VcpuControls) -> VcpuInspection:
    controls = found.controls
    if host.technology is Technology.SVM:
        return VcpuInspection(found, (), (), vcpu_apic_svm(found.state))
    if controls is None:
        return VcpuInspection(found, (), (), None)
    predicted = tuple(dict.fromkeys(_predicted(info, host, found.state)))
    backing = page_backing(bool(host.features["virtualize_apic_accesses"]), found.state)
    situation = VcpuApic(found.state, controls, msr_bitmap(controls), backing)
    promises = tuple(_promises(policy, found.state, controls))
    return VcpuInspection(found, predicted, promises, situation, irrelevant_unknowns(host))


def _predicted(info: DomainInfo, host: Host, state: ApicState) -> Iterator[Controls]:
    for possible in possible_vcpus(host, int(info.misc_flags), state):
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
