"""A policy for a pool of hosts: what holds on all of them, and which hosts refuse it.

A guest that may migrate between hosts can rely only on what every host does.
"""

from __future__ import annotations

from collections.abc import Mapping

from xenapic.frozen import dataclass
from xenapic.model.facts import Answer
from xenapic.model.flags import MISC
from xenapic.model.guest_types import GuestType
from xenapic.model.host import Host
from xenapic.policy.plan import GuestKind, Plan, Refusal, guest_type_of, plan
from xenapic.policy.terms import Aspect, Policy

__all__ = ["PoolPlan", "plan_pool"]


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """The plan or refusal for each host of a pool. A pool plan is true when every host has a plan."""

    policy: Policy
    guest_type: GuestType
    plans: Mapping[str, Plan]
    refusals: Mapping[str, Refusal]
    """Hosts without a plan, with every reason."""
    holds: Mapping[Aspect, Answer]
    """Aspects that are the same on every host with a plan, and known on all of them."""
    differs: Mapping[Aspect, Mapping[Answer, tuple[str, ...]]]
    """The other aspects: names of the hosts by answer. A guest that migrates between these sees a change."""

    def __bool__(self) -> bool:
        return bool(self.plans) and not self.refusals

    @property
    def in_the_way(self) -> tuple[tuple[str, ...], ...]:
        """The names of the hosts without a plan, in groups that are refused for the same reasons."""
        groups: dict[object, list[str]] = {}
        for name, refusal in self.refusals.items():
            same = tuple(
                (reason.code, reason.asked, reason.fact, reason.remedies) for reason in refusal.reasons
            )
            groups.setdefault(same, []).append(name)
        return tuple(tuple(names) for names in sorted(groups.values(), key=len, reverse=True))

    @property
    def misc_flags(self) -> frozenset[MISC]:
        """The different flag words that the hosts need; a single one fits all hosts with the same config."""
        return frozenset(plan.misc_flags for plan in self.plans.values())


def plan_pool(policy: Policy, hosts: Mapping[str, Host], guest_type: GuestKind = GuestType.PVH) -> PoolPlan:
    """Plan for every host, by its name in ``hosts``; raise `PolicyInvalid` for an unknown guest type."""
    kind = guest_type_of(guest_type)
    plans: dict[str, Plan] = {}
    refusals: dict[str, Refusal] = {}
    for name, host in hosts.items():
        answer = plan(policy, host, kind)
        if isinstance(answer, Plan):
            plans[name] = answer
        else:
            refusals[name] = answer
    holds, differs = _compare(plans)
    return PoolPlan(policy, kind, plans, refusals, holds, differs)


def _compare(
    plans: Mapping[str, Plan],
) -> tuple[dict[Aspect, Answer], dict[Aspect, Mapping[Answer, tuple[str, ...]]]]:
    holds: dict[Aspect, Answer] = {}
    differs: dict[Aspect, Mapping[Answer, tuple[str, ...]]] = {}
    for aspect in Aspect if plans else ():
        answers = {name: plan.in_force[aspect].answer for name, plan in plans.items()}
        distinct = set(answers.values())
        if len(distinct) == 1 and Answer.UNKNOWN not in distinct:
            holds[aspect] = distinct.pop()
        else:
            differs[aspect] = {
                answer: tuple(name for name, given in answers.items() if given is answer)
                for answer in sorted(distinct, key=ORDER.index)
            }
    return holds, differs


ORDER = list(Answer)
