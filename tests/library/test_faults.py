"""Each call of each operation goes wrong once: no domain more than before, an error of ours, and a second try works."""

from __future__ import annotations

import errno
import fcntl
import gc
import inspect
import os
import re
import resource
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

import xenapic
from tests.library.fakehost import GUEST, Host
from tests.library.faults import CANNOT_FAIL, GARBAGE, Fault, Faults, numbers, says
from tests.library.operations import OPERATIONS, PVH, Operation, stages
from xenapic.abi.library import Library, load
from xenapic.errors import CallFailed, DomainNotFound, XenApicError
from xenapic.exits.counter import count_exits
from xenapic.live import vmcs
from xenapic.live.vmcs import Patience
from xenapic.live.xen import Xen

pytestmark = pytest.mark.library
SECONDS = 20
"""After which an operation hangs."""
MORE_MEMORY = 1 << 30
"""Bytes that a garbled answer may make an operation allocate; it needs far less."""
CHANGING = re.compile(
    "xc_domain_(create|destroy|sethandle|max_vcpus|pause|unpause|hvm_setcontext)|xc_tbuf|xenevtchn_bind"
)
"""Functions that can do their work and report an error all the same, when Xen cannot copy its answer back."""


@pytest.fixture(scope="module")
def real() -> Library:
    return load()


@pytest.fixture(autouse=True)
def setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XENAPIC_STATE", str(tmp_path))
    monkeypatch.setattr("xenapic.exits.counter.time", Clock())
    monkeypatch.setattr(vmcs, "PATIENCE", Patience(presses=2, seconds=2, settle_seconds=0.0))


class Clock:
    """A clock on which each look takes 0.4 ms, so that every run makes the same calls."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Return the seconds."""
        self.now += 0.0004
        return self.now

    def sleep(self, _seconds: float) -> None:
        """Do nothing."""


