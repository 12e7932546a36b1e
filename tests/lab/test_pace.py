"""Limits count the emulator's own time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from xenapic.lab.errors import StageTimeout
from xenapic.lab.pace import BACKSTOP, Pace, Stopwatch


class Clock:
    """A wall clock and a process's waiting time, both set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.waited = 1000.0, {"1": 5.0, "2": 1.0}
        monkeypatch.setattr("xenapic.lab.pace.time.monotonic", lambda: self.wall)
        monkeypatch.setattr(Pace, "_delays", lambda pace: list(self.waited.items()))


def test_waiting_for_a_processor_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    watch = Stopwatch(Pace(1))
    clock.wall += 100
    clock.waited["1"] += 80
    assert (watch.own(), watch.wall()) == (20, 100)
    assert not watch.exceeds(30) and watch.exceeds(19)
    clock.waited = {}  # it ended
    assert watch.own() == 20


def test_the_wall_clock_is_a_far_backstop(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    watch = Stopwatch(Pace(1))
    clock.wall += 99
    clock.waited["1"] += 99
    assert not watch.exceeds(99 / BACKSTOP)
    clock.wall += 1
    clock.waited["1"] += 1
    assert watch.exceeds(99 / BACKSTOP)


def test_a_halted_machine_is_still_timed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    watch = Stopwatch(Pace(1))
    clock.wall += 31
    assert watch.exceeds(30)


@pytest.fixture
def crowded() -> Iterator[int]:
    """The id of a process that shares one processor with three others."""
    cpu = min(os.sched_getaffinity(0))
    code = f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nwhile True: pass"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    try:
        yield running[0].pid
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_on_a_crowded_processor_it_runs_slower_than_the_wall_clock(crowded: int) -> None:
    time.sleep(0.3)
    watch = Stopwatch(Pace(crowded))
    time.sleep(2)
    assert 0 <= watch.own() < 0.7 * watch.wall()


@pytest.mark.xen
def test_a_busy_machine_times_nothing_out(xen_lab: object) -> None:
    """The emulator shares one processor with four busy loops; its command needs one or two of the 5 s."""
    from xenapic.lab.pytest_plugin import XenLab

    assert isinstance(xen_lab, XenLab)
    before, cpu = os.sched_getaffinity(0), min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        count = "i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done"
        began = time.monotonic()
        result = xen_lab.run(["sh", "-c", count], timeout=5)
        assert result.status == 0
        with pytest.raises(StageTimeout, match="emulator's own time"):
            xen_lab.run(["sh", "-c", "while :; do :; done"], timeout=1)
        assert time.monotonic() - began > result.timings["command"]
    finally:
        for process in loops:
            process.kill()
            process.wait()
        os.sched_setaffinity(0, before)
