"""Settings for all tests."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# Tests run next to emulators that use every processor, so a slow test is not a failed one.
settings.register_profile("xenapic", deadline=None)
settings.load_profile("xenapic")

# The width of what commands print must not depend on who runs the tests; pytest-xdist sets it.
os.environ.pop("COLUMNS", None)

# Started in the background by a script, a process ignores SIGINT, and its children after it; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
