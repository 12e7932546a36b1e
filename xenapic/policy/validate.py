"""A host's checks together with those of a policy: what is refused there, what is uncertain, what to do."""

from __future__ import annotations

from collections.abc import Iterator

from xenapic.model.checks import Area, Check, CheckVerdict, check_host
from xenapic.model.guest_types import GuestType
from xenapic.model.host import Host
from xenapic.policy.cautions import Caution, CautionCode
from xenapic.policy.plan import GuestKind, Plan, plan
from xenapic.policy.reasons import Code, Reason
from xenapic.policy.terms import Policy

__all__ = ["check_policy", "validate"]

NEWS = (CautionCode.HOST_WIDE, CautionCode.NO_APIC)
"""Cautions that only inform."""


def validate(
    host: Host, policy: Policy | None = None, guest_type: GuestKind = GuestType.PVH
) -> tuple[Check, ...]:
    """Return every check of a host, and of a policy on it.

    Raises `PolicyInvalid` for an unknown guest type.
    """
    return (*check_host(host), *(() if policy is None else check_policy(policy, host, guest_type)))


def check_policy(policy: Policy, host: Host, guest_type: GuestKind = GuestType.PVH) -> tuple[Check, ...]:
    """Return what becomes of a policy on a host, as checks; raise `PolicyInvalid` as `plan` does."""
    answer = plan(policy, host, guest_type)
    if isinstance(answer, Plan):
        return tuple(_possible(answer))
    return tuple(map(_refused, answer.reasons))


def _possible(answer: Plan) -> Iterator[Check]:
    text = f"the policy has a plan for {answer.guest_type.value} guests"
    yield Check("policy", Area.POLICY, CheckVerdict.PASS, text)
    for caution in answer.warnings:
        if caution.code not in NEWS:
            yield _caution(caution)


def _caution(caution: Caution) -> Check:
    verdict = CheckVerdict.UNKNOWN if caution.code is CautionCode.UNKNOWN else CheckVerdict.WARN
    return Check(
        caution.code.value, Area.POLICY, verdict, caution.text, "", "Run 'xenapic plan' for the details"
    )


def _refused(reason: Reason) -> Check:
    verdict = CheckVerdict.UNKNOWN if reason.code is Code.UNKNOWN else CheckVerdict.FAIL
    advice = " Or: ".join(remedy.text for remedy in reason.remedies)
    text = f"{reason.asked}: {reason.fact}"
    return Check(reason.code.value, Area.POLICY, verdict, text, reason.source, advice.rstrip("."))
