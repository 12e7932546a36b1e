"""Topics about controls, the rules of VM entry that tie them together, and their capability MSRs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from xenapic.apic.controls import ENTRY_RULES, Controls
from xenapic.apic.features import FEATURES, Feature, Technology, feature
from xenapic.apic.outcome import Kind, Operation
from xenapic.apic.processors import APICV
from xenapic.apic.registers import SLOT_SIZE, msr_of
from xenapic.apic.state import ApicState
from xenapic.glossary import prose
from xenapic.glossary.constants import OF_CONTROLS
from xenapic.glossary.topic import Source, Topic, TopicKind, joined
from xenapic.model.acceleration import domain_choice, host_controls, vcpu_apic
from xenapic.model.releases import XEN_RELEASES, XenRelease
from xenapic.policy.outlook import rows

__all__ = ["SOURCES", "saved_by", "spans"]


def _control(name: str) -> Topic:
    words, row = prose.CONTROLS[name], feature(name)
    return Topic(
        name,
        TopicKind.CONTROL,
        row.name,
        f"{_place(row)} {words.text}",
        joined(words.effect, _savings(row), _ties(name)),
        words.sdm,
        words.xen,
        (*words.see, *_rule_codes(name), *_capability(row)),
        (
            row.name,
            row.name.removeprefix("use "),
            row.name.removeprefix("process "),
            *OF_CONTROLS.get(name, ()),
        ),
    )


def _capability(row: Feature) -> tuple[str, ...]:
    """Return the name of the topic about a control's capability MSRs."""
    return () if row.technology is Technology.SVM else (row.capability.replace(", ", "/"),)


def _place(row: Feature) -> str:
    if row.technology is Technology.SVM:
        return f"AMD; reported in {row.capability}, bit {row.bit}."
    return f"Intel; {row.field} controls, bit {row.bit}; reported in {row.capability}."


def _rule_codes(key: str) -> tuple[str, ...]:
    return tuple(rule.code for rule in ENTRY_RULES if key in (rule.when, rule.key))


def _ties(key: str) -> str:
    texts = [rule.text for rule in ENTRY_RULES if rule.when == key]
    return f"VM entry requires: {'; '.join(texts)}." if texts else ""


# -- accesses that stay because of a control ---------------------------------------------------------

Accesses = dict[tuple[ApicState, Operation], list[int]]
MODES = {ApicState.XAPIC: "xAPIC", ApicState.X2APIC: "x2APIC"}


def _savings(row: Feature) -> str:
    if row.key not in APICV or prose.CONTROLS[row.key].effect:
        return ""
    parts = [
        f"{MODES[state]} {operation.value}s {spans(state, offsets)}"
        for (state, operation), offsets in saved_by(row.key).items()
    ]
    if not parts:
        return "No access stays or exits because of it alone."
    return f"Accesses that stay in the guest with all of APICv, and exit when it is 0: {'; '.join(parts)}."


def saved_by(key: str) -> Accesses:
    """Return the accesses that stay in the guest with all of APICv, and exit when a control is 0.

    Controls that cannot be 1 without it are 0 then too.
    """
    release = XEN_RELEASES[-1]
    with_it = host_controls(release, Controls.of(*APICV))
    without = host_controls(release, Controls.of(*(APICV - _needing(key))))
    saved: Accesses = {}
    for state in MODES:
        pairs = zip(_staying(release, with_it, state), _staying(release, without, state), strict=True)
        for (offset, operation, before), (_, _, after) in pairs:
            if before and not after:
                offsets = saved.setdefault((state, operation), [])
                if offset not in offsets:
                    offsets.append(offset)
    return saved


def _needing(key: str) -> set[str]:
    """Return a control and every control that cannot be 1 without it."""
    needing = {key}
    while more := {rule.when for rule in ENTRY_RULES if rule.value and rule.key in needing} - needing:
        needing |= more
    return needing


def _staying(release: XenRelease, host: Controls, state: ApicState) -> Iterator[tuple[int, Operation, bool]]:
    for row in rows((vcpu_apic(host, domain_choice(release, host, 0), state),)):
        yield row.register.offset, row.operation, row.outcome.kind is Kind.STAYS


def spans(state: ApicState, offsets: Iterable[int]) -> str:
    """Return offsets, or MSRs in x2APIC mode, as text; neighbours become a range."""
    numbers = sorted(msr_of(offset) if state is ApicState.X2APIC else offset for offset in offsets)
    step = 1 if state is ApicState.X2APIC else SLOT_SIZE
    runs = (
        [number for _, number in run]
        for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0] * step)
    )
    return " ".join(f"{run[0]:03X}" if len(run) == 1 else f"{run[0]:03X}-{run[-1]:03X}" for run in runs)


# -- VM entry ----------------------------------------------------------------------------------------


def _entry_rule(name: str) -> Topic:
    rule = {rule.code: rule for rule in ENTRY_RULES}[name]
    return Topic(
        name,
        TopicKind.ENTRY_RULE,
        rule.text,
        f"VM entry checks: {rule.text}. Otherwise it fails, and the guest does not run.",
        sdm='SDM volume 3C, "Checks on VMX controls"',
        see=(rule.when, rule.key),
    )


# -- capability MSRs -----------------------------------------------------------------------------------


def _capabilities() -> dict[str, list[Feature]]:
    """Return the controls that each capability MSR, or pair of MSRs, reports."""
    by_msr: dict[str, list[Feature]] = {}
    for row in FEATURES:
        for name in _capability(row):
            by_msr.setdefault(name, []).append(row)
    return by_msr


def _capability_topic(name: str) -> Topic:
    reported = _capabilities()[name]
    numbers = name.removeprefix("MSR ").split("/")
    controls = ", ".join(f"{row.name} (bit {row.bit})" for row in reported)
    text = f"Reports {controls}. A control can be 1 if the MSR's bit 32 + n is 1 (MSR 492: bit n)."
    if len(numbers) > 1:
        text += " If bit 55 of IA32_VMX_BASIC is 1, the second MSR counts."
    return Topic(
        name,
        TopicKind.CAPABILITY,
        name,
        text,
        "Xen reads it at boot; dom0 cannot read it.",
        'SDM volume 3D, "VMX capability reporting facility"',
        prose.TAKEN,
        tuple(row.key for row in reported),
        tuple(form for number in numbers for form in _hex_forms(int(number, 16))),
    )


def _hex_forms(number: int) -> tuple[str, ...]:
    """Return the ways in which people write a hexadecimal number."""
    return f"0x{number:x}", f"{number:x}", f"{number:x}h"


SOURCES = {
    TopicKind.CONTROL: Source(lambda: [row.key for row in FEATURES], _control),
    TopicKind.ENTRY_RULE: Source(lambda: [rule.code for rule in ENTRY_RULES], _entry_rule),
    TopicKind.CAPABILITY: Source(_capabilities, _capability_topic),
}
