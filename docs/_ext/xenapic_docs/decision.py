"""Draw which control decides what happens to an access."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from xenapic.apic.access import virtualized_reads, virtualized_writes
from xenapic.apic.controls import Controls
from xenapic.apic.outcome import Kind, Operation
from xenapic.apic.registers import Reg
from xenapic_docs.svg import ARROW, STYLES, arrow, svg, text

READ, WRITE = Operation.READ, Operation.WRITE


@dataclass(frozen=True)
class Case:
    """An access of a guest, as far as the diagram asks."""

    controls: Controls
    operation: Operation
    offset: int = Reg.TASKPRI
    plain: bool = True
    """A 32-bit aligned access to data."""
    mapped: bool = True
    """Whether memory is behind the page."""
    intercepted: bool = True
    """By the MSR bitmap."""

    def on(self, key: str) -> bool:
        """Return True if a control is 1."""
        return self.controls.has(key)

    def write_of(self, *offsets: int) -> bool:
        """Return True if the access is a write of one of these registers."""
        return self.operation is WRITE and self.offset in offsets

    @property
    def listed(self) -> bool:
        """Whether the SDM's table for these controls has the register."""
        table = virtualized_reads if self.operation is READ else virtualized_writes
        return self.offset in table(self.controls)


@dataclass(frozen=True)
class Step:
    """A question; yes leads to an outcome, no to the next question."""

    question: str
    holds: Callable[[Case], bool]
    end: Kind
    by: str = ""
    """The exit, or what completes it."""


@dataclass(frozen=True)
class Way:
    """A way to the APIC: its questions, and the outcome if every answer is no."""

    title: str
    steps: tuple[Step, ...]
    rest: Step


def _always(_case: Case) -> bool:
    return True


DELIVERY = "virtual_interrupt_delivery"

WAYS = (
    Way(
        "Through the page, in xAPIC mode",
        (
            Step(
                "'virtualize APIC accesses' 0, memory mapped there?",
                lambda c: not c.on("virtualize_apic_accesses") and c.mapped,
                Kind.MEMORY,
                "no APIC behind it",
            ),
            Step(
                "'virtualize APIC accesses' 0?",
                lambda c: not c.on("virtualize_apic_accesses"),
                Kind.EXITS_BEFORE,
                "48 EPT violation",
            ),
            Step(
                "a fetch, unaligned, or wider than 32 bits?",
                lambda c: not c.plain,
                Kind.EXITS_BEFORE,
                "44 APIC access",
            ),
            Step(
                "'use TPR shadow' 0?", lambda c: not c.on("tpr_shadow"), Kind.EXITS_BEFORE, "44 APIC access"
            ),
            Step("080 (TPR)?", lambda c: c.offset == Reg.TASKPRI, Kind.STAYS, "a write may end in 43"),
            Step(
                "delivery 1, and a write of 300 (ICR)?",
                lambda c: c.on(DELIVERY) and c.write_of(Reg.ICR),
                Kind.DEPENDS,
                "a fixed self-IPI stays, else 56",
            ),
            Step(
                "delivery 1, and 0B0 (EOI) or 300?",
                lambda c: c.on(DELIVERY) and c.offset in (Reg.EOI, Reg.ICR),
                Kind.STAYS,
                "EOI may end in 45",
            ),
            Step(
                "registers 0, or register not in its table?",
                lambda c: not c.listed,
                Kind.EXITS_BEFORE,
                "44 APIC access",
            ),
            Step(
                "a write, but not of 310?",
                lambda c: c.operation is WRITE and c.offset != Reg.ICR2,
                Kind.EXITS_AFTER,
                "56 APIC write",
            ),
        ),
        Step("", _always, Kind.STAYS, "the virtual-APIC page"),
    ),
    Way(
        "Through RDMSR and WRMSR of 800 to 8FF, in x2APIC mode",
        (
            Step(
                "MSR bitmap says intercept, or no bitmaps?",
                lambda c: c.intercepted,
                Kind.EXITS_BEFORE,
                "31 or 32",
            ),
            Step(
                "'virtualize x2APIC mode' 0?",
                lambda c: not c.on("virtualize_x2apic_mode"),
                Kind.PHYSICAL,
                "no Xen leaves it so",
            ),
            Step("808 (TPR)?", lambda c: c.offset == Reg.TASKPRI, Kind.STAYS, "a write may end in 43"),
            Step(
                "registers 1, and a read?",
                lambda c: c.on("apic_register_virtualization") and c.operation is READ,
                Kind.STAYS,
                "any MSR, existing or not",
            ),
            Step(
                "delivery 1, and a write of 80B (EOI)?",
                lambda c: c.on(DELIVERY) and c.write_of(Reg.EOI),
                Kind.STAYS,
                "may end in 45",
            ),
            Step(
                "delivery 1, and a write of 83F (self-IPI)?",
                lambda c: c.on(DELIVERY) and c.write_of(Reg.SELF_IPI),
                Kind.DEPENDS,
                "vectors 0 to 15 exit, 56",
            ),
        ),
        Step("", _always, Kind.PHYSICAL, "no Xen leaves it so"),
    ),
    Way(
        "The TPR through CR8, in any mode",
        (
            Step(
                "CR8-load (write), CR8-store (read) exiting 1?",
                lambda c: c.on("cr8_load_exiting" if c.operation is WRITE else "cr8_store_exiting"),
                Kind.EXITS_BEFORE,
                "28 CR access",
            ),
            Step(
                "'use TPR shadow' 0?", lambda c: not c.on("tpr_shadow"), Kind.PHYSICAL, "no Xen leaves it so"
            ),
        ),
        Step("", _always, Kind.STAYS, "a write may end in 43"),
    ),
)
"""'Delivery' is virtual-interrupt delivery, 'registers' APIC-register virtualization."""


