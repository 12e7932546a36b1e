"""Count a domain's VM exits in Xen's trace.

Xen has one set of trace buffers for the whole host and one event mask. They are taken only when
nobody else uses them, and what was set is put back. What cannot be put back: buffers, once
allocated, stay until reboot; and Xen does not tell which CPUs were to be traced, so all of them
are (as after boot).

Tracing costs every guest of the host some time at each exit, and Python cannot read as fast as
Xen can write: of a busy host records are lost. How many is counted; numbers are then lower bounds.
"""

from __future__ import annotations

import atexit
import contextlib
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from xenapic.abi.tracebuffers import TraceBuffers, TraceVirq
from xenapic.apic.features import Technology
from xenapic.errors import ConfigInvalid, DomainNotFound, TraceBusy, TraceUse
from xenapic.exits.judgement import Cause, ExitKind, Removable
from xenapic.exits.records import BOOT_MASK, NEEDED_MASK, PROBE_MASK, TraceParser, is_ours
from xenapic.frozen import dataclass
from xenapic.model.facts import Answer
from xenapic.model.flags import DOMINF

if TYPE_CHECKING:
    from xenapic.abi.handle import Handle
    from xenapic.live.xen import Xen

__all__ = ["DEFAULT_PAGES", "ExitCount", "ExitCounter", "ExitReport", "count_exits", "recover_tracing"]

DEFAULT_PAGES = 32
"""Trace buffer of each CPU, in pages of 4 KiB, if none is there yet: what ``xentrace`` takes."""
POLL_SECONDS = 0.1
ANY_RECORD_BYTES = 128
"""A ring with less room than this may have lost records: the greatest record, one that tells of a loss,
and what is left over at the ring's end."""
SETTLE_SECONDS = 0.05
LEFT_BY_DELIVERY = (7, 56)
"""Interrupt windows and APIC writes: where virtual-interrupt delivery is used, host-wide as Xen does, these
are the ones that it does not spare."""
HOW_TO_RECOVER = "stop tracing and discard what is there with 'xenapic exits --recover'"


@dataclass(frozen=True, slots=True)
class ExitCount:
    """How often one vCPU left the guest in one way."""

    vcpu: int
    kind: ExitKind
    count: int


@dataclass(frozen=True, slots=True)
class ExitReport:
    """A domain's VM exits over some time."""

    domid: int
    technology: Technology
    seconds: float
    """How long was counted."""
    counts: tuple[ExitCount, ...]
    """Per vCPU, most frequent first."""
    lost: int
    """Trace records, of every kind and of all domains, that found no room."""
    lost_more: bool
    """Whether more may have been lost at the end, of which Xen tells no more."""
    unattributed: int
    """Exits whose domain the trace does not tell."""
    malformed: int
    """Pieces of trace that could not be read."""
    unseen_cpus: int
    """CPUs without a trace buffer, since they came online after the buffers were allocated."""
    ended: bool
    """Whether the domain was gone at the end."""
    notes: tuple[str, ...]
    """What to bear in mind of these numbers."""

    @property
    def complete(self) -> bool:
        """Whether every exit was counted; otherwise the numbers are lower bounds."""
        return not (self.lost or self.lost_more or self.unattributed or self.malformed or self.unseen_cpus)

    @property
    def total(self) -> int:
        """All exits of the domain."""
        return self.count()

    def count(
        self,
        *,
        reason: int | None = None,
        register: str | None = None,
        cause: Cause | None = None,
        removable: Removable | None = None,
        vcpu: int | None = None,
    ) -> int:
        """Return how many exits fit what is given."""
        return sum(
            one.count
            for one in self.counts
            if reason in (None, one.kind.reason)
            and register in (None, one.kind.register)
            and cause in (None, one.kind.cause)
            and removable in (None, one.kind.removable)
            and vcpu in (None, one.vcpu)
        )

    def rate(self, count: int) -> float:
        """Return a number of exits per second."""
        return count / self.seconds if self.seconds > 0 else 0.0

    @property
    def removable_share(self) -> tuple[float, float]:
        """Which part of all exits acceleration could spare: at least, and at most, 0 to 1."""
        least = self.count(removable=Removable.YES)
        most = least + self.count(removable=Removable.UNKNOWN)
        return (least / self.total, most / self.total) if self.total else (0.0, 0.0)

    @property
    def kinds(self) -> dict[ExitKind, int]:
        """The counts of all vCPUs together, most frequent first."""
        found: dict[ExitKind, int] = {}
        for one in self.counts:
            found[one.kind] = found.get(one.kind, 0) + one.count
        return dict(sorted(found.items(), key=lambda row: -row[1]))


