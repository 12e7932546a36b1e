"""Settings for all tests."""

from __future__ import annotations

import os
import signal
from collections import defaultdict

import pytest
from hypothesis import settings

# Tests run next to emulators that use every processor, so a slow test is not a failed one.
settings.register_profile("xenapic", deadline=None)
settings.load_profile("xenapic")

# The width of what commands print must not depend on who runs the tests; pytest-xdist sets it.
os.environ.pop("COLUMNS", None)

# Started in the background by a script, a process ignores SIGINT, and its children after it; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the time of each part of the tests, and of each group that ran in one machine."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[_part(report.nodeid)] += report.duration
    terminalreporter.section("seconds by part")
    for part, total in sorted(seconds.items(), key=lambda item: -item[1]):
        terminalreporter.write_line(f"{total:7.1f} {part}")


def _part(nodeid: str) -> str:
    """Return the directory of a test; in tests/xen the file and the group, as ``--dist loadgroup`` names it."""
    file, _, rest = nodeid.partition("::")
    directory = file.rpartition("/")[0]
    if directory != "tests/xen":
        return directory
    _, _, group = rest.rpartition("@") if "@" in rest else ("", "", "")
    return f"{file} {group}".strip()
