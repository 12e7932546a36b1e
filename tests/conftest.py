"""Settings for all tests."""

from __future__ import annotations

import signal

from hypothesis import settings

# Tests run next to emulators that use every processor, so a slow test is not a failed one.
settings.register_profile("xenapic", deadline=None)
settings.load_profile("xenapic")

# Started in the background by a script, a process ignores SIGINT, and its children after it; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
