"""Draw the picture of the front page: one guest's APIC accesses with and without acceleration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xenapic.apic.outcome import Kind, Operation, Outcome, exit_number
from xenapic.apic.processors import processor
from xenapic.apic.registers import Reg, msr_of
from xenapic.apic.state import ApicState
from xenapic.model.named import named_host
from xenapic.model.releases import XEN_RELEASES
from xenapic.policy.outlook import AccessRow, access_rows
from xenapic.policy.plan import Plan, plan
from xenapic.policy.terms import Policy
from xenapic_docs.svg import ARROW, STYLES, arrow, svg, text

READ, WRITE = Operation.READ, Operation.WRITE
PROCESSOR = "skylake-sp"
STATE = ApicState.X2APIC

SHOWN: tuple[tuple[str, Reg, Operation], ...] = (
    ("Read its own APIC ID", Reg.ID, READ),
    ("Set the task priority", Reg.TASKPRI, WRITE),
    ("See interrupts in service", Reg.ISR0, READ),
    ("End an interrupt", Reg.EOI, WRITE),
    ("Interrupt itself", Reg.SELF_IPI, WRITE),
    ("Interrupt another processor", Reg.ICR, WRITE),
    ("Start the timer", Reg.TMICT, WRITE),
    ("Read the timer", Reg.TMCCT, READ),
)
"""What a guest does with its APIC, in words."""


@dataclass(frozen=True)
class Side:
    """One half of the picture: a guest on a host."""

    title: str
    rows: tuple[AccessRow, ...]

    def outcome(self, reg: Reg, operation: Operation) -> Outcome:
        """Return what happens to an access; of several values written, to the first."""
        found = (row.outcome for row in self.rows if (row.register.offset, row.operation) == (reg, operation))
        return next(found)

    def share(self, operation: Operation) -> str:
        """Return how many reads or writes stay in the guest, of those that software may do."""
        kinds = [
            row.outcome.kind
            for row in self.rows
            if row.operation is operation and operation.value[0] in row.register.rights(STATE)
        ]
        return f"{kinds.count(Kind.STAYS)} of {len(kinds)} {operation.value}s"


def sides() -> tuple[Side, Side]:
    """Return both halves: the same guest and processor, with APICv off and on."""
    return _side("APICv off", "apicv=0"), _side("APICv on", "")


def _side(title: str, xen_options: str) -> Side:
    answer = plan(Policy(), named_host(processor(PROCESSOR), XEN_RELEASES[-1], xen_options))
    assert isinstance(answer, Plan)
    return Side(title, tuple(access_rows(answer, STATE)))


LABELS, SIDE, ROW, HEAD = 162.0, 160.0, 36.0, 58.0
WIDTH = LABELS + 2 * SIDE
"""Narrow, so that a telephone shows it at a legible size."""
GUEST, XEN = 18.0, 142.0
"""Where, within a side, the guest's and Xen's lines are."""


def comparison() -> str:
    """Draw both halves, a row for each access and a line with the totals."""
    halves = sides()
    foot = HEAD + ROW * len(SHOWN)
    body = [ARROW]
    for number, (words, reg, operation) in enumerate(SHOWN):
        y = HEAD + ROW * (number + 0.5)
        instruction = f"{'RDMSR' if operation is READ else 'WRMSR'} {msr_of(reg):03X}"
        body += [text(0, y - 1, words, 13), text(0, y + 13, instruction, 10, opacity="0.7")]
    for left, half in zip((LABELS, LABELS + SIDE), halves, strict=True):
        body += _side_drawn(left, half, foot)
    body += [text(0, foot + 24, "Of all registers,", 13), text(0, foot + 42, "stay in the guest:", 13)]
    title = "A guest's accesses to its local APIC in x2APIC mode, with APICv off and on"
    desc = " ".join(
        f"{half.title}: "
        + ", ".join(f"{words.lower()}: {_short(half.outcome(reg, op))}" for words, reg, op in SHOWN)
        + f"; {half.share(READ)} and {half.share(WRITE)} stay in the guest."
        for half in halves
    )
    return svg("comparison", WIDTH, foot + 52, title, desc, body)


def _side_drawn(left: float, half: Side, foot: float) -> Iterator[str]:
    yield text(left + (GUEST + XEN) / 2, 14, half.title, 15, text_anchor="middle", font_weight="bold")
    for x, name in ((GUEST, "guest"), (XEN, "Xen")):
        yield text(left + x, 38, name, 12, text_anchor="middle")
        yield (
            f'<line x1="{left + x:g}" y1="46" x2="{left + x:g}" y2="{foot:g}" stroke="currentColor" '
            'stroke-opacity="0.35" stroke-width="2"/>'
        )
    for number, (_, reg, operation) in enumerate(SHOWN):
        y = HEAD + ROW * (number + 0.5)
        yield from _lane(left, y, half.outcome(reg, operation))
    for line, operation in enumerate((READ, WRITE)):
        y = foot + 24 + 18 * line
        share = half.share(operation)
        yield text(left + (GUEST + XEN) / 2, y, share, 13, text_anchor="middle", font_weight="bold")


def _lane(left: float, y: float, outcome: Outcome) -> Iterator[str]:
    style, stays = STYLES[outcome.kind], outcome.kind is Kind.STAYS
    width = 50.0 if stays else 80.0
    middle = left + (GUEST + 6 + width / 2 if stays else (GUEST + XEN) / 2)
    if not stays:
        yield from arrow(left + GUEST + 2, y, left + XEN - 3, y)
    yield (
        f'<rect x="{middle - width / 2:g}" y="{y - 10:g}" width="{width:g}" height="20" rx="10" '
        f'fill="{style.colour}"/>'
    )
    yield text(middle, y + 4, _short(outcome), 11, text_anchor="middle", fill=style.ink)


def _short(outcome: Outcome) -> str:
    if outcome.reason is None:
        return outcome.kind.value
    return f"VM exit {exit_number(outcome.reason)}"