@contextmanager
def bounds() -> Iterator[None]:
    """End what hangs, and what allocates too much."""

    def hangs(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError("the operation hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MORE_MEMORY, limits[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Attempt:
    """An operation with a fault, on a host of its own."""

    operation: Operation
    real: Library
    at: int | None = None
    fault: Fault = field(default_factory=Fault)
    answer: object = None
    error: BaseException | None = None
    again: object = None

    def run(self) -> Attempt:
        """Run the operation; after an error once more, on the same handle if it was opened."""
        self.host = Host(self.real)
        try:
            self._run()
        finally:
            self.host.close()
        return self

    def _run(self) -> None:
        self.operation.prepare(self.host)
        self.before = self.host.state
        self.faults = Faults(self.real, self.host)
        self.faults.at, self.faults.fault = self.at, self.fault
        xen = None
        try:
            xen = Xen(self.faults.library)
            self.answer = self.operation.run(xen)
        except Exception as error:
            self.error = error
            # A garbled answer may be remembered; only a handle of its own can know better.
            if xen is None or not self.fault.number:
                self._close(xen)
                self._again(Xen(self.faults.library))
            else:
                self._again(xen)
        else:
            self._close(xen)

    def _again(self, xen: Xen) -> None:
        self.between = self.host.state
        try:
            self.again = self.operation.run(xen)
        except DomainNotFound:
            if not self.fault.late:
                raise
            self.again = ...  # a destroy that did its work
        finally:
            self._close(xen)

    def _close(self, xen: Xen | None) -> None:
        try:
            if xen is not None:
                xen.close()
        except XenApicError as error:
            self.error = self.error or error
            xen.close()  # type: ignore[union-attr]  # it was opened
        self.after = self.host.state


@dataclass
class Baseline:
    """An operation without a fault."""

    answer: object
    calls: list[str]
    after: tuple[Any, ...]
    code: set[CodeType]


_BASELINES: dict[str, Baseline] = {}


def baseline(name: str, real: Library) -> Baseline:
    """Run an operation without a fault, once, and watch what it calls."""
    if name not in _BASELINES:
        code: set[CodeType] = set()
        sys.setprofile(lambda frame, _event, _arg: code.add(frame.f_code))
        try:
            attempt = Attempt(OPERATIONS[name], real).run()
        finally:
            sys.setprofile(None)
        assert attempt.error is None, attempt.error
        _BASELINES[name] = Baseline(attempt.answer, attempt.faults.calls, attempt.after, code)
    return _BASELINES[name]


def places(calls: list[str], every: bool) -> list[int]:
    """Return the places of calls that can fail: all, or of each function the first and the last."""
    chosen = range(len(calls)) if every else stages(calls)
    return [place for place in chosen if calls[place] not in CANNOT_FAIL]


NOT_GARBLED = {
    "open_memstream": "the C library",
    "xtl_createlogger_stdiostream": "answers a pointer",
    "xenevtchn_fd": "a wrong descriptor that is open cannot be told from the right one",
}
"""Functions whose answers are not garbled, and why."""
FIGURES: Counter[str] = Counter()

TOLERATED = {
    "xc_readconsolering": "the ring is evidence only: its facts are unknown",
    "xc_domain_sethandle": "it did its work, which is looked up",
    "xc_domain_destroy": "somebody else destroyed the domain, or so it seems: close looks again",
    "xc_domain_getinfolist": "the domain has gone, or so it seems: close looks again",
    "xc_domain_create": "the interface is probed with a create that fails: then it stays unknown",
    "xc_vcpu_getinfo": "the vCPU has gone",
    "xc_tbuf_disable": "putting Xen's settings back is tried twice",
    "xc_tbuf_set_evt_mask": "putting Xen's settings back is tried twice",
}
"""Calls whose failure need not fail the operation, and why."""


def check_failure(name: str, attempt: Attempt, function: str) -> None:
    """Check what a call that failed led to."""
    base, operation, number = baseline(name, attempt.real), attempt.operation, attempt.fault.number
    what = f"{name}: {function} at {attempt.at}, {errno.errorcode[number]}{', late' * attempt.fault.late}"
    if attempt.error is None:
        assert function in TOLERATED or not operation.tells, f"{what}: nobody was told"
        assert attempt.after[0].keys() <= base.after[0].keys() | attempt.before[0].keys(), what
        assert attempt.after[1:] == base.after[1:], what
        return
    assert isinstance(attempt.error, XenApicError), f"{what}: {attempt.error!r}"
    words = "" if function in ("xc_interface_open", "xenevtchn_open") else function
    assert says(attempt.error, number, words), f"{what}: {attempt.error!r}"
    assert attempt.between[0].keys() <= attempt.before[0].keys() | _owned(attempt), f"{what}: a domain more"
    assert attempt.after == base.after, f"{what}: afterwards {attempt.after}"
    assert attempt.again in (base.answer, ...), f"{what}: the second try answers {attempt.again}"


def _owned(attempt: Attempt) -> set[int]:
    """Return the domains that could not be destroyed at once, and must be gone after closing."""
    return set(attempt.between[0]) if attempt.faults.calls[attempt.at or 0] in LAST_CALLS else set()


LAST_CALLS = ("xc_domain_destroy", "xc_domain_getinfolist", "xc_domain_getinfo_single")


def ways(function: str, number: int) -> tuple[bool, ...]:
    """Return whether a call fails before it does its work, after it, or both in turn."""
    if function == "xc_domain_destroy" and number == errno.ESRCH:  # the domain has gone
        return (True,)
    return (False, True) if CHANGING.match(function) else (False,)


def run_failures(name: str, real: Library, every: bool) -> None:
    calls = baseline(name, real).calls
    for turn, place in enumerate(places(calls, every)):
        function = calls[place]
        choices = numbers(function)
        for number in choices if every else {choices[turn % len(choices)], choices[-1]}:
            for late in ways(function, number):
                with bounds():
                    attempt = Attempt(OPERATIONS[name], real, place, Fault(number, late)).run()
                check_failure(name, attempt, function)
                FIGURES["failures"] += 1


def run_garbage(name: str, real: Library, every: bool) -> None:
    base = baseline(name, real)
    for turn, place in enumerate(places(base.calls, every)):
        function = base.calls[place]
        if function in NOT_GARBLED:
            continue
        for seed in range(GARBAGE) if every else {turn % GARBAGE, 0}:
            what = f"{name}: {function} at {place}, garbage {seed}"
            with bounds():
                attempt = Attempt(OPERATIONS[name], real, place, Fault(seed=seed)).run()
            assert attempt.error is None or isinstance(attempt.error, XenApicError), (
                f"{what}: {attempt.error!r}"
            )
            assert attempt.after[0].keys() <= attempt.before[0].keys() | base.after[0].keys(), what
            if attempt.error is not None:
                assert attempt.again == base.answer, what
            FIGURES["garbage"] += 1


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_call_fails_once(name: str, real: Library) -> None:
    run_failures(name, real, every=False)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_answer_is_garbled_once(name: str, real: Library) -> None:
    run_garbage(name, real, every=False)


@pytest.mark.thorough
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_call_fails_in_every_way(name: str, real: Library) -> None:
    run_failures(name, real, every=True)
    run_garbage(name, real, every=True)


# -- nothing without faults ------------------------------------------------------------------------

EXEMPT = {"xenapic.live.xen.open": "finds the library of the running Xen; then as Xen"}
"""Public functions that work on a host and that no operation runs, and why."""
ROOMS = ("live", "probe", "exits", "verify")
OPENED = ("Xen", "Handle", "Domain", "Library", "Connection")
"""Types of arguments through which a host is reached."""


def reaching() -> Iterator[tuple[str, CodeType]]:
    """Yield every public function and method that reaches a host: it takes an open Xen, or its class does."""
    for room in ROOMS:
        for file in sorted((Path(xenapic.__file__).parent / room).glob("*.py")):
            if file.stem.startswith("__"):
                continue
            module = import_module(f"xenapic.{room}.{file.stem}")
            for public in getattr(module, "__all__", ()):
                value = getattr(module, public)
                if getattr(value, "__module__", None) != module.__name__:
                    continue
                if inspect.isfunction(value) and _reaches(value):
                    yield f"{module.__name__}.{public}", value.__code__
                elif inspect.isclass(value) and "__init__" in vars(value) and _reaches(value.__init__):
                    for name, member in vars(value).items():
                        code = _code(member)
                        if code is not None and not name.startswith("_"):
                            yield f"{module.__name__}.{public}.{name}", code


def _reaches(function: Any) -> bool:
    annotations = [str(note) for name, note in function.__annotations__.items() if name != "return"]
    return any(re.search(rf"\b{kind}\b", note) for note in annotations for kind in OPENED)


def _code(member: Any) -> CodeType | None:
    function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    return getattr(function, "__code__", None)


def test_everything_that_reaches_a_host_is_part_of_an_operation(real: Library) -> None:
    run = set().union(*(baseline(name, real).code for name in OPERATIONS))
    found = dict(reaching())
    assert len(found) > 50 and EXEMPT.keys() <= found.keys()
    assert {name for name, code in found.items() if code not in run} == EXEMPT.keys()


def test_every_function_of_the_libraries_is_called(real: Library) -> None:
    """Those that the source names: a new call without a fault fails this test."""
    called = set().union(*(baseline(name, real).calls for name in OPERATIONS))
    source = "".join(path.read_text() for path in (Path(xenapic.__file__).parent / "abi").rglob("*.py"))
    named = set(re.findall(r"[\"'.](xc_\w+|xenforeignmemory_\w+|xenevtchn_\w+|xtl_create\w+)\b", source))
    missing = {"xc_domain_getinfo_single"} if str(real.release) < "4.18" else {"xc_domain_getinfolist"}
    failing_only = {"xc_get_last_error", "xc_error_code_to_desc", "xc_clear_last_error"}
    named -= {"xc_error", "xc_cpupoolinfo_t"}  # types
    assert len(named) > 30
    assert named - called - failing_only <= missing | PREFIXES


PREFIXES = {"xc_domain_", "xc_vcpu_", "xc_evtchn_", "xc_hvm_param_"}
"""How functions start, which the source names too."""


# -- what the harness cannot find by itself ---------------------------------------------------------


def test_a_number_that_belongs_to_another_domain_is_not_released(real: Library) -> None:
    """A create that answers a guest's number: its handle stays, and our domain is found by its mark."""
    host = Host(real)
    create = host.xc_domain_create

    def wrong(xch: Any, pdomid: Any, config: Any) -> int:
        answer = create(xch, pdomid, config)
        pdomid[0] = GUEST
        return answer

    host.xc_domain_create = wrong  # type: ignore[method-assign]
    before = host.state
    with Xen(Faults(real, host).library) as xen:
        with pytest.raises(DomainNotFound, match="release domain 3"), xen.create_domain(PVH) as domain:
            domain.release()
        assert host.state == before
    host.close()


def test_a_timer_that_would_crash_xen_is_not_loaded(real: Library) -> None:
    """Xen accepts the divisor 0, and divides by it."""
    host = Host(real)
    partial = host.xc_domain_hvm_getcontext_partial

    def zero(*args: Any) -> int:
        answer = partial(*args)
        args[4].timer_divisor = 0
        return answer

    host.xc_domain_hvm_getcontext_partial = zero  # type: ignore[method-assign,assignment]
    faults = Faults(real, host)
    with Xen(faults.library) as xen, pytest.raises(CallFailed, match="divisor of the APIC timer"):
        xen.measure()
    assert "xc_domain_hvm_setcontext" not in faults.calls
    host.close()


def test_a_dropped_domain_that_cannot_be_destroyed_at_once_is_tried_again(real: Library) -> None:
    host = Host(real)
    faults = Faults(real, host)
    before = host.state
    with Xen(faults.library) as xen:
        xen.host()
        faults.calls.clear()
        faults.at, faults.fault = 2, Fault(errno.EBUSY)  # after create and the look at its mark
        xen.create_domain(PVH)
        gc.collect()
        xen.physinfo()
        assert host.state != before
    assert host.state == before
    host.close()


def test_many_open_files_do_not_hinder_counting(real: Library) -> None:
    """select() takes no descriptor above 1023."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] < 2048:
        pytest.skip("needs 2048 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, limits[1]))
    host = Host(real)
    high = fcntl.fcntl(host.trace.ends[0], fcntl.F_DUPFD, 1500)
    os.close(host.trace.ends[0])
    host.trace.ends = (high, host.trace.ends[1])
    try:
        with Xen(Faults(real, host).library) as xen:
            assert count_exits(xen, GUEST, 0.001, pages=1).total == 0
    finally:
        host.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