def follow(way: Way, case: Case) -> Kind:
    """Return where the diagram leads."""
    return next(step.end for step in (*way.steps, way.rest) if step.holds(case))


BOX, HIGH, GAP, LEAF_X = 330.0, 28.0, 16.0, 400.0

SHORT_WORDS = {
    Kind.STAYS: "stays",
    Kind.DEPENDS: "depends",
    Kind.EXITS_AFTER: "exits after",
    Kind.EXITS_BEFORE: "exits before",
    Kind.MEMORY: "plain memory",
    Kind.PHYSICAL: "physical APIC",
}


def diagram() -> str:
    """Draw which control decides what happens to an access."""
    body: list[str] = [ARROW]
    top = 16.0
    for way in WAYS:
        body.append(text(0, top, way.title, 14, font_weight="bold"))
        top += 12
        for step in way.steps:
            body += [*_question(step, top), *_leaf(step, LEAF_X, top)]
            body += [*_answer(BOX, top + HIGH / 2, LEAF_X - 2, top + HIGH / 2, "yes")]
            body += [*_answer(BOX / 2, top + HIGH, BOX / 2, top + HIGH + GAP - 1, "no")]
            top += HIGH + GAP
        body += _leaf(way.rest, BOX / 2 - 140, top)
        top += HIGH + 34
    desc = " ".join(
        f"{way.title}: "
        + " ".join(f"{step.question} Then {step.end.value} ({step.by})." for step in way.steps)
        + f" Otherwise {way.rest.end.value} ({way.rest.by})."
        for way in WAYS
    )
    return svg(
        "decision", 700, top - 14, "Which control decides what happens to an access to the APIC", desc, body
    )


def _question(step: Step, y: float) -> Iterator[str]:
    yield (
        f'<rect x="0.5" y="{y:g}" width="{BOX:g}" height="{HIGH:g}" rx="5" fill="none" stroke="currentColor" '
        'stroke-opacity="0.6"/>'
    )
    yield text(BOX / 2, y + HIGH / 2 + 4, step.question, 12, text_anchor="middle")


def _leaf(step: Step, x: float, y: float) -> Iterator[str]:
    style = STYLES[step.end]
    yield (
        f'<rect x="{x:g}" y="{y:g}" width="280" height="{HIGH:g}" rx="14" fill="{style.colour}" '
        'stroke="currentColor" stroke-opacity="0.3"/>'
    )
    words = f"{SHORT_WORDS[step.end]} – {step.by}"
    yield text(
        x + 18, y + HIGH / 2 + 4, style.letter, 12, text_anchor="middle", fill=style.ink, font_weight="bold"
    )
    yield text(x + 34, y + HIGH / 2 + 4, words, 12, fill=style.ink)


def _answer(x1: float, y1: float, x2: float, y2: float, word: str) -> Iterator[str]:
    yield from arrow(x1, y1, x2, y2)
    if y1 == y2:
        yield text((x1 + x2) / 2 - 2, y1 - 4, word, 10, text_anchor="middle")
    else:
        yield text(x1 + 8, y2 - 3, word, 10)
