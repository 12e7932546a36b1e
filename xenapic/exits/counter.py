"""Count a domain's VM exits in Xen's trace.

Tracing slows every guest of the host at each exit, and Python cannot read as fast as Xen can write: on a busy
host Xen loses records. It reports how many, and the counts are then lower bounds.
"""

from __future__ import annotations

import atexit
import contextlib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from xenapic.abi.forks import left_to_parent
from xenapic.abi.tracebuffers import TraceBuffers, TraceVirq
from xenapic.apic.features import Technology
from xenapic.errors import ConfigInvalid, DomainNotFound
from xenapic.exits.buffers import map_buffers, surely, take_free
from xenapic.exits.events import NEEDED_MASK, REASONS_MASK
from xenapic.exits.judgement import ExitKind, Removable
from xenapic.exits.records import TraceParser
from xenapic.exits.report import ExitCount, ExitReport
from xenapic.model.facts import Answer
from xenapic.model.flags import DOMINF
from xenapic.signals import undisturbed

if TYPE_CHECKING:
    from xenapic.abi.handle import Handle
    from xenapic.exits.buffers import OpenXen

__all__ = ["DEFAULT_PAGES", "ExitCounter", "count_exits"]

DEFAULT_PAGES = 32
"""Trace buffer to allocate for each CPU, in pages of 4 KiB; ``xentrace`` has the same default."""
POLL_SECONDS = 0.1
ANY_RECORD_BYTES = 128
"""A ring with less room than this may have lost records: room for the largest record, the record of a loss,
and the unused end of the ring."""
SETTLE_SECONDS = 0.05
LEFT_BY_DELIVERY = (7, 56)
"""Exits for interrupt windows and APIC writes: if Xen uses virtual-interrupt delivery, which it does for all
guests or none, they are those that it cannot avoid."""


