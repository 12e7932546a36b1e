"""``xenapic/host-plan``, ``xenapic/refusal``, ``xenapic/plan``: the result of a policy on a host or a pool.

Each document contains the policy and its hosts, so that reading it gives an equal `Plan`, `Refusal` or
`PoolPlan`. Everything that follows from these (accesses, CPUID) is included for other programs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import ClassVar

from xenapic.apic.state import ApicState
from xenapic.documents.accesses import AccessEntry
from xenapic.documents.file_checks import FileCheckEntry, RequestEntry
from xenapic.documents.host_report import FactEntry, HostReport
from xenapic.errors import DocumentInvalid, PolicyInvalid
from xenapic.frozen import dataclass
from xenapic.model.acceleration import HvmLeaf
from xenapic.model.facts import Answer
from xenapic.model.flags import MISC
from xenapic.model.guest_types import GuestType
from xenapic.parse.jsontext import step, within
from xenapic.policy.cautions import Caution
from xenapic.policy.outlook import access_rows, hvm_leaf, vcpus
from xenapic.policy.plan import Plan, Refusal
from xenapic.policy.pool import PoolPlan
from xenapic.policy.reasons import Code, Reason
from xenapic.policy.remedies import Remedy, RemedyKind
from xenapic.policy.terms import Aspect, Policy, Want
from xenapic.toolstack.check import FileCheck

__all__ = [
    "HostPlan",
    "PlanEntry",
    "PolicyEntry",
    "PoolReport",
    "ReasonEntry",
    "RefusalReport",
    "RefusedEntry",
    "RemedyEntry",
    "StateEntry",
    "WantEntry",
]


@dataclass(frozen=True, slots=True)
class WantEntry:
    """A want for an aspect."""

    aspect: Aspect
    want: Want


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """A policy; the host decides whatever it does not mention."""

    aspects: Mapping[Aspect, Want]
    effects: tuple[str, ...]
    assisted_xapic: bool | None
    assisted_x2apic: bool | None
    guest_x2apic: bool
    """Whether the guest may enter x2APIC mode."""
    accept: tuple[str, ...]
    """Codes of known defects that the plan may hit."""
    also: tuple[WantEntry, ...] = ()
    """Further wants, for aspects that are already in `aspects`."""

    @classmethod
    def of(cls, policy: Policy) -> PolicyEntry:
        """Return the entry of a policy."""
        return cls(
            policy.aspects,
            policy.effects,
            policy.assisted_xapic,
            policy.assisted_x2apic,
            policy.guest_x2apic,
            tuple(sorted(policy.accept)),
            tuple(WantEntry(aspect, want) for aspect, want in policy.also),
        )

    def value(self) -> Policy:
        """Return the policy; raise `DocumentInvalid` for an unknown effect or defect."""
        try:
            return Policy(
                aspects=self.aspects,
                effects=self.effects,
                assisted_xapic=self.assisted_xapic,
                assisted_x2apic=self.assisted_x2apic,
                guest_x2apic=self.guest_x2apic,
                accept=frozenset(self.accept),
                also=tuple((entry.aspect, entry.want) for entry in self.also),
            )
        except PolicyInvalid as error:
            raise DocumentInvalid(str(error), "policy") from None


# -- a plan ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StateEntry:
    """A guest whose APIC is in this state."""

    controls: tuple[str, ...] | None
    """Keys of the controls in force; null if some are unknown."""
    accesses: tuple[AccessEntry, ...]

    @classmethod
    def of(cls, plan: Plan, state: ApicState) -> StateEntry:
        """Return the entry of a plan's state."""
        possible = vcpus(plan, state)
        known = possible[0].controls if len(possible) == 1 else None
        return cls(
            None if known is None else tuple(getattr(known, "keys", ())),
            tuple(map(AccessEntry.of, access_rows(plan, state))),
        )


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """A plan on one host."""

    release: str
    """The release whose rules apply."""
    misc_flags: MISC
    """Bits to set in createdomain's misc_flags."""
    in_force: Mapping[Aspect, FactEntry]
    states: Mapping[ApicState, StateEntry]
    """What happens in each state of the guest's APIC."""
    cpuid_base_4_eax: HvmLeaf | None
    """APIC bits of the hypervisor's CPUID leaf base + 4; null if unknown."""
    warnings: tuple[Caution, ...]
    host: HostReport

    @classmethod
    def of(cls, plan: Plan) -> PlanEntry:
        """Return the entry of a plan."""
        return cls(
            release=plan.release.name,
            misc_flags=plan.misc_flags,
            in_force={aspect: FactEntry.of(fact) for aspect, fact in plan.in_force.items()},
            states={state: StateEntry.of(plan, state) for state in plan.states},
            cpuid_base_4_eax=hvm_leaf(plan),
            warnings=plan.warnings,
            host=HostReport.of(plan.host),
        )

    def plan(self, policy: Policy, guest_type: GuestType) -> Plan:
        """Return the plan; raise `DocumentInvalid` for an unknown release of Xen."""
        in_force = {aspect: fact.value() for aspect, fact in self.in_force.items()}
        with within("host"):
            host = self.host.value()
        return Plan(policy, host, guest_type, self.misc_flags, in_force, self.warnings)


