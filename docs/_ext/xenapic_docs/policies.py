"""Write the tables about policies: aspects, effects, and refusal codes."""

from __future__ import annotations

from xenapic.apic.features import feature
from xenapic.glossary import TopicKind, topics
from xenapic.glossary.policies import remedies_of
from xenapic.model.evidence import BY_APICV
from xenapic.model.named import first_processor
from xenapic.model.releases import XEN_RELEASES
from xenapic.policy.reasons import Code
from xenapic.policy.terms import EFFECTS, Aspect
from xenapic_docs.markdown import link, sentence, table

RELEASED = XEN_RELEASES[-1]


def aspects_table() -> str:
    """Return the aspects, and where each is available or can be left out."""
    flags = {Aspect.APIC_ACCESSES: "`assisted_xapic`", Aspect.X2APIC_MODE: "`assisted_x2apic`"}
    return table(
        (
            "aspect",
            "SDM name",
            "first processor on which Xen uses it",
            "host-wide switch",
            "choice in 4.17-rc",
        ),
        [
            (
                link(aspect.value),
                aspect.title,
                first_processor(aspect.value).title,
                "`apicv=`" if aspect.value in BY_APICV else "none",
                flags.get(aspect, "–"),
            )
            for aspect in Aspect
        ],
    )


def effects_table() -> str:
    """Return the effects, and the aspects that each needs."""
    return table(
        ("effect", "what the guest gets", "aspects"),
        [
            (
                link(row.name),
                sentence(row.text),
                "; ".join(f"{want.value} {feature(aspect.value).short}" for aspect, want in row.wants),
            )
            for row in EFFECTS
        ],
    )


def codes_table() -> str:
    """Return every code of refusal, with what would remove it."""
    found = remedies_of()
    return table(
        ("code", "why", "what would make it possible"),
        [
            (
                link(code.value),
                topics()[code.value].text if code is not Code.DEFECT_MEMORY else topics()[code.value].title,
                "; ".join(found[code]),
            )
            for code in Code
        ],
    )


def kind_table(kind: TopicKind) -> str:
    """Return all topics of a kind, briefly."""
    return table(("", "meaning"), [(link(t.name), t.text) for t in topics().values() if t.kind is kind])
