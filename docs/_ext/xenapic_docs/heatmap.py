"""Draw what happens to reads and writes of every register slot."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from xenapic.apic.access import access
from xenapic.apic.outcome import Kind, Operation, Outcome
from xenapic.apic.registers import SLOT_SIZE, SLOTS, msr_of, register
from xenapic.apic.state import ApicState
from xenapic.model.acceleration import VcpuApic
from xenapic.model.typical import Typical
from xenapic.policy.outlook import VALUES
from xenapic_docs.svg import STYLES, svg, text

READ, WRITE = Operation.READ, Operation.WRITE

CELL, TALL, LOW, LEFT = 44.0, 27.0, 13.0, 42.0

COLUMNS = 16

TALL_ROWS = 4
"""The rows 000 to 3F0 have registers, the others none."""


def outcome(vcpu: VcpuApic, offset: int, operation: Operation) -> Outcome:
    """Return what happens to an access; if it depends on the value written, say so."""
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
    """Draw what happens to reads and writes of all 256 register slots in one situation."""
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
    title = f"{one.title}: what happens to an access to each of the 256 register slots"
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
