"""A clock of an emulator's own progress: it stands still while the emulator waits for a processor.

On a busy machine an emulator takes many times longer by the wall clock although nothing is wrong.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

LOOK_EVERY = 0.1
"""How long the delays are used before they are read again, in seconds: reading them costs time."""
BACKSTOP = 10.0
"""The wall clock ends what takes this many times its limit, whatever the emulator's own clock says."""


class Pace:
    """The wall clock, less the longest time that one thread of a process has waited for a processor."""

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._waited: dict[str, float] = {}
        self._looked = -LOOK_EVERY

    def now(self) -> float:
        """Return the clock's time, in seconds from an arbitrary start."""
        wall = time.monotonic()
        if wall - self._looked >= LOOK_EVERY:
            self._looked = wall
            self._waited.update(self._delays())
        return wall - max(self._waited.values(), default=0.0)

    def _delays(self) -> list[tuple[str, float]]:
        """Return the run-queue delay of each thread, in seconds; nothing where the kernel keeps none."""
        delays: list[tuple[str, float]] = []
        # The process and its threads may end at any moment.
        with contextlib.suppress(OSError):
            for task in self._tasks.iterdir():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    # nanoseconds on a processor and waiting for one (Linux, sched-stats.rst)
                    waiting = int((task / "schedstat").read_text().split()[1])
                    delays.append((task.name, waiting / 1e9))
        return delays


class Stopwatch:
    """The time since its creation, by a process's pace and by the wall clock."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._began = pace.now()
        self._wall = time.monotonic()

    def own(self) -> float:
        """Return the seconds of the emulator's own time."""
        return self._pace.now() - self._began

    def wall(self) -> float:
        """Return the seconds by the wall clock."""
        return time.monotonic() - self._wall

    def exceeds(self, limit: float) -> bool:
        """Return True if `limit` seconds of own time have passed, or far more by the wall clock."""
        wall = self.wall()
        return wall > limit and (self.own() > limit or wall > BACKSTOP * limit)
