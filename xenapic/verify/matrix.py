"""``xenapic lab verify``: the specification against a real Xen on every machine of the lab.

Each cell is a boot of its own in a process of its own, as many at a time as there are
processors; what is recorded in dom0 is checked out here, where that costs nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from xenapic.lab import bochs
from xenapic.lab.machines import machine
from xenapic.lab.xens import release
from xenapic.verify.check import Report
from xenapic.verify.recording import check_recording

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["Cell", "Result", "cells", "default_jobs", "emulator_of", "overview", "run_matrix"]

LIMIT_SECONDS = 900.0
"""For the recording of one cell, in the emulator's own time."""
BACKSTOP_SECONDS = 10 * LIMIT_SECONDS
"""For one cell by the wall clock; `xenapic lab run` has ended long before unless it hangs itself."""
APICV_OFF = "apicv=0"


@dataclass(frozen=True)
class Cell:
    """One boot: a machine, a release, Xen's options."""

    machine: str
    xen: str
    options: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, [self.machine, self.xen, self.options]))


@dataclass(frozen=True)
class Result:
    """What came of a cell."""

    cell: Cell
    seconds: float
    data: dict[str, Any] | None = None
    report: Report | None = None
    error: str = ""
    """Why there is no report."""

    @property
    def ok(self) -> bool:
        """Whether all that was compared agrees."""
        return self.report is not None and self.report.ok

    @property
    def text(self) -> str:
        """In a few words."""
        if self.report is None:
            return "failed"
        return f"{self.report.agree} of {self.report.compared}"


def cells(machines: Sequence[str], xens: Sequence[str], apicv: Sequence[str]) -> list[Cell]:
    """Return the cells of a matrix; `LabUsageError` for an unknown name. AMD has no apicv to switch off."""
    found = []
    for name, xen, options in product(machines, xens, apicv):
        release(xen)
        if machine(name).vendor == "Intel" or not options:
            found.append(Cell(name, xen, options))
    return found


def run_matrix(wanted: Sequence[Cell], jobs: int, done: Callable[[Result], None]) -> dict[str, Result]:
    """Run every cell and return the results by name, in the order asked for; ``done`` hears of each.

    Whatever ends it early, Ctrl-C or a signal, ends the machines that run.
    """
    pool, boots = ThreadPoolExecutor(jobs), _Boots()
    try:
        waiting = [pool.submit(boots.run, cell) for cell in wanted]
        found = {}
        for one in as_completed(waiting):
            result = one.result()
            found[str(result.cell)] = result
            done(result)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        boots.end()
        raise
    finally:
        pool.shutdown()
    return {str(cell): found[str(cell)] for cell in wanted}


class _Boots:
    """The processes of a run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def end(self) -> None:
        """End all that run; none is started any more."""
        with self._lock:
            self._ended = True
            for child in self._running:
                child.terminate()

    def run(self, cell: Cell) -> Result:
        """Boot a cell's machine, record there, check here."""
        began = time.monotonic()
        with self._lock:
            if self._ended:
                return Result(cell, 0.0, error="not started")
            child = subprocess.Popen(
                _command(cell), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            self._running.add(child)
        try:
            out, err = child.communicate(timeout=BACKSTOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.terminate()
            out, err = child.communicate()
            err += f"\nno end within {BACKSTOP_SECONDS:g} s by the clock".encode()
        finally:
            with self._lock:
                self._running.discard(child)
        seconds = time.monotonic() - began
        if child.returncode:
            return Result(cell, seconds, error=_last_words(err))
        data = json.loads(out)
        return Result(cell, seconds, data, check_recording(data, str(cell)))


def _command(cell: Cell) -> list[str]:
    options = ["--xen-args", cell.options] if cell.options else []
    return [
        *(sys.executable, "-m", "xenapic", "lab", "run", "--quiet", "--timeout", str(LIMIT_SECONDS)),
        *("--machine", cell.machine, "--xen", cell.xen, *options),
        *("--", "python3", "-m", "xenapic.verify", cell.machine, emulator_of(cell.machine)),
    ]


def emulator_of(name: str) -> str:
    """Return what emulates a machine here, as recordings have it: ``"bochs 2.7"``, ``"qemu"``."""
    kind = machine(name).emulator
    if kind != "bochs":
        return kind
    return f"bochs {bochs.text(bochs.program().version)}"


def _last_words(err: bytes) -> str:
    lines = err.decode(errors="replace").strip().splitlines()
    return " / ".join(lines[-6:]) or "no word of why"


def default_jobs() -> int:
    """One boot for each processor that this process may use."""
    return len(os.sched_getaffinity(0))


def overview(results: dict[str, Result]) -> Element:
    """Return the matrix as a table of HTML: machines by release and options, each with a link to its part."""
    from xml.etree.ElementTree import Element

    from xenapic.verify.page import anchor, table

    columns = list(dict.fromkeys(f"{r.cell.xen} {r.cell.options}".strip() for r in results.values()))
    rows: dict[str, dict[str, Result]] = {}
    for one in results.values():
        rows.setdefault(one.cell.machine, {})[f"{one.cell.xen} {one.cell.options}".strip()] = one
    lines: list[tuple[bool, list[object]]] = []
    for name, line in rows.items():
        shown: list[object] = [name]
        for column in columns:
            result = line.get(column)
            if result is None:
                shown.append("")
                continue
            link = Element("a", href=f"#{anchor(str(result.cell))}")
            link.text = result.text
            shown.append(link if result.report else f"failed: {result.error}")
        lines.append((not all(one.ok for one in line.values()), shown))
    return table(("machine", *columns), lines)