class ExitCounter:
    """Counts the VM exits of a domain from `start` to `stop`; a context manager does both.

    The trace must be read while it is written: call `wait` (or `snapshot`) at least as often as
    a buffer fills. Raises `TraceBusy` when the trace buffers are not free, `ConfigInvalid` for a
    PV domain (it has no VM exits), `DomainNotFound`, and `CallFailed` when Xen refuses, e.g.
    ENOMEM for buffers of ``pages`` pages per CPU, ENOSYS when Xen was built without tracing.

    SIGINT, SIGTERM and SIGHUP wait while settings are changed or put back, in the calling thread.
    """

    def __init__(self, xen: Xen, domid: int, *, pages: int = DEFAULT_PAGES) -> None:
        if pages < 1:
            raise ConfigInvalid(f"{pages} pages are no trace buffer")
        self.domid = domid
        self._handle: Handle = xen.handle
        self._pages = pages
        self._technology = self._check(xen)
        self._parser = TraceParser(domid, self._technology)
        self._release = self._handle.library.release
        self._stack = ExitStack()
        self._virq: TraceVirq | None = None
        self._buffers: TraceBuffers | None = None
        self._full: set[int] = set()
        self._lost_more = self._ended = False
        self._unseen = 0
        self._started = self._until = 0.0

    def start(self) -> None:
        """Take the trace buffers and start counting."""
        if self._buffers is not None:
            raise ConfigInvalid("this counter was started already")
        try:
            with _undisturbed():
                atexit.register(self._stack.close)  # should Ctrl-C strike before a with block has begun
                self._take_over()
        except BaseException:
            self._give_back()
            raise

    def wait(self, seconds: float) -> None:
        """Count for some more seconds."""
        end = time.monotonic() + seconds
        while True:
            self._drain()
            left = end - time.monotonic()
            if left <= 0 or self._virq is None:
                return
            self._virq.wait(min(left, POLL_SECONDS))

    def snapshot(self) -> ExitReport:
        """Return what was counted since `start`; counting goes on."""
        if self._virq is not None:
            self._drain()
            self._place()
        return self._report()

    def stop(self) -> ExitReport:
        """Stop counting and put Xen's settings back; a second call returns the same again."""
        if self._virq is not None:
            with _undisturbed():
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
        self.stop()

    # -- taking over, and giving back ----------------------------------------------------------------

    def _check(self, xen: Xen) -> Technology:
        info = self._handle.domains.info(self.domid)
        if not info.flags & DOMINF.hvm_guest:
            raise ConfigInvalid(f"domain {self.domid} is PV: it has no VM exits")
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
        maps = stack.enter_context(ExitStack())  # outlives the last reading
        before, buffers = take_free(handle, maps)
        stack.callback(handle.trace.set_event_mask, before)
        handle.trace.set_event_mask(NEEDED_MASK)
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
        with _undisturbed():
            atexit.unregister(self._stack.close)
            self._stack.close()

    def _switch_off(self) -> None:
        """The first step back: what was recorded until then is still counted."""
        self._handle.trace.disable()
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
            else:  # had records been lost, the first of these would have told
                self._full.discard(cpu)

    def _settle(self) -> None:
        """Give Xen time to tell of lost records: it does so with the next record, and not after the end."""
        if self._full:
            time.sleep(SETTLE_SECONDS)
            self._drain()

    def _place(self) -> None:
        """Find out who runs on CPUs whose scheduler has recorded nothing so far."""
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
        self._drain()  # only what was recorded before counts as "nothing so far"
        self._parser.place(running)

    def _report(self) -> ExitReport:
        tally = self._parser.tally()
        counts = [
            ExitCount(vcpu, self._with_what_is_in_force(kind), count)
            for (vcpu, kind), count in tally.exits.items()
        ]
        with contextlib.suppress(DomainNotFound):
            self._ended = True
            self._handle.domains.info(self.domid)
            self._ended = False
        until = self._until or time.monotonic()
        return ExitReport(
            domid=self.domid,
            technology=self._technology,
            seconds=until - self._started if self._started else 0.0,
            counts=tuple(sorted(counts, key=lambda one: (one.vcpu, -one.count, str(one.kind)))),
            lost=tally.lost,
            lost_more=self._lost_more,
            unattributed=tally.unattributed,
            malformed=tally.malformed,
            unseen_cpus=self._unseen,
            ended=self._ended,
            notes=tuple(self._notes()),
        )

    def _with_what_is_in_force(self, kind: ExitKind) -> ExitKind:
        """Say no where the trace alone leaves it open: what is left despite virtual-interrupt delivery."""
        if self._delivers and kind.technology is Technology.VMX and kind.reason in LEFT_BY_DELIVERY:
            return replace(kind, removable=Removable.NO)
        return kind

    def _notes(self) -> Iterator[str]:
        tally = self._parser.tally()
        if tally.lost or self._lost_more:
            yield (
                f"{tally.lost}{' or more' if self._lost_more else ''} trace records were lost: the numbers "
                "are lower bounds; more pages of buffer help, but only before the first use since boot"
            )
        if tally.unattributed:
            yield (
                f"{tally.unattributed} exits could not be told to be this domain's or another's: core "
                "scheduling (sched-gran) does this, or lost records"
            )
        if tally.malformed:
            yield f"{tally.malformed} pieces of trace could not be read; what was in them is not counted"
        if self._unseen:
            yield (
                f"{self._unseen} CPUs have no trace buffer, since they came online after the buffers were "
                "allocated: exits there are not seen"
            )
        if self._release.number < (4, 17):
            yield (
                f"Xen {self._release} does not record reads of x2APIC registers: such RDMSR exits are "
                "among those of unknown cause"
            )
        if self._ended:
            yield f"domain {self.domid} is gone"


