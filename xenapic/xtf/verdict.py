"""What the end of a test's guest and its output say about the test.

A guest prints ``Test result: SUCCESS`` or another status as its last line, and powers off
(``common/report.c`` of XTF; ``interpret_result`` of its ``xtf-runner``).
"""

from __future__ import annotations

import re
from enum import Enum

from xenapic.frozen import dataclass
from xenapic.model.flags import Shutdown

__all__ = ["PASSING", "Judgement", "XtfVerdict", "judge", "lines_of"]


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
    last = lines[-1] if lines else ""
    if reason != Shutdown.poweroff:
        return Judgement(XtfVerdict.CRASH, f"the guest ended with a {how}{_after(last)}")
    match = RESULT.fullmatch(last)
    if match is None:
        return Judgement(XtfVerdict.CRASH, f"the guest powered off without a result{_after(last)}")
    verdict = XtfVerdict(match[1].lower())
    note = next((line for line in reversed(lines[:-1])), "") if verdict not in PASSING else ""
    return Judgement(verdict, note, warnings=match[2] is not None)


def _after(last: str) -> str:
    return f"; its last line: {last}" if last else "; it printed nothing"
