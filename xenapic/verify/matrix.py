"""Compare the model with a real Xen on every machine of the lab, for ``xenapic lab verify``.

Each cell is one boot in a process of its own; as many run at a time as there are processors. Dom0 of the
emulated machine only records; the recording is checked here, where that is fast.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import product
from typing import TYPE_CHECKING

from xenapic.errors import DocumentInvalid
from xenapic.frozen import dataclass
from xenapic.lab import bochs, catalog
from xenapic.lab.machines import machine
from xenapic.parse.jsontext import load
from xenapic.verify.check import Report
from xenapic.verify.checks import check_recording
from xenapic.verify.recording import Recording, read_recording
from xenapic.verify.select import selection_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["Cell", "Result", "cells", "default_jobs", "emulator_of", "overview", "run_cells", "run_matrix"]

LIMIT_SECONDS = 900.0
"""Limit for the recording of one cell, in processor time of the emulator."""
BACKSTOP_SECONDS = 10 * LIMIT_SECONDS
"""Limit for one cell by the wall clock; only a `xenapic lab run` that hangs reaches it."""
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
    """The result of a cell."""

    cell: Cell
    seconds: float
    recording: Recording | None = None
    report: Report | None = None
    error: str = ""
    """Why there is no report."""

    @property
    def ok(self) -> bool:
        """Whether there is a report, and everything compared agrees."""
        return self.report is not None and self.report.ok

    @property
    def text(self) -> str:
        """The result in a few words."""
        if self.report is None:
            return "failed"
        return f"{self.report.agree} of {self.report.compared}"


def cells(machines: Sequence[str], xens: Sequence[str], apicv: Sequence[str]) -> list[Cell]:
    """Return the cells of a matrix. AMD has no apicv option. Raises `LabUsageError` for an unknown name.

    A Xen that is given by its path is copied once, for all of its cells.
    """
    wanted = []
    known = dict.fromkeys(catalog.find(xen).version for xen in xens)
    for name, xen, options in product(machines, known, apicv):
        if machine(name).vendor == "Intel" or not options:
            wanted.append(Cell(name, xen, options))
    return wanted


def run_matrix(
    wanted: Sequence[Cell], jobs: int, done: Callable[[Result], None], select: str = ""
) -> dict[str, Result]:
    """Run every cell and return the results by name; otherwise as `run_cells`."""
    return {str(result.cell): result for result in run_cells(wanted, jobs, done, select)}


def run_cells(
    wanted: Sequence[Cell],
    jobs: int,
    done: Callable[[Result], None],
    select: str = "",
    limit: float = LIMIT_SECONDS,
) -> list[Result]:
    """Run every cell and return the results in the order asked for; call ``done`` with each result.

    ``select`` is a text for `xenapic.verify.select.selection_of`: only that part is recorded and checked.
    ``limit`` is for one cell, in seconds of the emulator's processor time. If an exception or Ctrl-C ends the
    run early, the machines that are running end too.
    """
    pool, boots = ThreadPoolExecutor(jobs), _Boots(select, limit)
    try:
        waiting = [pool.submit(boots.run, cell) for cell in wanted]
        for future in as_completed(waiting):
            done(future.result())
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        boots.end()
        raise
    finally:
        pool.shutdown()
    return [future.result() for future in waiting]


class _Boots:
    """The processes of a run."""

    def __init__(self, select: str, limit: float) -> None:
        self._select = select
        self._limit = limit
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def end(self) -> None:
        """End the processes that run, and start no more."""
        with self._lock:
            self._ended = True
            for child in self._running:
                child.terminate()

    def run(self, cell: Cell) -> Result:
        """Boot a cell's machine, let it record, and check the recording."""
        began = time.monotonic()
        with self._lock:
            if self._ended:
                return Result(cell, 0.0, error="not started")
            child = subprocess.Popen(
                _command(cell, self._select, self._limit),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            self._running.add(child)
        try:
            out, err = child.communicate(timeout=BACKSTOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.terminate()
            out, err = child.communicate()
            err += f"\nit did not end within {BACKSTOP_SECONDS:g} s".encode()
        finally:
            with self._lock:
                self._running.discard(child)
        seconds = time.monotonic() - began
        if child.returncode:
            return Result(cell, seconds, error=_last_words(err))
        try:
            recording = read_recording(load(out))
            report = selection_of(self._select).report(check_recording(recording, str(cell)))
            return Result(cell, seconds, recording, report)
        except DocumentInvalid as error:
            return Result(cell, seconds, error=f"what it recorded cannot be read: {error}")


def _command(cell: Cell, select: str, limit: float) -> list[str]:
    options = ["--xen-args", cell.options] if cell.options else []
    return [
        *(sys.executable, "-m", "xenapic", "lab", "run", "--quiet", "--timeout", str(limit)),
        *("--machine", cell.machine, "--xen", cell.xen, *options),
        *("--", "python3", "-m", "xenapic.verify", cell.machine, emulator_of(cell.machine), select),
    ]


def emulator_of(name: str) -> str:
    """Return what emulates a machine here, in the words of recordings: ``"bochs 2.7"``, ``"qemu"``."""
    kind = machine(name).emulator
    if kind != "bochs":
        return kind
    return f"bochs {bochs.text(bochs.program().version)}"


def _last_words(err: bytes) -> str:
    lines = err.decode(errors="replace").strip().splitlines()
    return " / ".join(lines[-6:]) or "it gave no reason"


def default_jobs() -> int:
    """Return one job for each processor that this process may use."""
    return len(os.sched_getaffinity(0))


def overview(results: dict[str, Result]) -> Element:
    """Return the matrix as an HTML table: machines by release and options, linked to their sections."""
    from xml.etree.ElementTree import Element

    from xenapic.verify.page import anchor, html_table

    columns = list(dict.fromkeys(f"{r.cell.xen} {r.cell.options}".strip() for r in results.values()))
    rows: dict[str, dict[str, Result]] = {}
    for each in results.values():
        rows.setdefault(each.cell.machine, {})[f"{each.cell.xen} {each.cell.options}".strip()] = each
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
        lines.append((not all(each.ok for each in line.values()), shown))
    return html_table(("machine", *columns), lines)
