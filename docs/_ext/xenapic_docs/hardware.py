"""Write the tables about the processor: its controls, and which accesses they virtualize."""

from __future__ import annotations

from xenapic.apic.access import access_msr, access_page, virtualized_reads, virtualized_writes
from xenapic.apic.controls import ENTRY_RULES, Controls
from xenapic.apic.features import FEATURES, feature
from xenapic.apic.outcome import Kind, MsrBitmap, Operation, Outcome, exit_number
from xenapic.apic.registers import REGISTERS, SELF_IPI, SLOTS, msr_of
from xenapic.apic.state import ApicState
from xenapic.glossary import topics
from xenapic.glossary.controls import spans
from xenapic.model.typical import TYPICAL
from xenapic.policy.outlook import rows
from xenapic_docs.markdown import link, sentence, shown, table

READ, WRITE = Operation.READ, Operation.WRITE


def controls_table() -> str:
    """Return every control: where it is, and what it does."""
    return table(
        ("control", "field", "bit", "offered in", "effect"),
        [
            (link(row.key, row.name), row.field, row.bit, row.capability, topics()[row.key].effect)
            for row in FEATURES
        ],
    )


def entry_rules() -> str:
    """Return the rules between controls."""
    return table(
        ("code", "VM entry fails unless"),
        [(link(rule.code), sentence(rule.text)) for rule in ENTRY_RULES],
    )


SETS: tuple[tuple[str, ...], ...] = (
    (),
    ("tpr_shadow",),
    ("tpr_shadow", "virtual_interrupt_delivery"),
    ("tpr_shadow", "apic_register_virtualization"),
    ("tpr_shadow", "apic_register_virtualization", "virtual_interrupt_delivery"),
)


def _title(keys: tuple[str, ...]) -> str:
    return ", ".join(feature(key).short for key in keys) or "no TPR shadow"


def page_sets() -> str:
    """Return which accesses to the page are virtualized, by combination of controls."""
    body = []
    for keys in SETS:
        controls = Controls.of("secondary_controls", "virtualize_apic_accesses", *keys)
        reads, writes = virtualized_reads(controls), virtualized_writes(controls)
        body.append(
            (
                _title(keys),
                spans(ApicState.XAPIC, reads) or "none",
                spans(ApicState.XAPIC, writes) or "none",
                *_completed(controls),
            )
        )
    return table(
        (
            "controls, with 'virtualize APIC accesses' 1",
            "reads virtualized",
            "writes virtualized",
            "of the writes, stay",
            "exit after (56)",
        ),
        body,
    )


def _completed(controls: Controls) -> tuple[str, str]:

    ends: dict[bool, list[int]] = {True: [], False: []}
    for offset in sorted(virtualized_writes(controls)):
        outcome = access_page(controls, offset, WRITE, value=SELF_IPI)
        ends[outcome.kind is Kind.STAYS].append(offset)
    return spans(ApicState.XAPIC, ends[True]) or "none", spans(ApicState.XAPIC, ends[False]) or "none"


def msr_sets() -> str:
    """Return which MSR accesses that the bitmap lets through are virtualized, by combination of controls."""
    body = []
    for keys in SETS[1:]:
        controls = Controls.of("secondary_controls", "msr_bitmaps", "virtualize_x2apic_mode", *keys)
        cells = []
        for operation in (READ, WRITE):
            found = [
                offset
                for offset in SLOTS
                if access_msr(controls, MsrBitmap(0, 0), msr_of(offset), operation).kind is not Kind.PHYSICAL
            ]
            cells.append(spans(ApicState.X2APIC, found) or "none")
        body.append((_title(keys), *cells))
    return table(
        ("controls, with 'virtualize x2APIC mode' 1", "RDMSR virtualized", "WRMSR virtualized"), body
    )


def brief(outcome: Outcome) -> str:
    """Return an outcome in a word or two."""
    if outcome.reason is None:
        return outcome.kind.value
    after = " after" if outcome.kind is Kind.EXITS_AFTER else ""
    return f"exit\u00a0{exit_number(outcome.reason)}{after}"


def access_table() -> str:
    """Return every register's accesses in the typical situations."""
    columns = [
        {(r.register.offset, r.operation, r.value): r.outcome for r in rows((one.vcpu,))} for one in TYPICAL
    ]
    body = []
    for offset, row in REGISTERS.items():
        for operation in (READ, WRITE):
            cells = [_outcome_cell(column, offset, operation) for column in columns]
            place = f"{link(row.symbol)} {offset:03X}, {row.msr:03X}"
            body.append((place, operation.value, *cells))
    return table(("register", "", *(number for number, _ in enumerate(TYPICAL, 1))), body)


def _outcome_cell(
    column: dict[tuple[int, Operation, str], Outcome], offset: int, operation: Operation
) -> str:
    found = {value: one for (at, op, value), one in column.items() if (at, op) == (offset, operation)}
    texts = dict.fromkeys(brief(one) for one in found.values())
    if len(texts) > 1:
        return "; ".join(f"{brief(one)} ({value})" for value, one in found.items())
    return next(iter(texts), "–")


def typical_table() -> str:
    """Return what the typical situations are."""
    return table(
        ("", "situation", "who is in it", "controls"),
        [(n, one.title, one.where, shown(one.vcpu.controls)) for n, one in enumerate(TYPICAL, 1)],
    )
