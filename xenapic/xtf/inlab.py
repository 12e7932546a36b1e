"""Run tests of XTF on Xens of the lab: if a Xen goes down, one test fails, and the rest run on a new boot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from xenapic.errors import DocumentInvalid
from xenapic.frozen import dataclass
from xenapic.lab import runner
from xenapic.lab.errors import BootError, LabError
from xenapic.parse.codec import decode, encode
from xenapic.parse.jsontext import load
from xenapic.xtf.job import Event, Job
from xenapic.xtf.results import XtfResult, XtfRun
from xenapic.xtf.run import Settings
from xenapic.xtf.tree import XtfTest
from xenapic.xtf.verdict import XtfVerdict, lines_of

__all__ = ["Place", "Progress", "run_on"]

Progress = Callable[[str, str], None]
"""Called with the title of a run, and what happens."""

TREE, POLICY = "/xtf", "/xtf-policy"
COMMAND_SECONDS = 120.0
"""What a run may take beyond the time limits of its tests, in processor time of the emulator."""
MOST_CRASHES = 10
"""How often a Xen may go down in one run."""
PANIC_LINES = 5


@dataclass(frozen=True)
class Place:
    """Where tests run."""

    xen: str
    machine: str
    policy: Path | None
    title: str
    xen_args: tuple[str, ...] = ()


def run_on(place: Place, tests: Sequence[XtfTest], settings: Settings, progress: Progress) -> XtfRun:
    """Run tests on a Xen of the lab, which is booted anew whenever it goes down.

    Whatever goes wrong with the lab is told in the run. Raises `LabUsageError` for names that do not exist.
    """
    results: list[XtfResult] = []
    untested = None
    for crash in range(MOST_CRASHES + 1):
        left = tests[len(results) :]
        if not left:
            break
        if crash == MOST_CRASHES:
            untested = f"the machine went down {crash} times; {len(left)} tests did not run"
            break
        stopped = _boot(place, left, settings, results, progress)
        if stopped:
            untested = stopped
            break
    return XtfRun(
        title=place.title,
        xen=place.xen,
        machine=place.machine,
        policy=str(place.policy) if place.policy else None,
        untested=untested,
        results=tuple(results),
    )


def _boot(
    place: Place,
    tests: Sequence[XtfTest],
    settings: Settings,
    results: list[XtfResult],
    progress: Progress,
) -> str | None:
    """Boot once and run tests until the end or a crash; return why nothing more can run."""
    policy = None if place.policy is None else POLICY
    job = Job(TREE, tuple(test.name for test in tests), policy, settings.timeout, settings.memory_mib)
    reader = _Reader(results, lambda text: progress(place.title, text))
    try:
        done = runner.run(
            ["python3", "-m", "xenapic.xtf", json.dumps(encode(job))],
            machine=place.machine,
            xen=place.xen,
            xen_args=place.xen_args,
            files={**_files(tests), **({} if place.policy is None else {POLICY: place.policy})},
            timeout=COMMAND_SECONDS + len(tests) * settings.timeout,
            on_stdout=reader.take,
        )
    except BootError as error:
        if reader.running is None:
            return _first_line(error)
        results.append(_crashed(reader.running, error))
        return None
    except LabError as error:
        return _first_line(error)
    if reader.refused:
        return f"refused: {' '.join(reader.refused.split())}"
    if done.status or reader.running is not None:
        words = lines_of(done.stderr)
        return f"the tests ended with status {done.status}: {words[-1] if words else 'no reason given'}"
    return None


def _first_line(error: LabError) -> str:
    return str(error).splitlines()[0]


def _crashed(name: str, error: BootError) -> XtfResult:
    lines = lines_of(error.serial.encode())
    why = next((line for line in lines if "Xen BUG at" in line or "Panic on CPU" in line), "")
    note = f"{_first_line(error)}{f' ({why})' if why else ''}"
    return XtfResult(name, XtfVerdict.XEN_CRASH, note, False, 0.0, ())


def _files(tests: Sequence[XtfTest]) -> Mapping[str, Path]:
    """Return what of the tree the tests need, by its place in dom0."""
    files = {}
    for test in tests:
        for path in (test.home / "info.json", test.image, test.config):
            if path.is_file():
                files[f"{TREE}/tests/{test.directory}/{path.name}"] = path
    return files


class _Reader:
    """Reads the lines that dom0 prints as they come."""

    def __init__(self, results: list[XtfResult], tell: Callable[[str], None]) -> None:
        self.running: str | None = None
        self.refused = ""
        self._results = results
        self._tell = tell
        self._rest = b""

    def take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for event in _events(lines):
            if event.begun is not None:
                self.running = event.begun
            elif event.result is not None:
                self.running = None
                self._results.append(event.result)
                self._tell(f"{event.result.name}: {event.result.verdict.value}")
            elif event.refused is not None:
                self.running, self.refused = None, event.refused


def _events(lines: Sequence[bytes]) -> Iterator[Event]:
    for line in lines:
        try:
            event: Event = decode(Event, load(line))
        except DocumentInvalid:  # not ours: a warning of some library, for instance
            continue
        yield event
