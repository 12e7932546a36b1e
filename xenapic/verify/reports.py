"""Reports of a verification for people and for other tools: summary rows, and JUnit XML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from xml.etree import ElementTree

from xenapic.apic.state import ApicState
from xenapic.verify.check import Check, Report, Verdict

__all__ = ["HOST", "Summary", "columns", "junit", "summary"]

HOST = "host"
"""Column of what is no matter of an APIC's state."""
Summary = dict[str, dict[str, str]]
"""What was compared, by row, and by column: `HOST` or the APIC's state."""
NOT_TESTABLE = (
    "not testable here",
    "it could not be recorded",
    "the cost does not tell",
    "records were lost",
)
"""Why a value that the model speaks of could not be compared."""


def summary(report: Report) -> Summary:
    """Return how much agrees, what does not first; what the model does not speak of is left out."""
    counts: dict[tuple[str, str], Counter[Verdict]] = {}
    for check in report.checks:
        if check.verdict is not Verdict.NOT_COVERED or check.why in NOT_TESTABLE:
            counts.setdefault(_place(check), Counter())[check.verdict] += 1
    rows: Summary = {}
    for (row, column), found in counts.items():
        rows.setdefault(row, {})[column] = _cell(found)
    return rows


def columns(rows: Summary) -> list[str]:
    """Return the columns that a summary has, in order."""
    order = [HOST, *(state.value for state in ApicState)]
    return [column for column in order if any(column in cells for cells in rows.values())]


def _cell(found: Counter[Verdict]) -> str:
    good, bad, beside = (found[verdict] for verdict in Verdict)
    parts = [f"{bad} DISAGREE" if bad else "", f"{good} agree" if good else ""]
    return ", ".join(filter(None, [*parts, f"{beside} not testable" if beside else ""]))


def _place(check: Check) -> tuple[str, str]:
    """Return a check's row, topic and flags, and its column."""
    parts = check.where.split(", ")
    if check.topic == "create" or len(parts) < 2 or not parts[0].startswith("misc_flags"):
        return check.topic, HOST
    flags = parts[0].removeprefix("misc_flags ")
    return (check.topic if flags == "0" else f"{check.topic}, {flags}"), parts[1]


# -- JUnit -------------------------------------------------------------------------------------------


def junit(reports: Sequence[Report]) -> str:
    """Return JUnit XML: a suite per report, a case per value; what is not covered is skipped."""
    root = ElementTree.Element("testsuites")
    for report in reports:
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=report.name,
            tests=str(len(report.checks)),
            failures=str(len(report.of(Verdict.DISAGREES))),
            skipped=str(len(report.of(Verdict.NOT_COVERED))),
            errors="0",
        )
        for check in report.checks:
            _case(suite, check)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ElementTree.Element, check: Check) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=check.topic, name=_xml(check.where))
    if check.verdict is Verdict.DISAGREES:
        ElementTree.SubElement(case, "failure", message=_xml(str(check)))
    elif check.verdict is Verdict.NOT_COVERED:
        ElementTree.SubElement(case, "skipped", message=_xml(check.why))


def _xml(text: str) -> str:
    """Return text that XML can hold: no control characters."""
    return "".join(char if char.isprintable() else " " for char in text)