class ExitCounter:
    """Counter of a domain's VM exits from `start` to `stop`; as a context manager it calls both.

    The trace must be read while Xen writes it: call `wait` (or `snapshot`) before a buffer is full. Raises
    `TraceBusy` when the trace buffers are in use, `ConfigInvalid` for a PV domain (it has no VM exits),
    `DomainNotFound`, and `CallFailed` when Xen refuses, e.g. ENOMEM for buffers of ``pages`` pages per CPU,
    or ENOSYS when Xen was built without tracing.

    With ``reasons_only`` Xen records a third as much, and the registers that exits concern stay unknown.

    While settings are changed or restored, SIGINT, SIGTERM and SIGHUP are held back in the calling thread.
    """

    def __init__(
        self, xen: OpenXen, domid: int, *, pages: int = DEFAULT_PAGES, reasons_only: bool = False
    ) -> None:
        if pages < 1:
            raise ConfigInvalid(f"a trace buffer has at least 1 page, not {pages}")
        self.domid = domid
        self._handle: Handle = xen.handle
        self._pages = pages
        self._mask = REASONS_MASK if reasons_only else NEEDED_MASK
        self._technology = self._check(xen)
        self._parser = TraceParser(domid, self._technology)
        self._release = self._handle.library.release
        self._stack = ExitStack()
        self._virq: TraceVirq | None = None
        self._buffers: TraceBuffers | None = None
        self._full: set[int] = set()
        self._lost_more = self._ended = self._left = False
        self._unseen = 0
        self._started = self._until = 0.0
        left_to_parent(self)

    def start(self) -> None:
        """Take the trace buffers over and start counting."""
        if self._buffers is not None:
            raise ConfigInvalid("this counter has already been started")
        try:
            with undisturbed():
                # In case Ctrl-C arrives before the with block begins, or again before its end has begun.
                atexit.register(self._stack.close)
                self._handle.connection.while_open(self._give_back)
                self._take_over()
        except BaseException:
            self._give_back()
            raise

    def wait(self, seconds: float) -> None:
        """Count for some more seconds; return early if the count has ended."""
        end = time.monotonic() + seconds
        while True:
            self._drain()
            left = end - time.monotonic()
            if left <= 0 or self._virq is None:
                return
            self._virq.wait(min(left, POLL_SECONDS))

    def snapshot(self) -> ExitReport:
        """Return the counts since `start`; counting continues."""
        if self._virq is not None:
            self._drain()
            self._place()
        return self._report()

    def stop(self) -> ExitReport:
        """Stop counting, restore Xen's settings and return the counts; a second call returns the same."""
        if self._virq is not None:
            with undisturbed():
                try:
                    self._drain()
                    self._place()
                    self._settle()
                finally:
                    self._give_back()
        return self._report()

    def __enter__(self) -> ExitCounter:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._left:
            self.stop()

    # -- taking over, and giving back ----------------------------------------------------------------

    def _check(self, xen: OpenXen) -> Technology:
        info = self._handle.domains.info(self.domid)
        if not info.flags & DOMINF.hvm_guest:
            raise ConfigInvalid(f"domain {self.domid} is PV, so it has no VM exits")
        host = xen.host()
        technology = host.technology
        self._delivers = host.features["virtual_interrupt_delivery"].answer is Answer.YES
        if technology is None:
            raise ConfigInvalid("the host has no hardware virtualisation, so no domain has VM exits")
        return technology

    def _take_over(self) -> None:
        handle, stack = self._handle, self._stack
        virq = TraceVirq(handle.library)
        stack.callback(virq.close)
        maps = stack.enter_context(ExitStack())  # closed last, after the last reading
        before, buffers = take_free(handle, maps)
        stack.callback(surely, handle.trace.set_event_mask, before)
        handle.trace.set_event_mask(self._mask)
        handle.trace.trace_all_cpus()
        stack.callback(self._switch_off)
        if buffers is None:
            handle.trace.allocate(self._pages)
            buffers = map_buffers(handle, maps)
        else:
            handle.trace.enable(buffers.pages)
        self._started = time.monotonic()
        self._unseen = max(handle.host.physinfo().nr_cpus - len(buffers.cpus), 0)
        self._virq, self._buffers = virq, buffers

    def _give_back(self) -> None:
        with undisturbed():
            atexit.unregister(self._stack.close)
            self._handle.connection.no_longer_while_open(self._give_back)
            self._stack.close()

    def leave_to_parent(self) -> None:
        """Leave counting and Xen's settings to the parent in a forked child."""
        atexit.unregister(self._stack.close)
        self._stack.pop_all()
        self._virq = self._buffers = None
        self._left = True

    def _switch_off(self) -> None:
        """Switch tracing off, and count what was recorded until now."""
        surely(self._handle.trace.disable)
        self._until = time.monotonic()
        self._lost_more = bool(self._full)
        if self._buffers is not None:
            self._drain()
            self._parser.finish()
        self._virq = None

    # -- reading --------------------------------------------------------------------------------------

    def _drain(self) -> None:
        buffers = self._buffers
        if buffers is None:
            return
        for cpu in buffers.cpus:
            try:
                data = buffers.take(cpu)
            except ValueError:
                self._parser.malformed(cpu)
                continue
            if not data:
                continue
            self._parser.feed(cpu, data)
            if buffers.ring_bytes - len(data) < ANY_RECORD_BYTES:
                self._full.add(cpu)
            else:  # the first of these would have reported a loss
                self._full.discard(cpu)

    def _settle(self) -> None:
        """Give Xen time to report lost records: it does so with its next record, and not after the end."""
        if self._full:
            time.sleep(SETTLE_SECONDS)
            self._drain()

    def _place(self) -> None:
        """Find out which vCPUs run on CPUs whose scheduler has recorded nothing so far."""
        if not self._parser.unplaced():
            return
        running = {}
        try:
            for vcpu in range(self._handle.domains.info(self.domid).max_vcpu_id + 1):
                with contextlib.suppress(DomainNotFound):  # no such vCPU
                    info = self._handle.domains.vcpu(self.domid, vcpu)
                    if info.running:
                        running[info.cpu] = vcpu
        except DomainNotFound:
            self._ended = True
        self._drain()  # "so far" means until the vCPUs were looked up
        self._parser.place(running)

    def _report(self) -> ExitReport:
        tally = self._parser.tally()
        counts = [ExitCount(vcpu, self._settled(kind), count) for (vcpu, kind), count in tally.exits.items()]
        with contextlib.suppress(DomainNotFound):
            self._ended = True
            self._handle.domains.info(self.domid)
            self._ended = False
        until = self._until or time.monotonic()
        return ExitReport(
            domid=self.domid,
            technology=self._technology,
            seconds=until - self._started if self._started else 0.0,
            counts=tuple(sorted(counts, key=lambda row: (row.vcpu, -row.count, str(row.kind)))),
            lost=tally.lost,
            lost_more=self._lost_more,
            unattributed=tally.unattributed,
            malformed=tally.malformed,
            unseen_cpus=self._unseen,
            ended=self._ended,
            notes=tuple(self._notes()),
        )

    def _settled(self, kind: ExitKind) -> ExitKind:
        """Mark exits that remain even with virtual-interrupt delivery, which the trace does not show."""
        if self._delivers and kind.technology is Technology.VMX and kind.reason in LEFT_BY_DELIVERY:
            return replace(kind, removable=Removable.NO)
        return kind

    def _notes(self) -> Iterator[str]:
        tally = self._parser.tally()
        if tally.lost or self._lost_more:
            yield (
                f"{tally.lost}{' or more' if self._lost_more else ''} trace records were lost, so the "
                "numbers are lower bounds; larger buffers help, but Xen allocates them only once after boot"
            )
        if tally.unattributed:
            yield (
                f"{tally.unattributed} exits may be this domain's or another's: core scheduling (sched-gran) "
                "or lost records hide the owner"
            )
        if tally.malformed:
            yield f"{tally.malformed} pieces of trace could not be read; their exits are not counted"
        if self._unseen:
            yield (
                f"{self._unseen} CPUs have no trace buffer, because they came online after the buffers were "
                "allocated; their exits are not counted"
            )
        if self._release.number < (4, 17):
            yield (
                f"Xen {self._release} does not record reads of x2APIC registers; these RDMSR exits are among "
                "those with an unknown cause"
            )
        if self._ended:
            yield f"domain {self.domid} no longer exists"


def count_exits(xen: OpenXen, domid: int, seconds: float, *, pages: int = DEFAULT_PAGES) -> ExitReport:
    """Count a domain's VM exits for some seconds; raise the errors of `ExitCounter`."""
    counter = ExitCounter(xen, domid, pages=pages)
    with counter:
        counter.wait(seconds)
    return counter.stop()
