"""Every fragment that a page includes, and the function that makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from xenapic.glossary import TopicKind
from xenapic.model.typical import TYPICAL
from xenapic_docs import (
    change,
    finder,
    hardware,
    observed,
    policies,
    proposal,
    reference,
    releases,
    schemas,
    speed,
    terms,
    toolstacks,
    torture,
    worth,
)
from xenapic_docs.comparison import comparison
from xenapic_docs.decision import diagram
from xenapic_docs.heatmap import heat_map

TABLES: dict[str, Callable[[], str]] = {
    "matrix_x2apic_off": lambda: finder.matrix("assisted_x2apic=0"),
    "matrix_xapic_off": lambda: finder.matrix("assisted_xapic=0"),
    "matrix_x2apic_on": lambda: finder.matrix("assisted_x2apic=1"),
    "which_processor": finder.which_processor,
    "details": finder.details,
    "controls": hardware.controls_table,
    "entry_rules": hardware.entry_rules,
    "page_sets": hardware.page_sets,
    "msr_sets": hardware.msr_sets,
    "access": hardware.access_table,
    "typical": hardware.typical_table,
    "boot": releases.boot_table,
    "states": releases.state_table,
    "told": releases.told_table,
    "xen_releases": releases.release_table,
    "flags": releases.flags_table,
    "aspects": policies.aspects_table,
    "effects": policies.effects_table,
    "codes": policies.codes_table,
    "wants": lambda: policies.kind_table(TopicKind.WANT),
    "warnings": lambda: policies.kind_table(TopicKind.WARNING),
    "outcomes": lambda: policies.kind_table(TopicKind.OUTCOME),
    "completions": lambda: policies.kind_table(TopicKind.COMPLETION),
    "settings": lambda: policies.kind_table(TopicKind.SETTING),
    "options": lambda: policies.kind_table(TopicKind.OPTION),
    "terms": lambda: policies.kind_table(TopicKind.TERM),
    "apic_states": lambda: policies.kind_table(TopicKind.STATE),
    "processors": lambda: terms.processors_table(emulated=False),
    "models": lambda: terms.processors_table(emulated=True),
    "missing_processors": terms.missing_processors,
    "processor_sources": terms.processor_sources,
    "defects": terms.defects_table,
    "defect_sections": terms.defect_sections,
    "glossary": terms.glossary,
    "recordings": observed.recordings_table,
    "coverage": observed.coverage,
    "executed": observed.executed_table,
    "recorded_words": observed.recorded_words,
    "recorded_costs": observed.recorded_costs,
    "proposal_bits": proposal.proposal_bits,
    "proposal_encoding": proposal.proposal_encoding,
    "proposal_counts": proposal.proposal_counts,
    "proposal_states": proposal.proposal_states,
    "proposal_today": proposal.proposal_today,
    "proposal_places": change.proposal_places,
    "proposal_faults": change.proposal_faults,
    "rules": reference.create_rules,
    "features": reference.features,
    "documents": reference.documents,
    "exit_statuses": reference.exit_statuses,
    "document_keys": schemas.document_keys,
    "libraries": reference.libraries,
    "fields": reference.fields,
    "choice": reference.choice_per_domain,
    "errors": reference.errors_table,
    "machines": reference.machines,
    "metrics": reference.metrics,
    "bench_xen": speed.calls,
    "worth_source": worth.source,
    "proposal_seen": worth.proposal_seen,
    "worth_events": worth.events,
    "worth_accesses": worth.accesses,
    "worth_exits": worth.exits,
    "worth_operations": worth.operations,
    "torture": torture.figures,
    "torture_killed": torture.killed,
    "toolstack_fields": toolstacks.keys_with_fields,
    "toolstack_checked": toolstacks.keys_that_are_checked,
    "toolstack_others": toolstacks.other_keys,
    "toolstack_libvirt": toolstacks.libvirt_paths,
    "toolstack_refusals": toolstacks.refusals,
}
"""Markdown by name of the fragment."""


def pictures() -> dict[str, str]:
    """Return every picture, as SVG, by name of the fragment."""
    return {
        "comparison": comparison(),
        "decision": diagram(),
        **{f"heat-{one.name}": heat_map(one) for one in TYPICAL},
    }


def files() -> Iterator[tuple[str, str]]:
    """Yield the file name and the text of every fragment."""
    for name, make in TABLES.items():
        yield f"{name}.md", make()
    for name, picture in pictures().items():
        yield f"{name}.svg", picture


def write(into: Path) -> None:
    """Write every fragment; one that did not change keeps its time stamp, so Sphinx skips its pages."""
    into.mkdir(parents=True, exist_ok=True)
    for name, text in files():
        path = into / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
