"""For all tests."""

from __future__ import annotations

from hypothesis import settings

# Tests run beside emulators that take all the processors there are: time is no sign of trouble.
settings.register_profile("xenapic", deadline=None)
settings.load_profile("xenapic")