@dataclass(frozen=True, slots=True)
class HostPlan:
    """A policy's plan on a host."""

    SCHEMA: ClassVar[str] = "xenapic/host-plan/1"

    policy: PolicyEntry
    guest_type: GuestType
    plan: PlanEntry

    @classmethod
    def of(cls, plan: Plan) -> HostPlan:
        """Return the document of a plan."""
        return cls(PolicyEntry.of(plan.policy), plan.guest_type, PlanEntry.of(plan))

    def value(self) -> Plan:
        """Return the plan; raise `DocumentInvalid` for an unknown effect, defect or release of Xen."""
        policy = self.policy.value()
        with within("plan"):
            return self.plan.plan(policy, self.guest_type)


# -- a refusal ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RemedyEntry:
    """A way to make the policy possible."""

    kind: RemedyKind
    text: str
    aspect: Aspect | None = None
    value: str = ""
    """The guest type to choose, or the defect to accept."""

    @classmethod
    def of(cls, remedy: Remedy) -> RemedyEntry:
        """Return the entry of a remedy."""
        return cls(remedy.kind, remedy.text, remedy.aspect, remedy.value)

    def remedy(self) -> Remedy:
        """Return the remedy."""
        return Remedy(self.kind, self.aspect, self.text, self.value)


@dataclass(frozen=True, slots=True)
class ReasonEntry:
    """A reason why there is no plan."""

    code: Code
    aspect: Aspect | None
    asked: str
    """The policy's words."""
    fact: str
    """The fact that contradicts it."""
    source: str
    """The source of the fact."""
    remedies: tuple[RemedyEntry, ...]
    errno: int | None = None
    """What Xen would answer to such a create; null where no create could ask for it."""

    @classmethod
    def of(cls, reason: Reason) -> ReasonEntry:
        """Return the entry of a reason."""
        return cls(
            reason.code,
            reason.aspect,
            reason.asked,
            reason.fact,
            reason.source,
            tuple(map(RemedyEntry.of, reason.remedies)),
            reason.errno,
        )

    def reason(self) -> Reason:
        """Return the reason."""
        remedies = tuple(entry.remedy() for entry in self.remedies)
        return Reason(self.code, self.aspect, self.asked, self.fact, self.source, remedies, self.errno)


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """A host without a plan."""

    refused: tuple[ReasonEntry, ...]
    """Every reason."""
    host: HostReport

    @classmethod
    def of(cls, refusal: Refusal) -> RefusedEntry:
        """Return the entry of a refusal."""
        return cls(tuple(map(ReasonEntry.of, refusal.reasons)), HostReport.of(refusal.host))

    def refusal(self, policy: Policy, guest_type: GuestType) -> Refusal:
        """Return the refusal; raise `DocumentInvalid` for an unknown release of Xen."""
        reasons = tuple(entry.reason() for entry in self.refused)
        with within("host"):
            host = self.host.value()
        return Refusal(policy, host, guest_type, reasons)