def count_exits(xen: Xen, domid: int, seconds: float, *, pages: int = DEFAULT_PAGES) -> ExitReport:
    """Count a domain's VM exits for some seconds; see `ExitCounter` for what is raised."""
    counter = ExitCounter(xen, domid, pages=pages)
    with counter:
        counter.wait(seconds)
    return counter.stop()


def recover_tracing(xen: Xen) -> bool:
    """Put tracing back to what Xen starts with, after a tracer was killed; tell whether there was need.

    Tracing is switched off, unread records are dropped, the event mask becomes Xen's own.
    Raises `TraceBusy` while another tracer reads.
    """
    handle: Handle = xen.handle
    with _undisturbed(), ExitStack() as stack:
        virq = TraceVirq(handle.library)
        stack.callback(virq.close)
        info = handle.trace.info()
        handle.trace.disable()
        handle.trace.set_event_mask(BOOT_MASK)
        handle.trace.trace_all_cpus()
        unread = 0
        if info.buffer_mfn:
            buffers = map_buffers(handle, stack)
            with contextlib.suppress(ValueError):
                unread = buffers.unread()
            buffers.discard()
    return bool(unread) or info.evt_mask != BOOT_MASK


def map_buffers(handle: Handle, stack: ExitStack) -> TraceBuffers:
    """Map Xen's trace buffers until the stack is unwound."""
    info = handle.trace.info()
    buffers = TraceBuffers(handle.library, info.buffer_mfn, info.size, handle.host.physinfo().max_cpu_id)
    stack.callback(buffers.close)
    return buffers


def take_free(handle: Handle, stack: ExitStack) -> tuple[int, TraceBuffers | None]:
    """Return the event mask and the buffers, None when there are none yet; raise `TraceBusy`.

    VIRQ_TBUF must be held: whatever is found is then nobody's who could still read it.
    """
    info = handle.trace.info()
    mask: int = info.evt_mask
    if is_ours(mask):
        raise TraceBusy(
            TraceUse.LEFT_BY_US,
            "a xenapic that counted exits was killed before it could put Xen's trace settings back: "
            + HOW_TO_RECOVER,
        )
    if not info.buffer_mfn:
        return mask, None
    buffers = map_buffers(handle, stack)
    try:
        unread = buffers.unread()
    except ValueError as error:
        raise TraceBusy(TraceUse.UNREAD, f"{error}: {HOW_TO_RECOVER}") from error
    if unread:
        raise TraceBusy(
            TraceUse.UNREAD,
            f"Xen's trace buffers hold {unread} bytes that nobody has read (a tracer was killed, or "
            f"tracing was switched on at boot): collect them with xentrace, or {HOW_TO_RECOVER}",
        )
    if _is_on(handle, buffers, mask):
        raise TraceBusy(
            TraceUse.ON,
            "tracing is switched on though nobody reads (xentrace -x leaves it so, and Xen's option "
            f"tevt_mask switches it on): {HOW_TO_RECOVER}",
        )
    return mask, buffers


def _is_on(handle: Handle, buffers: TraceBuffers, mask: int) -> bool:
    """Find out whether tracing is on, which Xen does not tell: a hypercall is then recorded."""
    try:
        handle.trace.set_event_mask(PROBE_MASK)
        handle.trace.trace_all_cpus()
        handle.trace.info()
    finally:
        handle.trace.set_event_mask(mask)
    found = buffers.unread() > 0
    buffers.discard()
    return found


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let the signals that end a program wait meanwhile."""
    ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
