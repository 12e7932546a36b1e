"""What the end of a test's guest and its output say about the test.

A guest prints ``Test result: SUCCESS`` or another status as its last line, and powers off
(``common/report.c`` of XTF; ``interpret_result`` of its ``xtf-runner``).
"""

from __future__ import annotations

import re
from enum import Enum

from xenapic.frozen import dataclass
from xenapic.model.flags import Shutdown

__all__ = ["PASSING", "Judgement", "XtfVerdict", "judge", "last_words", "lines_of"]


class XtfVerdict(Enum):
    """The outcome of a test."""

    SUCCESS = "success"
    SKIP = "skip"
    """The test says that it cannot run here."""
    ERROR = "error"
    """The test says that it went wrong, or it could not be booted."""
    FAILURE = "failure"
    """The test says that Xen does something wrong."""
    CRASH = "crash"
    """The guest ended without a result, or otherwise than by powering off."""
    TIMEOUT = "timeout"
    """The guest did not end in time."""
    XEN_CRASH = "xen-crash"
    """The machine went down while the test ran; only the lab can tell."""
    REFUSED = "refused"
    """Xen or its toolstack does not create the domain that the test wants."""


PASSING = frozenset({XtfVerdict.SUCCESS, XtfVerdict.SKIP, XtfVerdict.REFUSED})
"""The verdicts that say nothing against Xen."""

RESULT = re.compile(r"Test result: (SUCCESS|SKIP|ERROR|FAILURE)( with warnings)?")
KEPT_LINES = 1000
KEPT_COLUMNS = 500


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and why."""

    verdict: XtfVerdict
    note: str = ""
    warnings: bool = False


def lines_of(output: bytes) -> tuple[str, ...]:
    """Return the last lines that a guest printed, without empty ones; what cannot be printed is escaped."""
    lines = (_printable(line.decode(errors="backslashreplace")) for line in output.splitlines())
    return tuple(line[:KEPT_COLUMNS] for line in lines if line)[-KEPT_LINES:]


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line.replace("\t", " ").rstrip())


def judge(lines: tuple[str, ...], reason: Shutdown | int, how: str) -> Judgement:
    """Return the verdict on a guest that has ended for a reason, which ``how`` names."""
    if reason != Shutdown.poweroff:
        return Judgement(XtfVerdict.CRASH, f"the guest ended with a {how}{last_words(lines)}")
    match = RESULT.fullmatch(lines[-1]) if lines else None
    if match is None:
        return Judgement(XtfVerdict.CRASH, f"the guest powered off without a result{last_words(lines)}")
    verdict = XtfVerdict(match[1].lower())
    return Judgement(verdict, _why(verdict, lines[:-1]), warnings=match[2] is not None)


MARKS = {XtfVerdict.SKIP: "skip", XtfVerdict.ERROR: "error", XtfVerdict.FAILURE: "fail"}
"""How the line begins that tells why, by convention."""


def _why(verdict: XtfVerdict, lines: tuple[str, ...]) -> str:
    mark = MARKS.get(verdict)
    return "" if mark is None else next((x for x in reversed(lines) if x.lower().startswith(mark)), "")


def last_words(lines: tuple[str, ...]) -> str:
    """Return the last line that says something, as the end of a sentence."""
    last = next((line for line in reversed(lines) if any(map(str.isalnum, line))), "")
    return f"; its last words: {last}" if last else "; it printed nothing"
