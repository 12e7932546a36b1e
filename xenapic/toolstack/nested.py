"""What is known of nested virtualization on a host, for a configuration that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

from xenapic.apic.features import Technology
from xenapic.model.exposure import exposures
from xenapic.model.facts import Answer
from xenapic.model.host import Host

__all__ = ["nested_notes"]

WORD = "nested_virt"
AFFECTED = {
    Answer.YES: "nestedhvm is affected by {code}: {title} ({text})",
    Answer.UNKNOWN: "nestedhvm may be affected by {code}: {title} ({text})",
}


def nested_notes(host: Host) -> Iterator[str]:
    """Yield the defects of nested virtualization that affect a host's guests; or that none does, with why."""
    ours = [one for one in exposures(host) if _about_nested(one.defect.needs)]
    affecting = [one for one in ours if one.answer in AFFECTED]
    for one in affecting:
        yield AFFECTED[one.answer].format(code=one.defect.code, title=one.defect.title, text=one.text)
    if affecting:
        return
    if host.technology is Technology.VMX:
        reasons = "; ".join(f"{one.defect.code}: {one.text}" for one in ours)
        yield f"nestedhvm: none of the known defects of its APIC virtualization affects this host ({reasons})"
    else:
        yield "nestedhvm: no known defect of it concerns the APIC on SVM; Xen offers no AVIC to a guest"


def _about_nested(needs: tuple[str, ...]) -> bool:
    return any(WORD in text.split() for text in needs)
