"""What a plan means for the guest: controls per APIC state, outcome of each access, CPUID bits.

Computed on request, because most callers only want the plan. Where a fact about the host is unknown, all
possibilities are computed: whatever they agree on is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from xenapic.apic.access import access
from xenapic.apic.controls import CONTROLS, Controls, subsets
from xenapic.apic.features import Technology
from xenapic.apic.outcome import Kind, Operation, Outcome
from xenapic.apic.registers import OTHER_IPI, REGISTERS, SELF_IPI, SLOTS, Reg, Register, register
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.model import proposal
from xenapic.model.acceleration import (
    APIC_BITS,
    HvmLeaf,
    VcpuApic,
    cpuid_leaf,
    domain_choice,
    vcpu_apic,
    vcpu_apic_svm,
)
from xenapic.model.apicbits import APIC
from xenapic.model.facts import Answer
from xenapic.model.host import Host
from xenapic.policy.plan import Plan

__all__ = [
    "AccessRow",
    "Share",
    "access_rows",
    "agreed",
    "hvm_leaf",
    "irrelevant_unknowns",
    "possible_controls",
    "possible_hosts",
    "possible_vcpus",
    "register_rows",
    "rows",
    "share",
    "vcpus",
    "vcpus_in_force",
]

VALUES: dict[tuple[ApicState, int], tuple[tuple[str, int], ...]] = {
    (ApicState.XAPIC, Reg.ICR): (("fixed self-IPI", SELF_IPI), ("any other", OTHER_IPI)),
    (ApicState.X2APIC, Reg.SELF_IPI): (("vector 16 or above", 0xF2), ("vector below 16", 0x02)),
}
"""Writes whose outcome depends on the value: a description, and an example of such a value."""


@dataclass(frozen=True, slots=True)
class AccessRow:
    """One access and its outcome."""

    register: Register
    operation: Operation
    value: str
    """Which values, where the outcome depends on the value; otherwise empty."""
    outcome: Outcome


def possible_hosts(host: Host) -> tuple[Controls, ...]:
    """Return the controls that Xen may use: one set when every fact is known, otherwise each possibility."""
    return possible_controls({key: host.features[key].answer for key in CONTROLS})


def possible_controls(answers: Mapping[str, Answer]) -> tuple[Controls, ...]:
    """Return the same from the answers alone, by `Feature.key`; a control that is not named is off."""
    sure = [key for key, answer in answers.items() if answer is Answer.YES]
    open_ = [key for key, answer in answers.items() if answer is Answer.UNKNOWN and key in RELEVANT]
    return tuple(Controls.of(*_activated({*sure, *subset})) for subset in subsets(open_))


def _activated(keys: set[str]) -> set[str]:
    """Add 'activate secondary controls' if a secondary control is in use: it has no effect otherwise."""
    used = any(CONTROLS[key][0] == "secondary" for key in keys)
    return keys | {"secondary_controls"} if used else keys


def irrelevant_unknowns(host: Host) -> frozenset[str]:
    """Return the unknown controls that make no difference to any access or to CPUID."""
    return frozenset(
        key for key in CONTROLS if host.features[key].answer is Answer.UNKNOWN and key not in RELEVANT
    )


RELEVANT = (
    "tpr_shadow",
    "virtualize_apic_accesses",
    "virtualize_x2apic_mode",
    "apic_register_virtualization",
    "virtual_interrupt_delivery",
    "posted_interrupts",
    "msr_bitmaps",
)
"""Controls that make a difference to accesses or to CPUID."""


def vcpus(plan: Plan, state: ApicState) -> tuple[VcpuApic, ...]:
    """Return what the VMCS says for a vCPU in a state: one when all is known, otherwise each possibility.

    Raises ValueError for a state that the guest cannot be in (a PV guest has no APIC).
    """
    if not plan.states or (state is ApicState.X2APIC and state not in plan.states):
        raise ValueError(f"a {plan.guest_type.value} guest of this plan is never in state {state.value}")
    if plan.host.technology is not Technology.VMX:
        return (vcpu_apic_svm(state),)
    if plan.effective is not None:
        return vcpus_in_force(plan.host, plan.effective, state)
    return possible_vcpus(plan.host, plan.misc_flags, state)


def vcpus_in_force(host: Host, effective: APIC, state: ApicState) -> tuple[VcpuApic, ...]:
    """Return each possibility for a vCPU of a domain that chose its controls, with these in force."""
    return tuple(
        dict.fromkeys(proposal.vcpu(controls, effective, state) for controls in possible_hosts(host))
    )


def possible_vcpus(host: Host, misc_flags: int, state: ApicState) -> tuple[VcpuApic, ...]:
    """Return each possibility for a vCPU of a domain with these flags on a host with VMX."""
    situations = [
        vcpu_apic(controls, domain_choice(host.release, controls, misc_flags), state)
        for controls in possible_hosts(host)
    ]
    return tuple(dict.fromkeys(situations))


def access_rows(plan: Plan, state: ApicState, *, everything: bool = False) -> Iterator[AccessRow]:
    """Yield the outcome of each access in a state: reads, then writes, by register.

    With ``everything``, reserved slots are included: the complete page, or every MSR from 800H to 8FFH.
    """
    return rows(vcpus(plan, state), everything=everything)


def rows(possible: tuple[VcpuApic, ...], *, everything: bool = False) -> Iterator[AccessRow]:
    """Yield the rows for a vCPU that is in one of these situations."""
    state = possible[0].state
    offsets = SLOTS if everything else [offset for offset, row in REGISTERS.items() if row.rights(state)]
    yield from _rows(possible, offsets)


def register_rows(possible: tuple[VcpuApic, ...], offset: int) -> Iterator[AccessRow]:
    """Yield the rows of one register, or reserved place, for a vCPU that is in one of these situations."""
    row = register(offset)
    if offset not in REGISTERS or row.rights(possible[0].state):
        yield from _rows(possible, (offset,))


def _rows(possible: tuple[VcpuApic, ...], offsets: Iterable[int]) -> Iterator[AccessRow]:
    state = possible[0].state
    for operation in (Operation.READ, Operation.WRITE):
        for offset in offsets:
            variants = VALUES.get((state, offset), NO_VARIANT) if operation is Operation.WRITE else NO_VARIANT
            for words, value in variants:
                outcome = _agreed(possible, offset, operation, value)
                yield AccessRow(register(offset), operation, words, outcome)


NO_VARIANT: tuple[tuple[str, int | None], ...] = (("", None),)


def _agreed(possible: tuple[VcpuApic, ...], offset: int, operation: Operation, value: int | None) -> Outcome:
    outcomes = {
        access(vcpu.controls, vcpu.state, vcpu.bitmap, offset, operation, value=value, backing=vcpu.backing)
        for vcpu in possible
    }
    return agreed(outcomes)


def agreed(outcomes: set[Outcome]) -> Outcome:
    """Return the outcome that all possibilities agree on; otherwise an unknown one that names them."""
    if len(outcomes) == 1:
        return next(iter(outcomes))
    kinds = sorted({outcome.kind.value for outcome in outcomes})
    return Outcome(Kind.UNKNOWN, note=f"depends on unknown facts about the host: {' or '.join(kinds)}")


@dataclass(frozen=True, slots=True)
class Share:
    """How many of the accesses of one kind, read or write, stay in the guest."""

    stays: int
    allowed: int
    """How many the architecture allows."""
    unknown: int
    """How many may stay or leave, because facts about the host are unknown."""
    memory: bool
    """Whether any of them reaches plain memory instead of an APIC."""

    def __str__(self) -> str:
        if self.memory:
            return "plain memory"
        unknown = f", {self.unknown} unknown" if self.unknown else ""
        return f"{self.stays} of {self.allowed}{unknown}"


def share(accesses: Iterable[AccessRow], state: ApicState, operation: Operation) -> Share:
    """Count the accesses of one operation that the architecture allows in a state."""
    kinds = [
        row.outcome.kind
        for row in accesses
        if row.operation is operation and operation.value[0] in row.register.rights(state)
    ]
    return Share(
        stays=kinds.count(Kind.STAYS),
        allowed=len(kinds),
        unknown=kinds.count(Kind.UNKNOWN),
        memory=Kind.MEMORY in kinds,
    )


def hvm_leaf(plan: Plan) -> HvmLeaf | None:
    """Return the APIC bits of the hypervisor's CPUID leaf base + 4; None when they are not known."""
    if plan.effective is not None:
        return proposal.leaf(plan.effective)
    vmx = plan.host.technology is Technology.VMX
    hosts = possible_hosts(plan.host) if vmx else (Controls(),)
    words = {
        cpuid_leaf(plan.release, host, domain_choice(plan.release, host, plan.misc_flags)) & APIC_BITS
        for host in hosts
    }
    return words.pop() if len(words) == 1 else None
