"""Topics about policies: wants, effects, codes of refusals and of warnings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import product

from xenapic.apic.processors import PROCESSORS
from xenapic.glossary import prose
from xenapic.glossary.topic import Source, Topic, TopicKind
from xenapic.model.facts import unknown
from xenapic.model.flags import PHYSCAP
from xenapic.model.guest_types import GuestType
from xenapic.model.host import Host
from xenapic.model.named import named_host
from xenapic.model.releases import DEVELOPMENT, XEN_RELEASES
from xenapic.policy.cautions import CautionCode
from xenapic.policy.plan import Refusal, plan
from xenapic.policy.reasons import Code
from xenapic.policy.terms import EFFECTS, Aspect, Policy, Want, effect

__all__ = ["SOURCES", "remedies_of"]


def _want(name: str) -> Topic:
    return Topic(name, TopicKind.WANT, f"policy: {name}", prose.WANTS[name], see=("aspect",))


def _effect(name: str) -> Topic:
    row = effect(name)
    aspects = ", ".join(f"{want.value} '{aspect.title}'" for aspect, want in row.wants)
    return Topic(
        name,
        TopicKind.EFFECT,
        row.text,
        f"{row.text[:1].upper()}{row.text[1:]}. As aspects: {aspects}.",
        see=tuple(aspect.value for aspect, _want in row.wants),
    )


def _refusal(name: str) -> Topic:
    code = Code(name)
    return Topic(
        name,
        TopicKind.REFUSAL,
        f"refused: {name}",
        prose.REFUSALS[name],
        f"What would make it possible: {'; '.join(remedies_of()[code])}.",
        see=("plan", "aspect"),
        aliases=(f"Code.{code.name}",),
    )


def _caution(name: str) -> Topic:
    return Topic(
        name,
        TopicKind.WARNING,
        f"warning: {name}",
        prose.CAUTIONS[name],
        "The plan stands.",
        see=("plan",),
        aliases=(f"CautionCode.{CautionCode(name).name}",),
    )


# -- remedies ------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def remedies_of() -> dict[Code, tuple[str, ...]]:
    """Return the kinds of remedies for each code, collected from policies that are refused with it."""
    remedies: dict[Code, dict[str, None]] = {code: {} for code in Code}
    for policy, host, guest_type in _refused():
        answer = plan(policy, host, guest_type)
        for reason in answer.reasons if isinstance(answer, Refusal) else ():
            remedies[reason.code].update(dict.fromkeys(remedy.kind.value for remedy in reason.remedies))
    return {code: tuple(kinds) for code, kinds in remedies.items()}


NOT_KNOWN = unknown("an example", "xenapic host --measure")


def _refused() -> Iterator[tuple[Policy, Host, GuestType]]:
    """Yield arguments of `plan` that are refused, at least one for every code."""
    full, small, amd = (PROCESSORS[name] for name in ("sapphire-rapids-sp", "westmere", "zen4"))
    newest = XEN_RELEASES[-1]
    hosts = [named_host(row, release) for row in (full, small, amd) for release in (newest, DEVELOPMENT)]
    hosts += [named_host(row, newest, proposal=True) for row in (full, small)]
    hosts.append(named_host(full, newest, "apicv=0"))
    hosts.append(replace(hosts[0], features=dict.fromkeys(hosts[0].features, NOT_KNOWN)))
    hosts.append(replace(hosts[0], physinfo=replace(hosts[0].physinfo, capabilities=PHYSCAP.pv)))
    policies = [Policy(dict.fromkeys(Aspect, want)) for want in (Want.REQUIRE, Want.FORBID)]
    policies.append(replace(policies[0], guest_x2apic=False))
    policies.append(replace(policies[0], assisted_xapic=False))
    policies.append(Policy({Aspect.DELIVERY: Want.REQUIRE, Aspect.TPR_SHADOW: Want.FORBID}))
    yield from product(policies, hosts, (GuestType.PVH, GuestType.PV))


SOURCES = {
    TopicKind.WANT: Source(prose.WANTS.keys, _want),
    TopicKind.EFFECT: Source(lambda: [row.name for row in EFFECTS], _effect),
    TopicKind.REFUSAL: Source(prose.REFUSALS.keys, _refusal),
    TopicKind.WARNING: Source(prose.CAUTIONS.keys, _caution),
}
"""The code of the plain-memory defect has no topic here: the defect's own topic explains it."""
