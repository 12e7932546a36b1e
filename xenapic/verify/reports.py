"""Reports of a verification: a summary for people, JUnit XML for other tools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from xml.etree import ElementTree

from xenapic.apic.state import ApicState
from xenapic.verify.check import NOT_TESTABLE, Check, Report, Verdict

__all__ = ["HOST", "Summary", "columns", "junit", "summary"]

HOST = "host"
"""Column for values that do not depend on an APIC's state."""
Summary = dict[str, dict[str, str]]
"""What was compared, by row and column; a column is `HOST` or a state of the APIC."""


def summary(report: Report) -> Summary:
    """Return how many values disagree, agree and were not testable; the model covers all of these."""
    counts: dict[tuple[str, str], Counter[Verdict]] = {}
    for check in report.checks:
        if check.verdict is not Verdict.NOT_COVERED or check.why in NOT_TESTABLE:
            counts.setdefault(_place(check), Counter())[check.verdict] += 1
    rows: Summary = {}
    for (row, column), verdicts in counts.items():
        rows.setdefault(row, {})[column] = _cell(verdicts)
    return rows


def columns(rows: Summary) -> list[str]:
    """Return the columns of a summary, in order."""
    order = [HOST, *(state.value for state in ApicState)]
    return [column for column in order if any(column in cells for cells in rows.values())]


def _cell(verdicts: Counter[Verdict]) -> str:
    words = {Verdict.DISAGREES: "DISAGREE", Verdict.AGREES: "agree", Verdict.NOT_COVERED: "not testable"}
    return ", ".join(f"{verdicts[verdict]} {word}" for verdict, word in words.items() if verdicts[verdict])


def _place(check: Check) -> tuple[str, str]:
    """Return a check's row (its topic and the domain's flags) and its column."""
    parts = check.where.split(", ")
    if check.topic == "create" or len(parts) < 2 or not parts[0].startswith("misc_flags"):
        return check.topic, HOST
    flags = parts[0].removeprefix("misc_flags ")
    return (check.topic if flags == "0" else f"{check.topic}, {flags}"), parts[1]


# -- JUnit -------------------------------------------------------------------------------------------


def junit(reports: Sequence[Report]) -> str:
    """Return JUnit XML: a suite for each report, a case for each value; values not covered are skipped."""
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
    """Return text without the control characters that XML forbids."""
    return "".join(char if char.isprintable() else " " for char in text)
