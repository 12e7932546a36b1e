"""Draw the specification's pictures as SVG, from the functions that decide.

The pictures stand inline in the page, so that they take its colour for text in light and dark. The colours
of outcomes are the Okabe-Ito palette, which colour-blind readers can tell apart; every cell has a letter too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from xenapic.apic.access import Kind, Operation, Outcome, access, virtualized_reads, virtualized_writes
from xenapic.apic.controls import Controls
from xenapic.apic.registers import SLOT_SIZE, SLOTS, Reg, msr_of, register
from xenapic.apic.state import ApicState
from xenapic.model.acceleration import VcpuApic
from xenapic.model.typical import TYPICAL, Typical
from xenapic.policy.outlook import VALUES

READ, WRITE = Operation.READ, Operation.WRITE


@dataclass(frozen=True)
class Style:
    """How an outcome is shown."""

    letter: str
    colour: str
    ink: str
    words: str


STYLES = {
    Kind.STAYS: Style("S", "#009E73", "#000", "stays in the guest"),
    Kind.DEPENDS: Style("D", "#56B4E9", "#000", "depends on the value: stays, or exits after"),
    Kind.EXITS_AFTER: Style("A", "#F0E442", "#000", "exits after the write (trap-like)"),
    Kind.EXITS_BEFORE: Style("X", "#D55E00", "#000", "exits before (fault-like)"),
    Kind.MEMORY: Style("M", "#CC79A7", "#000", "plain memory, no APIC"),
    Kind.PHYSICAL: Style("P", "#000000", "#fff", "the processor's own APIC"),
    Kind.FAULTS: Style("F", "#0072B2", "#fff", "#GP(0) without an exit"),
    Kind.UNKNOWN: Style("?", "#999999", "#000", "unknown"),
}


def svg(name: str, width: float, height: float, title: str, desc: str, body: Iterable[str]) -> str:
    """Return a picture with what a screen reader says of it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="spec-picture" viewBox="0 0 {width:g} {height:g}" '
        f'role="img" aria-labelledby="{name}-title {name}-desc" font-family="sans-serif" fill="currentColor" '
        f'style="max-width:100%;height:auto;color:inherit">\n'
        f'<title id="{name}-title">{escape(title)}</title>\n<desc id="{name}-desc">{escape(desc)}</desc>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def text(x: float, y: float, words: str, size: float = 11, **attributes: str) -> str:
    """Return a line of text."""
    more = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in attributes.items())
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}"{more}>{escape(words)}</text>'


# -- heat maps ---------------------------------------------------------------------------------------

CELL, TALL, LOW, LEFT = 44.0, 27.0, 13.0, 42.0
COLUMNS = 16
TALL_ROWS = 4
"""The rows 000 to 3F0 have registers, the others none."""


def outcome(vcpu: VcpuApic, offset: int, operation: Operation) -> Outcome:
    """Return what becomes of an access; where it hangs on the value, that it does."""
    values: list[int | None] = (
        [value for _, value in VALUES.get((vcpu.state, offset), ())] if operation is WRITE else []
    )
    found = {
        access(vcpu.controls, vcpu.state, vcpu.bitmap, offset, operation, value=value, backing=vcpu.backing)
        for value in values or [None]
    }
    if len(found) == 1:
        return found.pop()
    return Outcome(Kind.DEPENDS, note=" or ".join(sorted(str(one) for one in found)))


def heat_map(one: Typical) -> str:
    """Draw what becomes of reads and writes of all 256 places of a register in one situation."""
    body: list[str] = []
    counts = {}
    top = 14.0
    for operation in (READ, WRITE):
        found = {offset: outcome(one.vcpu, offset, operation) for offset in SLOTS}
        counts[operation] = {kind: sum(o.kind is kind for o in found.values()) for kind in STYLES}
        where = "MSR" if one.vcpu.state is ApicState.X2APIC else "offset in the page"
        body.append(text(0, top + 2, f"{operation.value.capitalize()}s", 14, font_weight="bold"))
        body.append(text(LEFT + 24, top + 2, f"by {where}: row and column together", 10, opacity="0.75"))
        top += 10
        body += _columns(top + 8, one.vcpu.state)
        top += 12
        for row in range(16):
            height = TALL if row < TALL_ROWS else LOW
            body.append(
                text(LEFT - 6, top + height / 2 + 4, _row_label(row, one.vcpu.state), 10, text_anchor="end")
            )
            body += _row(row, top, height, found, one.vcpu.state)
            top += height
        top += 26
    legend, top = _legend(top, counts)
    words = "; ".join(
        f"{operation.value}s: " + ", ".join(f"{n} {STYLES[kind].words}" for kind, n in of.items() if n)
        for operation, of in counts.items()
    )
    title = f"{one.title}: what becomes of an access to each of the 256 places of a register"
    return svg(f"heat-{one.name}", LEFT + CELL * COLUMNS, top, title, f"{words}.", [*body, *legend])


def _row_label(row: int, state: ApicState) -> str:
    return f"8{row:X}0" if state is ApicState.X2APIC else f"{row:X}00"


def _columns(y: float, state: ApicState) -> Iterator[str]:
    end = "" if state is ApicState.X2APIC else "0"
    for column in range(COLUMNS):
        x = LEFT + CELL * (column + 0.5)
        yield text(x, y, f"+{column:X}{end}", 10, text_anchor="middle", opacity="0.75")


