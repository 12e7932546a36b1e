"""Write what each control is worth, and what was verified of the proposal, from recordings (tools)."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from xenapic.apic.registers import OTHER_IPI, SELF_IPI, Reg
from xenapic.apic.state import ApicState
from xenapic.glossary.controls import spans
from xenapic.model.proposal import APIC, CONTROL
from xenapic_docs.markdown import link, table

RECORDED = Path(__file__).parents[2] / "data" / "control-worth.json"
STATES = (ApicState.XAPIC, ApicState.X2APIC)
MODE = {ApicState.XAPIC: "xAPIC", ApicState.X2APIC: "x2APIC"}
EVENTS: tuple[tuple[str, str, int, int | None], ...] = (
    ("EOI", "write", Reg.EOI, 0),
    ("TPR, write", "write", Reg.TASKPRI, 0x20),
    ("TPR, read", "read", Reg.TASKPRI, None),
    ("self-IPI by the ICR", "write", Reg.ICR, SELF_IPI),
    ("self-IPI by MSR 83F", "write", Reg.SELF_IPI, 0xF2),
    ("IPI to another vCPU", "write", Reg.ICR, OTHER_IPI),
    ("arming the timer", "write", Reg.TMICT, 0),
    ("reading the ID", "read", Reg.ID, None),
)
"""What a kernel does often: the access, and the value that it writes."""

Run = dict[str, Any]


@lru_cache(maxsize=1)
def recorded() -> dict[str, Any]:
    """Return the recording."""
    data: dict[str, Any] = json.loads(RECORDED.read_text())
    return data


def _run(off: APIC, state: ApicState) -> Run:
    wanted = [str(off.name)] if off else []
    return next(run for run in recorded()["runs"] if run["off"] == wanted and run["state"] == state.value)


def _recorded_offs() -> list[APIC]:
    return [bit for bit in APIC if any(run["off"] == [bit.name] for run in recorded()["runs"])]


def source() -> str:
    """Return what was recorded, in a sentence."""
    data = recorded()
    machine = f"{data['processor']} of {data['emulator']}"
    return (
        f"Recorded on Xen {data['xen']} with the proposal, on {machine}: the same guest in a domain for "
        "which nothing was asked, and with one control off at a time.\n"
    )


def _title(off: APIC) -> str:
    return f"without {link(CONTROL[off])}" if off else "nothing asked"


def events() -> str:
    """Return for each thing that a kernel does whether it exits, with each control off."""
    body = []
    for off in (APIC(0), *_recorded_offs()):
        for state in STATES:
            body.append((_title(off), MODE[state], *(_exits(_run(off, state), event) for event in EVENTS)))
    return table(("", "mode", *(name for name, *_ in EVENTS)), body)


def _exits(run: Run, event: tuple[str, str, int, int | None]) -> str:
    _name, op, offset, value = event

    def is_it(access: list[Any]) -> bool:
        return access[0] == op and access[1] == offset and value in (None, access[2])

    if any(map(is_it, run["left"])):
        return "1"
    return "0" if any(map(is_it, run["stayed"])) else "–"


def accesses() -> str:
    """Return for each control the accesses that leave the guest without it, and stay with it."""
    body = []
    for off in _recorded_offs():
        for state in STATES:
            base, without = _run(APIC(0), state), _run(off, state)
            cells = []
            for op in ("read", "write"):
                stayed = {tuple(access) for access in base["stayed"] if access[0] == op}
                lost = stayed & {tuple(access) for access in without["left"]}
                cells.append(spans(state, {access[1] for access in lost}) if lost else "none")
            body.append((link(CONTROL[off]), MODE[state], *cells))
    return table(("control", "mode", "reads that stop leaving", "writes that stop leaving"), body)


WORK = {
    "eoi": "a self-IPI, and its EOI",
    "timer": "a timer tick: set, delivered, ended",
    "ipi": "an IPI to the other vCPU, and its EOI",
    "tpr": "a change of the TPR",
    "cr8": "a change of CR8",
}
LEAST = 0.05
"""Exits an operation that are shown; what is rarer comes from the host's scheduling."""
WAITING = "PAUSE"
"""The exit of a vCPU that waits for the other one: how long depends on the emulator."""


def operations() -> str:
    """Return how many exits an operation takes, and which, with each control off."""
    body = []
    for off in (APIC(0), *_recorded_offs()):
        for state in STATES:
            body.append((_title(off), MODE[state], *(_operation(off, state, name) for name in WORK)))
    return table(("", "mode", *WORK.values()), body)


def _operation(off: APIC, state: ApicState, workload: str) -> str:
    wanted = [str(off.name)] if off else [], state.value, workload
    row = next(r for r in recorded()["operations"] if (r["off"], r["state"], r["workload"]) == wanted)
    each = {
        name: count / row["operations"]
        for name, count in sorted(row["exits"].items(), key=lambda pair: -pair[1])
        if name != WAITING and count >= LEAST * row["operations"]
    }
    if not each:
        return "**0**"
    shown = [name if round(share) == 1 else f"{share:.0f} × {name}" for name, share in each.items()]
    return f"**{sum(each.values()):.0f}**: {', '.join(shown)}"


REASONS = (
    "APIC_ACCESS",
    "EPT_VIOLATION",
    "APIC_WRITE",
    "VIRTUALIZED_EOI",
    "RDMSR",
    "WRMSR",
    "INTERRUPT_WINDOW",
)


def exits() -> str:
    """Return the exits of the whole guest by reason."""
    body = []
    for off in (APIC(0), *_recorded_offs()):
        for state in STATES:
            run = _run(off, state)
            counts = [run["exits"].get(reason, 0) for reason in REASONS]
            body.append((_title(off), MODE[state], run["arrived"], *counts, sum(counts)))
    return table(("", "mode", "interrupts that arrived", *(f"`{name}`" for name in REASONS), "sum"), body)


COUNTED = ("sets", "creates", "vmcs", "guests", "pairs", "ipis", "restored")
SEEN = Path(__file__).parents[2] / "data" / "proposal-seen.json"


def proposal_seen() -> str:
    """Return what was verified of the proposal on real Xens (tools/write_seen.py)."""
    rows: list[dict[str, Any]] = json.loads(SEEN.read_text())
    return table(
        (
            *("machine", "Xen", "available", "sets in force", "creates", "VMCSs", "guests"),
            *("guests with two vCPUs", "their IPIs and timers", "APICs restored"),
            *("values that agree", "disagree", "not testable"),
        ),
        [
            (
                f"`{row['machine']}` ({row['emulator']})",
                row["xen"],
                ", ".join(f"`{name}`" for name in row["available"]) or "nothing",
                *(row[key] for key in COUNTED),
                f"{row['agree']:,}",
                "0",
                row["not_testable"],
            )
            for row in rows
        ],
    )
