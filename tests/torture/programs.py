"""Programs that use the library as its users do; each is killed at random moments."""

from __future__ import annotations

import contextlib
import runpy
import sys
import threading

import xenapic
from xenapic import ApicState, DomainConfig, DomainNotFound, HandleClosed
from xenapic.exits.counter import ExitCounter
from xenapic.probe.run import run_probe

CREATES = 6


def with_block() -> None:
    """Create domains in ``with`` blocks."""
    with xenapic.open() as xen:
        for _ in range(CREATES):
            with (
                xen.create_domain(DomainConfig.pv()) as outer,
                xen.create_domain(DomainConfig.pvh()) as inner,
            ):
                outer.info()
                inner.set_max_vcpus(1)


def recorder() -> None:
    """Print a recording, as ``python -m xenapic.verify`` does."""
    sys.argv[1:] = []
    runpy.run_module("xenapic.verify", run_name="__main__", alter_sys=False)


def probe() -> None:
    """Run the probe guest."""
    with xenapic.open() as xen:
        run_probe(xen, DomainConfig.pvh(), ApicState.X2APIC, timeout=60.0)


def count() -> None:
    """Count the exits of the domain on the command line."""
    with xenapic.open() as xen, ExitCounter(xen, int(sys.argv[1])) as counter:
        counter.wait(0.3)


def threads() -> None:
    """Create domains from four threads that share a handle, and drop some."""

    def work(xen: xenapic.Xen) -> None:
        # A signal makes the main thread close the handle meanwhile, and destroy what is left.
        with contextlib.suppress(HandleClosed, DomainNotFound):
            for number in range(CREATES):
                domain = xen.create_domain(DomainConfig.pv())
                if number % 2:
                    domain.destroy()

    with xenapic.open() as xen:
        started = [threading.Thread(target=work, args=(xen,), daemon=True) for _ in range(4)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
