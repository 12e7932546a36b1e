"""A whole boot log: what the Xen that wrote it uses on its host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xenapic.glossary.pasted.meaning import Meaning

if TYPE_CHECKING:
    from xenapic.model.host import Host

__all__ = ["host_meaning", "logged_host"]

MARK = "Supported advanced features"


def logged_host(text: str) -> Host | None:
    """Return the host whose boot log a text has; None if it has no list of features."""
    if MARK not in text:
        return None
    from xenapic.errors import XenApicError
    from xenapic.model.logged import host_from_log

    try:
        return host_from_log(text, name="the text").host
    except XenApicError:
        return None


def host_meaning(host: Host) -> Meaning:
    """Return what Xen uses on a host, by its boot log."""
    from xenapic.apic.features import FEATURES
    from xenapic.model.facts import Answer

    rows = [row for row in FEATURES if row.technology is host.technology]
    says = {
        answer: [row.name for row in rows if host.features[row.key].answer is answer] for answer in Answer
    }
    lines = [
        f"{label}: {', '.join(says[answer])}."
        for answer, label in (
            (Answer.YES, "Xen uses"),
            (Answer.NO, "Xen does not use"),
            (Answer.UNKNOWN, "Unknown by this log"),
        )
        if says[answer]
    ]
    lines.append("'xenapic host --log FILE' gives the line or the rule behind each.")
    name = host.technology.value if host.technology else "no virtualization"
    return Meaning(
        MARK,
        f"the boot log of a host with {name}: what its Xen uses for guests' APICs",
        "\n".join(lines),
        True,
        "xenapic.host_from_log",
        tuple(row.key for row in rows if host.features[row.key].answer is Answer.YES),
    )