@dataclass(frozen=True, slots=True)
class RefusalReport:
    """The reasons why a policy has no plan on a host."""

    SCHEMA: ClassVar[str] = "xenapic/refusal/1"

    policy: PolicyEntry
    guest_type: GuestType
    refused: tuple[ReasonEntry, ...]
    """Every reason."""
    host: HostReport

    @classmethod
    def of(cls, refusal: Refusal) -> RefusalReport:
        """Return the document of a refusal."""
        entry = RefusedEntry.of(refusal)
        return cls(PolicyEntry.of(refusal.policy), refusal.guest_type, entry.refused, entry.host)

    def value(self) -> Refusal:
        """Return the refusal; raise `DocumentInvalid` for an unknown effect, defect or release of Xen."""
        return RefusedEntry(self.refused, self.host).refusal(self.policy.value(), self.guest_type)


# -- a pool ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PoolReport:
    """A policy's result on each host of a pool: a plan, or every reason why there is none."""

    SCHEMA: ClassVar[str] = "xenapic/plan/1"

    policy: PolicyEntry
    guest_type: GuestType
    possible: bool
    """Whether there is a plan on every host, and nothing that was checked forbids the domain."""
    holds: Mapping[Aspect, Answer]
    """Aspects that are the same on all hosts with a plan."""
    differs: Mapping[Aspect, Mapping[Answer, tuple[str, ...]]]
    """The other aspects, with the names of the hosts that have each answer."""
    hosts: Mapping[str, PlanEntry | RefusedEntry]
    in_the_way: tuple[tuple[str, ...], ...] = ()
    """The names of the refused hosts, grouped by their reasons, the largest group first."""
    request: RequestEntry | None = None
    """What the toolstack sends to Xen for the configuration; null without one, or if hosts differ."""
    checks: Mapping[str, FileCheckEntry] = field(default_factory=dict)
    """What becomes of the domain's configuration on each host."""

    @classmethod
    def of(cls, pool: PoolPlan, checks: Mapping[str, FileCheck] | None = None) -> PoolReport:
        """Return the document of a pool, and of the checks of a domain's configuration."""
        entries = {name: FileCheckEntry.of(check) for name, check in (checks or {}).items()}
        requests = [entry.request for entry in entries.values()]
        return cls(
            policy=PolicyEntry.of(pool.policy),
            guest_type=pool.guest_type,
            possible=bool(pool) and all(entry.possible for entry in entries.values()),
            holds=pool.holds,
            differs=pool.differs,
            hosts={
                **{name: PlanEntry.of(plan) for name, plan in pool.plans.items()},
                **{name: RefusedEntry.of(refusal) for name, refusal in pool.refusals.items()},
            },
            in_the_way=pool.in_the_way,
            request=requests[0] if requests and requests.count(requests[0]) == len(requests) else None,
            checks=entries,
        )

    def value(self) -> PoolPlan:
        """Return the plans of the pool; raise `DocumentInvalid` for an unknown effect, defect or release."""
        policy, guest_type = self.policy.value(), self.guest_type
        plans: dict[str, Plan] = {}
        refusals: dict[str, Refusal] = {}
        for name, entry in self.hosts.items():
            with within("hosts", step("", name)):
                if isinstance(entry, PlanEntry):
                    plans[name] = entry.plan(policy, guest_type)
                else:
                    refusals[name] = entry.refusal(policy, guest_type)
        return PoolPlan(policy, guest_type, plans, refusals, self.holds, self.differs)
