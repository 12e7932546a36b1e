"""A policy over a pool of hosts: what holds on all of them, and which host stands in the way.

A guest that may be moved between hosts (live migration) is only promised what every host does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xenapic.model.facts import Answer
from xenapic.model.flags import MISC
from xenapic.model.guest_types import GuestType
from xenapic.model.host import Host
from xenapic.policy.plan import Plan, Refusal, plan
from xenapic.policy.terms import Aspect, Policy

__all__ = ["PoolPlan", "plan_pool"]


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What became of a policy on each host of a pool."""

    policy: Policy
    guest_type: GuestType
    plans: Mapping[str, Plan]
    refusals: Mapping[str, Refusal]
    """Hosts that stand in the way, with every reason."""
    holds: Mapping[Aspect, Answer]
    """Aspects that are the same wherever there is a plan; what is unknown somewhere is not here."""
    differs: Mapping[Aspect, Mapping[Answer, tuple[str, ...]]]
    """The others: which hosts answer what. A guest that is moved between these sees a change."""

    def __bool__(self) -> bool:
        return bool(self.plans) and not self.refusals

    @property
    def misc_flags(self) -> frozenset[MISC]:
        """The different flags that the hosts need; one where a domain's config is the same on all."""
        return frozenset(one.misc_flags for one in self.plans.values())


def plan_pool(policy: Policy, hosts: Mapping[str, Host], guest_type: GuestType = GuestType.PVH) -> PoolPlan:
    """Plan on every host, named as in ``hosts``."""
    plans: dict[str, Plan] = {}
    refusals: dict[str, Refusal] = {}
    for name, host in hosts.items():
        found = plan(policy, host, guest_type)
        if isinstance(found, Plan):
            plans[name] = found
        else:
            refusals[name] = found
    holds, differs = _compare(plans)
    return PoolPlan(policy, guest_type, plans, refusals, holds, differs)


def _compare(
    plans: Mapping[str, Plan],
) -> tuple[dict[Aspect, Answer], dict[Aspect, Mapping[Answer, tuple[str, ...]]]]:
    holds: dict[Aspect, Answer] = {}
    differs: dict[Aspect, Mapping[Answer, tuple[str, ...]]] = {}
    for aspect in Aspect if plans else ():
        answers = {name: one.in_force[aspect].answer for name, one in plans.items()}
        found = set(answers.values())
        if len(found) == 1 and Answer.UNKNOWN not in found:
            holds[aspect] = found.pop()
        else:
            differs[aspect] = {
                answer: tuple(name for name, its in answers.items() if its is answer) for answer in found
            }
    return holds, differs
