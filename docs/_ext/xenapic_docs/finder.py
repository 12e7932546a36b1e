"""Write the finder: what a setting of xl.cfg does, by release and processor."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

from xenapic.apic.processors import Processor
from xenapic.apic.state import ApicState
from xenapic.model.acceleration import APIC_BITS
from xenapic.model.flags import names
from xenapic.model.named import named_host
from xenapic.model.releases import XEN_RELEASES, XenRelease
from xenapic.policy.finder import SETTINGS, Finding, ProcessorClass, SettingResult, find, processor_classes
from xenapic.policy.outlook import hvm_leaf
from xenapic.policy.plan import Plan, Refusal
from xenapic_docs.markdown import link, slug, table


@lru_cache
def finding(release: XenRelease, row: Processor, setting: str) -> Finding:
    """Return what a setting does on a processor under a release."""
    return find(named_host(row, release), SETTINGS[setting])


BAD_NEWS = (
    SettingResult.INEFFECTIVE,
    SettingResult.EVERY_ACCESS_EXITS,
    SettingResult.PLAIN_MEMORY,
    SettingResult.NOT_OFFERED,
)
"""Results that readers must not miss: their point is in bold."""


def _emphasised(found: Finding) -> str:
    if found.result not in BAD_NEWS:
        return found.text
    if found.result is SettingResult.NOT_OFFERED:
        code, _, rest = found.text.partition(":")
        return f"**{code}**:{rest}"
    start, _, point = found.text.partition(": ")
    return f"{start}: **{point}**"


def detail_label(release: XenRelease, kind: ProcessorClass) -> str:
    """Return the label of the section that has a finding in full."""
    return slug("here", "choice" if release.per_domain_apic else "host wide", kind.name)


def matrix(setting: str) -> str:
    """Return what a setting does: a row for each release, a column for each class of processors."""
    body = [
        [
            link(release.name, release.name),
            *(_matrix_cell(release, kind, setting) for kind in processor_classes()),
        ]
        for release in XEN_RELEASES
    ]
    headers = ["Xen", *(f"[{kind.title}](#{slug('kind', kind.name)})" for kind in processor_classes())]
    return table(headers, body)


def _matrix_cell(release: XenRelease, kind: ProcessorClass, setting: str) -> str:
    text = _emphasised(finding(release, kind.example, setting))
    return f"{text}\u00a0[→](#{detail_label(release, kind)})"


def which_processor() -> str:
    """Return which processor is in which class."""
    parts: list[str] = []
    for kind in processor_classes():
        real = [f"{row.title} (`{row.name}`)" for row in kind.members if not row.emulated_by]
        models = [f"`{row.name}`" for row in kind.members if row.emulated_by]
        lines = [
            f"({slug('kind', kind.name)})=\n**{kind.title}**\n",
            f"{ALSO.get(kind.name, '')}{'; '.join(real) or 'No real processor.'}\n",
            f"Emulators' models: {', '.join(models)}.\n" if models else "",
        ]
        parts += filter(None, lines)
    return "\n".join(parts)


ALSO = {
    "shadow": "Also every other Intel processor, if Xen was booted with `apicv=0`. ",
    "nothing": "32-bit: Xen does not run on it. ",
}


def details() -> str:
    """Return every finding in full: a section for each way of deciding and each class of processors."""
    parts = []
    for choice, kind in product((False, True), processor_classes()):
        release = next(row for row in reversed(XEN_RELEASES) if row.per_domain_apic is choice)
        title = f"{kind.title}, {'4.17-rc' if choice else 'every release except 4.17-rc'}"
        parts.append(f"({detail_label(release, kind)})=\n### {title}\n\n{_detail(release, kind.example)}")
    return "\n".join(parts)


def _detail(release: XenRelease, row: Processor) -> str:
    body = []
    for name, setting in SETTINGS.items():
        found = finding(release, row, name)
        body.append(
            (
                f"`{name}`" if setting.aspect else name,
                _emphasised(found),
                found.stays(ApicState.XAPIC),
                found.stays(ApicState.X2APIC),
                _cpuid(found.in_force),
                _verdict(found.answer),
            )
        )
    headers = (
        "in xl.cfg",
        "what it does",
        "stays in the guest, xAPIC",
        "x2APIC",
        "CPUID base+4",
        "`xenapic plan`",
    )
    command = f"xenapic find assisted_x2apic=0 --processor {row.name} --xen {release.name}"
    return f"{table(headers, body)}\n{_remedies(release, row)}Try: `{command}`\n"


def _cpuid(in_force: Plan | None) -> str:
    if in_force is None:
        return "–"
    bits = hvm_leaf(in_force)
    return "unknown" if bits is None else ", ".join(names(bits & APIC_BITS)) or "neither"


def _verdict(answer: Plan | Refusal) -> str:
    if isinstance(answer, Plan):
        return ", ".join(["plan", *(link(warning.code.value) for warning in answer.warnings)])
    return "refused: " + ", ".join(link(reason.code.value) for reason in answer.reasons)


def _remedies(release: XenRelease, row: Processor) -> str:
    """Return what remains for somebody who wants x2APIC mode off."""
    answer = finding(release, row, "assisted_x2apic=0").answer
    if isinstance(answer, Plan):
        return ""
    remedies = "\n".join(f"- {remedy.text}" for reason in answer.reasons for remedy in reason.remedies)
    return f"Other ways to turn 'virtualize x2APIC mode' off:\n\n{remedies}\n\n"
