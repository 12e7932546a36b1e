"""Write the glossary, the defects and the processors."""

from __future__ import annotations

from xenapic.apic.brands import NO_ROW
from xenapic.apic.features import feature
from xenapic.apic.processors import PROCESSORS
from xenapic.glossary import Topic, TopicKind, topics
from xenapic.model.defects import DEFECTS, Defect
from xenapic.model.releases import XEN_RELEASES
from xenapic_docs.markdown import DIFFERING, link, sentence, slug, table, topic_label


def glossary() -> str:
    """Return every topic, by kind."""
    parts = []
    for kind in TopicKind:
        found = [topic for topic in topics().values() if topic.kind is kind]
        plural = PLURAL.get(kind, f"{kind.value}s")
        parts.append(f"## {sentence(plural)}\n")
        parts += [_entry(topic) for topic in found]
    return "\n".join(parts)


PLURAL = {
    TopicKind.SETTING: "settings of xl.cfg",
    TopicKind.ELSEWHERE: "names used elsewhere",
    TopicKind.ERRNO: "errnos",
}


def _entry(topic: Topic) -> str:
    name = f"`{topic.name}`" if topic.title == topic.name else f"`{topic.name}` – {topic.title}"
    lines = [f"({topic_label(topic)})=\n**{name}**\n", f"{topic.text}\n"]
    if topic.effect:
        lines.append("\n".join(f"{line}  " for line in topic.effect.splitlines()) + "\n")
    where = "Source" if topic.kind is TopicKind.ELSEWHERE else "Xen"
    for label, text in (("SDM", topic.sdm), (where, topic.xen)):
        if text:
            lines.append(f"*{label}:* {text.removeprefix(label).lstrip()}\n")
    if topic.see:
        lines.append(f"*See:* {', '.join(link(name) for name in topic.see)}\n")
    return "\n".join(lines)


def defects_table() -> str:
    """Return which release has which defect."""
    return table(
        ("defect", *(r.name for r in XEN_RELEASES), "known by"),
        [
            (
                f"[{row.title}](#{slug('defect', row.code)})",
                *("**x**" if r.name in row.releases else "" for r in XEN_RELEASES),
                row.evidence,
            )
            for row in DEFECTS
        ],
    )


def defect_sections() -> str:
    """Return each defect in full."""
    return "\n".join(_defect_section(row) for row in DEFECTS)


def _defect_section(row: Defect) -> str:
    where = ", ".join(row.releases) or "no release since 4.15"
    lines = [
        f"({slug('defect', row.code)})=\n## {row.title}\n",
        f"Code {link(row.code)}. In the .0 of: {where}. {row.points}\n",
        f"{row.effect}\n",
        f"*It takes:* {row.condition}\n",
        f"*Avoid it:* {row.avoid}\n",
        f"*Since* {row.since}; *until* {row.until or 'now'}. *Known by:* {row.evidence}.\n",
        f"*Sources:* {'; '.join([*row.sources, *row.commits])}\n",
    ]
    return "\n".join(lines)


def processors_table(*, emulated: bool) -> str:
    """Return what processors offer: the real ones, or the models of emulators."""
    return table(
        (
            "name",
            "processor",
            "model of" if emulated else "CPUID signature",
            *(feature(key).short for key in OFFERED),
        ),
        [
            (
                f"`{row.name}`",
                row.title,
                row.emulated_by or ", ".join(row.signatures),
                *("yes" if key in row.offers else "?" if key in row.unknown else "–" for key in OFFERED),
            )
            for row in PROCESSORS.values()
            if bool(row.emulated_by) is emulated
        ],
    )


OFFERED = (
    *(key for key in DIFFERING if not key.startswith("cr8_")),
    "ipi_virtualization",
    "avic",
    "x2avic",
)
"""Features in which processors differ."""


def missing_processors() -> str:
    """Return the processors that people have and the table has not, each with the reason."""
    return table(
        ("processor", "CPUID signature", "why it has no row"),
        [(row.title, row.signature, row.why) for row in NO_ROW],
    )


def processor_sources() -> str:
    """Return the source of each processor's row."""
    return table(
        ("name", "source", "notes"),
        [(f"`{row.name}`", row.source, row.notes) for row in PROCESSORS.values()],
    )
