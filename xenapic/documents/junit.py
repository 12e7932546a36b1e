"""JUnit XML, as build servers read it: suites of cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from xml.etree import ElementTree

from xenapic.frozen import dataclass
from xenapic.verify.check import Check, Report, Verdict
from xenapic.xtf.results import XtfResult, XtfRun
from xenapic.xtf.verdict import XtfVerdict

__all__ = ["Case", "Outcome", "Suite", "junit", "of_report", "of_run"]


class Outcome(Enum):
    """What became of a case; the value is JUnit's element for it."""

    PASSED = ""
    FAILED = "failure"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Case:
    """A case of a suite."""

    topic: str
    name: str
    outcome: Outcome = Outcome.PASSED
    message: str = ""
    seconds: float | None = None
    output: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suite:
    """Cases under a name."""

    name: str
    cases: Sequence[Case]

    def count(self, outcome: Outcome) -> str:
        """Return the number of cases with an outcome, as text."""
        return str(sum(case.outcome is outcome for case in self.cases))


def junit(suites: Iterable[Suite]) -> str:
    """Return the XML of suites."""
    root = ElementTree.Element("testsuites")
    for each in suites:
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=_xml(each.name),
            tests=str(len(each.cases)),
            failures=each.count(Outcome.FAILED),
            skipped=each.count(Outcome.SKIPPED),
            errors=each.count(Outcome.ERROR),
        )
        for case in each.cases:
            _add(suite, case)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add(suite: ElementTree.Element, case: Case) -> None:
    element = ElementTree.SubElement(suite, "testcase", classname=case.topic, name=_xml(case.name))
    if case.seconds is not None:
        element.set("time", f"{case.seconds:.3f}")
    if case.outcome is not Outcome.PASSED:
        ElementTree.SubElement(element, case.outcome.value, message=_xml(case.message))
    if case.output:
        ElementTree.SubElement(element, "system-out").text = "\n".join(map(_xml, case.output))


def _xml(text: str) -> str:
    """Return text without the control characters that XML forbids."""
    return "".join(char if char.isprintable() else " " for char in text)


# -- what becomes a suite ----------------------------------------------------------------------------


def of_report(report: Report) -> Suite:
    """Return the suite of a verification; values that the model does not cover are skipped."""
    return Suite(report.name, [_of_check(check) for check in report.checks])


def _of_check(check: Check) -> Case:
    if check.verdict is Verdict.DISAGREES:
        return Case(check.topic, check.where, Outcome.FAILED, str(check))
    if check.verdict is Verdict.NOT_COVERED:
        return Case(check.topic, check.where, Outcome.SKIPPED, check.why)
    return Case(check.topic, check.where)


OUTCOMES = {
    XtfVerdict.SUCCESS: Outcome.PASSED,
    XtfVerdict.SKIP: Outcome.SKIPPED,
    XtfVerdict.REFUSED: Outcome.SKIPPED,
    XtfVerdict.FAILURE: Outcome.FAILED,
}
"""The others are errors."""


def of_run(run: XtfRun) -> Suite:
    """Return the suite of a run of XTF's tests; a run that did not end has a case more, which says why."""
    cases = [_of_result(result) for result in run.results]
    if run.untested is not None:
        cases.append(Case("xtf", "all tests ran", Outcome.ERROR, run.untested))
    return Suite(run.title, cases)


def _of_result(result: XtfResult) -> Case:
    outcome = OUTCOMES.get(result.verdict, Outcome.ERROR)
    message = f"{result.verdict.value}: {result.note}" if result.note else result.verdict.value
    return Case("xtf", result.name, outcome, message, result.seconds, result.output)
