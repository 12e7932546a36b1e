"""Programs that wear the library out: many creates, threads and processes, forks at random moments.

Each prints one JSON object; its ``wrong`` lists what is not as promised.
"""

from __future__ import annotations

import gc
import json
import os
import random
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xenapic
from xenapic import DomainConfig, Policy

__all__ = ["creates", "forks", "herd", "orphans"]

PAGE = 4096
FLAT_BYTES = 256 * 1024
"""How much the memory of a process may grow over thousands of creates: pages that the allocator keeps."""
FLAT_PAGES = 64
"""How much Xen's free pages may differ: what other programs in dom0 do meanwhile."""
PATIENCE = 60.0
EXPECTED = 7


def creates() -> None:
    """Create and destroy a domain N times; memory, descriptors and Xen's free pages must stay flat."""
    (times,) = map(int, sys.argv[1:])
    config, policy = DomainConfig.pvh(), Policy(assisted_x2apic=None)
    with xenapic.open() as xen:

        def once(number: int) -> None:
            chosen = policy if number % 5 == 0 else None
            with xen.create_domain(config, chosen) as domain:
                if number % 3 == 0:
                    domain.set_max_vcpus(1)

        for number in range(max(times // 10, 50)):
            once(number)
        before = _sizes(xen)
        for number in range(times):
            once(number)
        after = _sizes(xen)
    grown = {name: after[name] - before[name] for name in before}
    wrong = []
    if grown["memory"] > FLAT_BYTES:
        wrong.append(f"memory grew by {grown['memory']} bytes")
    if grown["descriptors"]:
        wrong.append(f"{grown['descriptors']} descriptors more")
    if abs(grown["free_pages"]) > FLAT_PAGES:
        wrong.append(f"Xen's free pages changed by {grown['free_pages']}")
    _answer({"creates": times, "grown": grown, "wrong": wrong})


def _sizes(xen: xenapic.Xen) -> dict[str, int]:
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
    return {
        "memory": resident,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "free_pages": xen.physinfo().free_pages,
    }


def herd() -> None:
    """Create and destroy from P processes with T threads each, half of them sharing a handle."""
    processes, threads, times = map(int, sys.argv[1:])
    children = [_forked(lambda: _threads(threads, times)) for _ in range(processes)]
    statuses = [_ended(child, PATIENCE * 10) for child in children]
    wrong = [f"a process ended with {status}" for status in statuses if status != EXPECTED]
    _answer(
        {"creates": processes * threads * times, "processes": processes, "threads": threads, "wrong": wrong}
    )


def _threads(threads: int, times: int) -> int:
    failed: list[BaseException] = []

    def work(xen: xenapic.Xen) -> None:
        try:
            for number in range(times):
                domain = xen.create_domain(DomainConfig.pv(), Policy() if number % 2 else None)
                if number % 4:
                    domain.destroy()
        except BaseException as error:
            failed.append(error)

    with xenapic.open() as shared:
        own = [xenapic.open() if number % 2 else shared for number in range(threads)]
        started = [threading.Thread(target=work, args=(xen,)) for xen in own]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        for xen in own:
            if xen is not shared:
                xen.close()
    for error in failed:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return 1 if failed else EXPECTED


def forks() -> None:
    """Fork N children at random moments, while threads are in calls; each must work and end."""
    times, seed = map(int, sys.argv[1:])
    chance, stop = random.Random(seed), threading.Event()
    with xenapic.open() as xen:
        kept = xen.create_domain(DomainConfig.pv())

        def work() -> None:
            while not stop.is_set():
                with xen.create_domain(DomainConfig.pv(), Policy()):
                    xen.domains()

        started = [threading.Thread(target=work) for _ in range(3)]
        for thread in started:
            thread.start()
        statuses = []
        for _ in range(times):
            time.sleep(chance.random() * 0.02)
            child = _forked(lambda: _as_a_child(xen))
            statuses.append(_ended(child, PATIENCE))
        stop.set()
        for thread in started:
            thread.join()
        alive = kept.domid in {info.domid for info in xen.domains()}
    wrong = [f"a child ended with {status}" for status in statuses if status != EXPECTED]
    if not alive:
        wrong.append("a child destroyed its parent's domain")
    _answer({"forks": times, "hung": statuses.count(None), "wrong": wrong})


def _as_a_child(inherited: xenapic.Xen) -> int:
    inherited.close()
    with xenapic.open() as xen, xen.create_domain(DomainConfig.pv(), Policy()):
        return EXPECTED


def orphans() -> None:
    """Be killed with two domains."""
    xen = xenapic.open()
    kept = [xen.create_domain(DomainConfig.pv()) for _ in range(2)]
    assert kept
    os.kill(os.getpid(), signal.SIGKILL)


def _forked(work: Callable[[], int]) -> int:
    """Return the process id of a child that does the work and ends with its status."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        status = work()
    finally:
        os._exit(status)


def _ended(pid: int, seconds: float) -> int | None:
    """Return how a child ended; None if it had to be killed."""
    descriptor = os.pidfd_open(pid)
    try:
        late = not select.select([descriptor], [], [], seconds)[0]
    finally:
        os.close(descriptor)
    if late:
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return None if late else status


def _answer(found: dict[str, Any]) -> None:
    print(json.dumps(found))
