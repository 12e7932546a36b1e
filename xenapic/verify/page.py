"""Write verifications and their register maps as one HTML page that needs no other file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from xml.etree.ElementTree import Element, SubElement, tostring

from xenapic.apic.registers import FIRST_RESERVED, SLOT_SIZE, Reg, register
from xenapic.apic.state import ApicState
from xenapic.probe.findings import Op
from xenapic.verify.check import Report, Verdict
from xenapic.verify.guest import of_domain
from xenapic.verify.guest_records import AccessRecord, GuestRecord
from xenapic.verify.recording import Recording
from xenapic.verify.reports import columns, summary

__all__ = [
    "COLOURS",
    "LEGEND",
    "Shown",
    "add",
    "anchor",
    "html_page",
    "html_table",
    "legend",
    "page_of",
    "register_map",
    "shown",
]

ROW = 16 * SLOT_SIZE
"""Bytes of the page that one row of the map shows."""

COLOURS = {
    "stay": "#0072b2",
    "stay-pale": "#56b4e9",
    "leave": "#e69f00",
    "fault": "#cc79a7",
    "none": "#8884",
    "bad": "#d13",
}
"""Those of Okabe and Ito, which people who are colour-blind can tell apart."""
STYLE = f"""
:root {{ color-scheme: light dark; {" ".join(f"--{name}: {colour};" for name, colour in COLOURS.items())} }}
"""
STYLE += """\
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 78em; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
caption { text-align: left; font-weight: bold; }
th, td { padding: .2em .6em; text-align: left; vertical-align: top; }
.n { text-align: right; }
.bad { color: var(--bad); font-weight: bold; }
.map td { width: 1.5em; height: 1.5em; padding: 0; border: 1px solid #8883; text-align: center; }
.map td, .map th { font-size: 11px; font-weight: normal; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .3em 1.5em; }
.legend > li > span { display: inline-block; width: 1.5em; text-align: center; }
.s { background: var(--stay); color: #fff; }
.l { background: var(--leave); color: #000; }
.f { background: var(--fault); color: #000; }
.m { background: repeating-linear-gradient(45deg, #000 0 4px, #fff 4px 8px); }
.m b { background: #000; color: #fff; padding: 0 .2em; }
.u { background: var(--none); }
.sides { display: flex; flex-wrap: wrap; gap: 1em 3em; }
.d { outline: 3px solid var(--bad); outline-offset: -1px; }
"""
"""Plain memory, the defect, is striped. Every kind of cell has a letter, too."""


class Shown(Enum):
    """What a cell of a register map shows; the value is its CSS class."""

    STAYS = "s"
    LEAVES = "l"
    FAULTS = "f"
    MEMORY = "m"
    UNMEASURED = "u"


LETTERS = {
    Shown.STAYS: "S",
    Shown.LEAVES: "L",
    Shown.FAULTS: "F",
    Shown.MEMORY: "M",
    Shown.UNMEASURED: "\u00a0",
}
LEGEND = {
    Shown.STAYS: "stays in the guest: the APIC is accelerated",
    Shown.LEAVES: "leaves the guest: a VM exit",
    Shown.FAULTS: "faults",
    Shown.MEMORY: "plain memory: no APIC answers; in xAPIC mode this is a defect",
    Shown.UNMEASURED: "not measured",
}
DISAGREES = "d"
"""CSS class of an access for which the model predicts something else."""
USUAL_THRESHOLD = 200
"""Ticks from which an access counts as an exit where a recording has no calibration of its own."""
Recordings = Mapping[str, tuple[Recording, Report]]


def html_page(title: str, recordings: Recordings, overview: Element | None = None) -> str:
    """Return the page: the overview, then for each recording its summary, disagreements and register maps."""

    def fill(body: Element) -> None:
        if overview is not None:
            body.append(overview)
        legend(body, "the model predicts something else")
        for name, (recording, report) in recordings.items():
            _section(body, name, recording, report)

    return page_of(title, fill)


def page_of(title: str, fill: Callable[[Element], None]) -> str:
    """Return a page with the title; ``fill`` adds what comes after it."""
    page = Element("html", lang="en")
    head = SubElement(page, "head")
    SubElement(head, "meta", charset="utf-8")
    add(head, "title", title)
    add(head, "style", STYLE)
    body = SubElement(page, "body")
    add(body, "h1", title)
    fill(body)
    return "<!doctype html>\n" + tostring(page, encoding="unicode", method="html") + "\n"


def anchor(name: str) -> str:
    """Return the name of a recording's place in the page."""
    return "".join(char if char.isalnum() else "-" for char in name)


def html_table(headers: Sequence[str], rows: Sequence[tuple[bool, Sequence[object]]]) -> Element:
    """Return a table; each row begins with whether it is bad. Numbers are aligned right."""
    table = Element("table")
    line = SubElement(table, "tr")
    for header in headers:
        add(line, "th", header)
    for bad, cells in rows:
        line = SubElement(table, "tr", {"class": "bad"} if bad else {})
        for cell in cells:
            if isinstance(cell, Element):
                SubElement(line, "td").append(cell)
            else:
                add(line, "td", str(cell), "n" if isinstance(cell, int) else "")
    return table


def shown(guest: GuestRecord, access: AccessRecord) -> Shown:
    """Return what became of an access as the guest felt it, whatever the model says."""
    if access.faulted:
        return Shown.FAULTS
    if _left(guest, access):
        return Shown.LEAVES
    return Shown.MEMORY if _is_memory(guest) else Shown.STAYS


def _left(guest: GuestRecord, access: AccessRecord) -> bool:
    threshold = USUAL_THRESHOLD if guest.calibration is None else guest.calibration.threshold
    ticks = access.ticks_per_access if access.ticks_min is None else access.ticks_min
    return ticks >= threshold


def _is_memory(guest: GuestRecord) -> bool:
    """Return True if the guest's APIC page is plain memory: the version register reads 0 without an exit."""
    if guest.apic_mode is ApicState.X2APIC:
        return False
    return any(
        access.value == 0 and not access.faulted and not _left(guest, access)
        for access in guest.accesses
        if access.offset == Reg.LVR and access.op is Op.READ
    )


def add(parent: Element, tag: str, text: str, css: str = "") -> Element:
    """Add an element with a text, without what is not printable."""
    child = SubElement(parent, tag, {"class": css} if css else {})
    child.text = "".join(char if char.isprintable() or char in "\n\u00a0" else " " for char in text)
    return child


def legend(body: Element, framed: str) -> None:
    """Add the meaning of the cells of register maps, and of a frame around one."""
    add(body, "p", "Each cell of a register map is an access:")
    listed = add(body, "ul", "", "legend")
    for kind, text in LEGEND.items():
        _mark(add(add(listed, "li", ""), "span", "", kind.value), kind).tail = f" {text}"
    add(add(listed, "li", ""), "span", "\u00a0", DISAGREES).tail = f" {framed}"


def _mark(cell: Element, kind: Shown) -> Element:
    """Write the letter of its kind into a cell, and return the cell."""
    add(cell, "b" if kind is Shown.MEMORY else "span", LETTERS[kind])
    return cell


def _section(body: Element, name: str, recording: Recording, report: Report) -> None:
    head = add(body, "h2", f"{name}: {report.agree} of {report.compared} agree")
    head.set("id", anchor(name))
    add(body, "p", f"Xen {recording.xen}; the processor is known from {report.processor}")
    rows = summary(report)
    headers = columns(rows)
    lines = [(False, [row, *(cells.get(header, "") for header in headers)]) for row, cells in rows.items()]
    body.append(html_table(("compared", *headers), lines))
    wrong = report.of(Verdict.DISAGREES)
    if wrong:
        listed = SubElement(body, "ul")
        for check in wrong:
            add(listed, "li", str(check), "bad")
    for guest in recording.guest:
        if guest.failed is not None:
            add(body, "p", f"{of_domain(guest)}: {guest.failed}")
        else:
            register_map(body, guest, {check.where for check in wrong})


def register_map(body: Element, guest: GuestRecord, wrong: set[str]) -> None:
    """Add a map of the registers as the guest felt them, with a frame around the places ``wrong``."""
    usual: dict[tuple[int, Op], AccessRecord] = {}
    for access in (*guest.accesses, *guest.extra):
        usual.setdefault((access.offset, access.op), access)  # the usual value comes before unusual ones
    table = SubElement(body, "table", {"class": "map"})
    by = "MSR" if guest.apic_mode is ApicState.X2APIC else "page offset"
    add(table, "caption", f"{of_domain(guest)}, by {by}")
    line = SubElement(table, "tr")
    add(line, "th", "")
    for column in range(16):
        add(line, "th", f"{column:x}0")
    for op in (Op.READ, Op.WRITE):
        for first in range(0, FIRST_RESERVED, ROW):
            line = SubElement(table, "tr")
            add(line, "th", f"{op.value} {first:03x}")
            for offset in range(first, first + ROW, SLOT_SIZE):
                words = f"{op.value} {offset:03x}"
                place = f"{of_domain(guest)}, {words} "
                disagrees = any(where.startswith(place) for where in wrong)
                _cell(line, guest, usual.get((offset, op)), words, disagrees)


def _cell(
    line: Element, guest: GuestRecord, access: AccessRecord | None, words: str, disagrees: bool
) -> None:
    kind = Shown.UNMEASURED if access is None else shown(guest, access)
    cell = add(line, "td", "", f"{kind.value} {DISAGREES}" if disagrees else kind.value)
    _mark(cell, kind)
    if access is None:
        cell.set("title", f"{words}: {LEGEND[kind]}")
    else:
        cell.set(
            "title",
            f"{words} {register(access.offset).name}: {access.ticks_per_access} ticks, {LEGEND[kind]}",
        )
