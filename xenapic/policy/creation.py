"""What a create does, worked out in one pass without calling Xen: plan, build the request, check it."""

from __future__ import annotations

from xenapic.errors import PolicyRefused
from xenapic.model.conditions import Situation
from xenapic.model.config import DomainConfig
from xenapic.model.create import Creation, prepare_request
from xenapic.policy.plan import Refusal, plan
from xenapic.policy.terms import Policy

__all__ = ["prepare"]


def prepare(config: DomainConfig, situation: Situation, policy: Policy | None = None) -> Creation:
    """Return the request for a config, with every reason against it.

    The policy's plan chooses the assisted flags; without a policy the domain gets the host's default.
    Raises `PolicyRefused` when the policy has no plan on this host.
    """
    if policy is None:
        return prepare_request(config, situation)
    outcome = plan(policy, situation.host, config.guest_type)
    if isinstance(outcome, Refusal):
        raise PolicyRefused(outcome.reasons)
    return prepare_request(config, situation, outcome.misc_flags)
