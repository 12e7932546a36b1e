"""The summary of a verification for people."""

from __future__ import annotations

from collections import Counter

from xenapic.apic.state import ApicState
from xenapic.verify.check import NOT_TESTABLE, Check, Report, Verdict

__all__ = ["HOST", "Summary", "columns", "summary"]

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
