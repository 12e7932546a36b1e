"""A page of HTML with verifications and their register maps, which needs no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from xenapic.apic.registers import FIRST_RESERVED, SLOT_SIZE, register
from xenapic.verify.check import Report, Verdict
from xenapic.verify.guest import of_domain
from xenapic.verify.reports import columns, summary

__all__ = ["anchor", "html_page"]

ROW = 16 * SLOT_SIZE
"""Bytes of the page that one row of the map shows."""

STYLE = """
:root { color-scheme: light dark;
  --stay: #2b7bba; --leave: #d9822b; --fault: #7d4fa8; --none: #8884; --bad: #d13; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 78em; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: .2em .6em; text-align: left; vertical-align: top; }
.n { text-align: right; }
.bad { color: var(--bad); font-weight: bold; }
.map td { width: 1.5em; height: 1.5em; padding: 0; border: 1px solid #8883; text-align: center; }
.map td, .map th { font-size: 11px; font-weight: normal; }
.s { background: var(--stay); color: #fff; }
.l { background: var(--leave); color: #000; }
.f { background: var(--fault); color: #fff; }
.u { background: var(--none); }
.d { outline: 3px solid var(--bad); }
"""
LEGEND = (
    ("s", "S", "stays in the guest"),
    ("l", "L", "leaves the guest"),
    ("f", "F", "faults"),
    ("u", "", "not measured"),
    ("d", "", "unlike the model"),
)
USUAL_THRESHOLD = 200
"""Ticks above which an access left, where a recording has no calibration of its own."""
Recordings = Mapping[str, tuple[Mapping[str, Any], Report]]


def html_page(title: str, recordings: Recordings, overview: Element | None = None) -> str:
    """Return the page: the overview, then for each recording its summary, disagreements and register maps."""
    page = Element("html", lang="en")
    head = SubElement(page, "head")
    SubElement(head, "meta", charset="utf-8")
    _add(head, "title", title)
    _add(head, "style", STYLE)
    body = SubElement(page, "body")
    _add(body, "h1", title)
    if overview is not None:
        body.append(overview)
    legend = _add(body, "p", "")
    for css, letter, text in LEGEND:
        mark = _add(legend, "span", f"\u00a0{letter or chr(0xA0)}\u00a0", css)
        mark.tail = f" {text}   "
    for name, (data, report) in recordings.items():
        _section(body, name, data, report)
    return "<!doctype html>\n" + tostring(page, encoding="unicode", method="html") + "\n"


def anchor(name: str) -> str:
    """Return the name of a recording's place in the page."""
    return "".join(char if char.isalnum() else "-" for char in name)


def table(headers: Sequence[str], rows: Sequence[tuple[bool, Sequence[object]]]) -> Element:
    """Return a table; each row says first whether it is bad. Numbers stand to the right."""
    made = Element("table")
    line = SubElement(made, "tr")
    for header in headers:
        _add(line, "th", header)
    for bad, cells in rows:
        line = SubElement(made, "tr", {"class": "bad"} if bad else {})
        for cell in cells:
            if isinstance(cell, Element):
                SubElement(line, "td").append(cell)
            else:
                _add(line, "td", str(cell), "n" if isinstance(cell, int) else "")
    return made


def _add(parent: Element, tag: str, text: str, css: str = "") -> Element:
    made = SubElement(parent, tag, {"class": css} if css else {})
    made.text = "".join(char if char.isprintable() or char in "\n\u00a0" else " " for char in text)
    return made


def _section(body: Element, name: str, data: Mapping[str, Any], report: Report) -> None:
    head = _add(body, "h2", f"{name}: {report.agree} of {report.compared} agree")
    head.set("id", anchor(name))
    _add(body, "p", f"Xen {data['xen']}; processor: {report.processor}")
    rows = summary(report)
    named = columns(rows)
    lines = [(False, [row, *(cells.get(column, "") for column in named)]) for row, cells in rows.items()]
    body.append(table(("compared", *named), lines))
    wrong = report.of(Verdict.DISAGREES)
    if wrong:
        listed = SubElement(body, "ul")
        for one in wrong:
            _add(listed, "li", str(one), "bad")
    for guest in data.get("guest", ()):
        if "failed" in guest:
            _add(body, "p", f"{of_domain(guest)}: {guest['failed']}")
        else:
            _map(body, guest, {one.where for one in wrong})


def _map(body: Element, guest: Mapping[str, Any], wrong: set[str]) -> None:
    """A map of the registers as the guest felt them, and where the model says otherwise."""
    cells: dict[tuple[int, str], Mapping[str, Any]] = {}
    for one in (*guest.get("accesses", ()), *guest.get("extra", ())):
        cells.setdefault((one["offset"], one["op"]), one)  # the usual value comes before odd ones
    made = SubElement(body, "table", {"class": "map"})
    by = "MSR" if guest["apic_mode"] == "x2apic" else "page offset"
    _add(made, "caption", f"{of_domain(guest)}, by {by}")
    line = SubElement(made, "tr")
    _add(line, "th", "")
    for column in range(16):
        _add(line, "th", f"{column:x}0")
    for operation in ("read", "write"):
        for first in range(0, FIRST_RESERVED, ROW):
            line = SubElement(made, "tr")
            _add(line, "th", f"{operation} {first:03x}")
            for offset in range(first, first + ROW, SLOT_SIZE):
                _cell(line, guest, cells.get((offset, operation)), f"{operation} {offset:03x}", wrong)


def _cell(
    line: Element, guest: Mapping[str, Any], one: Mapping[str, Any] | None, access: str, wrong: set[str]
) -> None:
    if one is None:
        _add(line, "td", "", "u").set("title", f"{access}: not measured")
        return
    css, letter = _became(guest, one)
    at = f"{of_domain(guest)}, {access} "
    if any(where.startswith(at) for where in wrong):
        css += " d"
    title = f"{access} {register(one['offset']).name}: {one['ticks_per_access']} ticks"
    _add(line, "td", letter, css).set("title", title)


def _became(guest: Mapping[str, Any], one: Mapping[str, Any]) -> tuple[str, str]:
    if one.get("fault"):
        return "f", "F"
    threshold = guest.get("calibration", {}).get("threshold", USUAL_THRESHOLD)
    left = one.get("ticks_min", one["ticks_per_access"]) >= threshold
    return ("l", "L") if left else ("s", "S")
