"""What a create does, worked out in one pass without calling Xen: plan, build the request, check it."""

from __future__ import annotations

from xenapic.errors import PolicyRefused
from xenapic.model.conditions import Situation
from xenapic.model.config import DomainConfig
from xenapic.model.create import Creation, prepare_request
from xenapic.model.host import Host
from xenapic.policy.plan import Refusal, plan
from xenapic.policy.terms import Policy

__all__ = ["check", "prepare"]


def check(config: DomainConfig, host: Host, policy: Policy | None = None) -> Creation:
    """Return what a host's Xen would say to a create, by every rule and without a Xen.

    `Creation.problems` has every reason why it would refuse, `Creation.depends` the rules whose answer
    depends on what is not known about the host. The domain's number and CPU pool are taken as free and
    present, and the memory as the host's report has it. Raises `PolicyRefused` when the policy has no plan on
    this host, `HostUnknown` for a Xen whose rules are not modelled.
    """
    return prepare(config, Situation(host), policy)


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