def _row(row: int, top: float, height: float, found: dict[int, Outcome], state: ApicState) -> Iterator[str]:
    for column in range(COLUMNS):
        offset = (16 * row + column) * SLOT_SIZE
        yield _cell(LEFT + CELL * column, top, height, offset, found[offset], state)


def _cell(x: float, y: float, height: float, offset: int, found: Outcome, state: ApicState) -> str:
    style, one = STYLES[found.kind], register(offset)
    exists = bool(one.x2apic if state is ApicState.X2APIC else one.xapic)
    name = f"{one.symbol}, {one.name}" if exists else "no register"
    tip = f"{offset:03X}, MSR {msr_of(offset):03X}, {name}: {found}"
    parts = [
        f"<g><title>{escape(tip)}</title>",
        f'<rect x="{x + 0.5:g}" y="{y + 0.5:g}" width="{CELL - 1:g}" height="{height - 1:g}" rx="2" '
        f'fill="{style.colour}" fill-opacity="{1 if exists else 0.45}"/>',
    ]
    if exists:
        parts.append(text(x + CELL / 2, y + 11, one.symbol, 8.2, text_anchor="middle", fill=style.ink))
        parts.append(
            text(
                x + CELL / 2,
                y + height - 5,
                style.letter,
                10,
                text_anchor="middle",
                fill=style.ink,
                font_weight="bold",
            )
        )
    else:
        parts.append(text(x + CELL / 2, y + height / 2 + 3, style.letter, 8, text_anchor="middle"))
    return "".join([*parts, "</g>"])


def _legend(top: float, counts: dict[Operation, dict[Kind, int]]) -> tuple[list[str], float]:
    parts = []
    used = [kind for kind in STYLES if any(of[kind] for of in counts.values())]
    for kind in used:
        style = STYLES[kind]
        parts.append(
            f'<rect x="{LEFT:g}" y="{top - 11:g}" width="22" height="15" rx="2" fill="{style.colour}"/>'
        )
        parts.append(
            text(LEFT + 11, top, style.letter, 10, text_anchor="middle", fill=style.ink, font_weight="bold")
        )
        numbers = ", ".join(f"{of[kind]} {operation.value}s" for operation, of in counts.items())
        parts.append(text(LEFT + 30, top, f"{style.words}: {numbers}"))
        top += 19
    parts.append(
        text(
            LEFT,
            top,
            "Pale: this mode has no register there. Under the pointer: register and outcome.",
            10,
            opacity="0.75",
        )
    )
    return parts, top + 8


# -- the decision diagram ----------------------------------------------------------------------------


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
        """Tell whether a control is 1."""
        return self.controls.has(key)

    def write_of(self, *offsets: int) -> bool:
        """Tell whether it is a write of one of these."""
        return self.operation is WRITE and self.offset in offsets

    @property
    def listed(self) -> bool:
        """Whether the SDM's table for these controls has the register."""
        table = virtualized_reads if self.operation is READ else virtualized_writes
        return self.offset in table(self.controls)


@dataclass(frozen=True)
class Step:
    """A question; yes ends the way, no goes on to the next."""

    question: str
    holds: Callable[[Case], bool]
    end: Kind
    by: str = ""
    """The exit, or what completes it."""


@dataclass(frozen=True)
class Way:
    """A way to the APIC: its questions, and what becomes of an access to which all answers are no."""

    title: str
    steps: tuple[Step, ...]
    rest: Step


def _always(_case: Case) -> bool:
    return True


DELIVERY = "virtual_interrupt_delivery"
WAYS = (
    Way(
        "By the page, in xAPIC mode",
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
        "By RDMSR and WRMSR of 800 to 8FF, in x2APIC mode",
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
        "The TPR by CR8, in any mode",
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
    """Draw which control decides what becomes of an access."""
    body: list[str] = [
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="currentColor"/></marker></defs>'
    ]
    top = 16.0
    for way in WAYS:
        body.append(text(0, top, way.title, 14, font_weight="bold"))
        top += 12
        for step in way.steps:
            body += [*_question(step, top), *_leaf(step, LEAF_X, top)]
            body += [*_arrow(BOX, top + HIGH / 2, LEAF_X - 2, top + HIGH / 2, "yes")]
            body += [*_arrow(BOX / 2, top + HIGH, BOX / 2, top + HIGH + GAP - 1, "no")]
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
        "decision", 700, top - 14, "Which control decides what becomes of an access to the APIC", desc, body
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


def _arrow(x1: float, y1: float, x2: float, y2: float, word: str) -> Iterator[str]:
    yield (
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="currentColor" stroke-width="1.2" '
        'marker-end="url(#tip)"/>'
    )
    if y1 == y2:
        yield text((x1 + x2) / 2 - 2, y1 - 4, word, 10, text_anchor="middle")
    else:
        yield text(x1 + 8, y2 - 3, word, 10)


# -- all of them -------------------------------------------------------------------------------------


def pictures() -> dict[str, str]:
    """Return every picture by name."""
    return {"decision": diagram(), **{f"heat-{one.name}": heat_map(one) for one in TYPICAL}}


def write(into: Path) -> None:
    """Write every picture; what did not change keeps its time."""
    into.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures().items():
        path = into / f"{name}.svg"
        if not path.exists() or path.read_text() != picture:
            path.write_text(picture)
