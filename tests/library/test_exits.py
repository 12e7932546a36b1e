"""Counting exits with a fake Xen: who owns the buffers, and what is restored."""

from __future__ import annotations

import errno
import json
import mmap
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

import xenapic
from tests.library.test_handle import FakeXen
from tests.pure.test_trace import DOMID, OTHER, goes_on, leaves, lost, memory, starts, stops
from xenapic.abi.library import Library, load
from xenapic.apic.outcome import Operation
from xenapic.cli.app import app
from xenapic.documents import schema_text
from xenapic.errors import (
    CallFailed,
    ConfigInvalid,
    DomainNotFound,
    HandleClosed,
    NoPrivilege,
    TraceBusy,
    TraceUse,
)
from xenapic.exits.buffers import recover_tracing
from xenapic.exits.counter import ExitCounter, count_exits
from xenapic.exits.events import BOOT_MASK, MARK, NEEDED_MASK, PROBE_MASK, REASONS_MASK
from xenapic.exits.judgement import Cause
from xenapic.live.xen import Xen
from xenapic.model.flags import DOMINF

pytestmark = pytest.mark.library
DIRECTORY, RING = 0x500, 0x600
PAGE = 4096
EXIT = leaves(0x72)


@pytest.fixture(scope="module")
def real() -> Library:
    return load()


class FakeTrace(FakeXen):
    """Xen's side of tracing, with one CPU."""

    def __init__(self, real: Library) -> None:
        super().__init__(real)
        self.domains = {DOMID: bytes(16)}
        self.hvm, self.vmx = True, False
        self.mask, self.on, self.bound = BOOT_MASK, False, False
        self.pages = 0
        self.directory: Any = None
        self.trace: Any = None
        self._memory: mmap.mmap | None = None
        self.mapped = 0
        self.ends = os.pipe()
        self.waits: list[bytes] = []
        self.runs_on: int | None = None
        self.interrupt_in = ""

    def _answer(self, name: str, result: int) -> int:
        if name == self.interrupt_in:
            self.interrupt_in = ""
            # To this thread: os.kill may reach another, and Python acts later.
            signal.raise_signal(signal.SIGINT)
        return super()._answer(name, result)

    @property
    def settings(self) -> tuple[int, bool, bool, int]:
        """The event mask, whether tracing is on, whether the interrupt is bound, and the mappings that remain."""
        return self.mask, self.on, self.bound, self.mapped

    def allocate(self, pages: int) -> None:
        self.pages = pages
        self.directory = self.ffi.new("uint32_t[]", PAGE // 4)
        self.ffi.cast("struct t_info *", self.directory).tbuf_size = pages
        self.ffi.cast("struct t_info *", self.directory).mfn_offset[0] = 130
        for page in range(pages):
            self.directory[130 + page] = RING + page
        memory = mmap.mmap(-1, PAGE * pages)
        memory.madvise(mmap.MADV_DONTFORK)  # as a mapping of Xen's memory: a forked child does not have it
        self.trace = self.ffi.from_buffer("uint32_t[]", memory)
        self._memory = memory

    def write(self, data: bytes) -> None:
        """Write a record as Xen does; the test makes sure that there is room."""
        head = self.ffi.cast("struct t_buf *", self.trace)
        size = PAGE * self.pages - 8
        content = self.ffi.buffer(self.trace, size + 8)
        for at in range(0, len(data), 4):
            where = 8 + head.prod % size
            content[where : where + 4] = data[at : at + 4]
            head.prod = (head.prod + 4) % (2 * size)

    def xc_domain_getinfolist(self, xch: Any, first: int, room: int, infos: Any) -> int:
        count = super().xc_domain_getinfolist(xch, first, room, infos)
        for number in range(count):
            infos[number].flags = int(DOMINF.hvm_guest) if self.hvm else 0
        return count

    def xc_physinfo(self, xch: Any, info: Any) -> int:
        info.nr_cpus = 1
        answer = super().xc_physinfo(xch, info)
        if self.vmx:
            info.hw_cap[1], info.hw_cap[3] = 1 << 5, 0
        return answer

    def xc_vcpu_getinfo(self, _xch: Any, _domid: int, vcpu: int, info: Any) -> int:
        if vcpu and self.runs_on is None:
            self.ffi.errno = errno.ESRCH
            return -1
        info.running, info.cpu = self.runs_on is not None, self.runs_on or 0
        return 0

    def xc_get_cpumap_size(self, _xch: Any) -> int:
        return 1

    def xc_sysctl(self, _xch: Any, sysctl: Any) -> int:
        operation = sysctl.u.tbuf_op
        assert (sysctl.cmd, operation.cmd) == (2, 0)
        operation.evt_mask = self.mask
        operation.buffer_mfn, operation.size = (DIRECTORY, PAGE) if self.pages else (0, 0)
        if self.on and self.mask == PROBE_MASK:
            self.write(b"\x01\x10\x20\x00")
        return self._answer("xc_sysctl", 0)

    def xc_tbuf_set_size(self, _xch: Any, pages: int) -> int:
        if "xc_tbuf_set_size" not in self.fail:
            self.allocate(pages)
            self.on = True
        return self._answer("xc_tbuf_set_size", 0)

    def xc_tbuf_enable(self, _xch: Any, pages: int, _mfn: Any, _size: Any) -> int:
        assert pages == self.pages
        self.on = True
        return self._answer("xc_tbuf_enable", 0)

    def xc_tbuf_disable(self, _xch: Any) -> int:
        self.on = False
        return self._answer("xc_tbuf_disable", 0)

    def xc_tbuf_set_evt_mask(self, _xch: Any, mask: int) -> int:
        self.mask = mask
        return self._answer("xc_tbuf_set_evt_mask", 0)

    def xc_tbuf_set_cpu_mask(self, _xch: Any, mask: Any) -> int:
        assert mask[0] == 0xFF
        return self._answer("xc_tbuf_set_cpu_mask", 0)

    def xenforeignmemory_open(self, *_args: Any) -> Any:
        if self._answer("xenforeignmemory_open", 0):
            return self.ffi.NULL
        return self.ffi.cast("xenforeignmemory_handle *", 1)

    def xenforeignmemory_map(
        self, _memory: Any, dom: int, protection: int, count: int, frames: Any, _errors: Any
    ) -> Any:
        directory = frames[0] == DIRECTORY
        name = "directory" if directory else "ring"
        if self._answer(name, 0):
            return self.ffi.NULL
        assert (dom, protection, count) == (0x7FF2, 1 if directory else 3, 1 if directory else self.pages)
        self.mapped += 1
        return self.directory if directory else self.trace

    def xenforeignmemory_unmap(self, *_args: Any) -> int:
        self.mapped -= 1
        return 0

    def xenevtchn_open(self, *_args: Any) -> Any:
        if self._answer("xenevtchn_open", 0):
            return self.ffi.NULL
        return self.ffi.cast("xenevtchn_handle *", 1)

    def xenevtchn_bind_virq(self, _channel: Any, virq: int) -> int:
        assert virq == 4
        if self.bound:
            self.ffi.errno = errno.EEXIST
            return -1
        if not self._answer("xenevtchn_bind_virq", 0):
            self.bound = True
        return self._answer("xenevtchn_bind_virq", 9)

    def xenevtchn_close(self, _channel: Any) -> int:
        self.bound = self.bound and "another reads" in self.fail
        return 0

    def xenevtchn_fd(self, _channel: Any) -> int:
        if self.waits:  # something happens while we wait, and half the buffer is full
            self.write(self.waits.pop(0))
            os.write(self.ends[1], b"!")
        return self.ends[0]

    def xenevtchn_pending(self, _channel: Any) -> int:
        os.read(self.ends[0], 1)
        return 9


@pytest.fixture
def fake(real: Library) -> Iterator[FakeTrace]:
    made = FakeTrace(real)
    yield made
    for end in made.ends:
        os.close(end)


@pytest.fixture
def xen(real: Library, fake: FakeTrace) -> Iterator[Xen]:
    with Xen(replace(real, xenctrl=fake, foreign=fake, evtchn=fake)) as opened:
        yield opened


FREE = (BOOT_MASK, False, False, 0)


def busy(xen: Xen) -> TraceUse:
    with pytest.raises(TraceBusy) as caught:
        count_exits(xen, DOMID, 0)
    assert caught.value.code == "trace-busy" and str(caught.value)
    return caught.value.use


def test_counting(xen: Xen, fake: FakeTrace) -> None:
    fake.waits = [starts(DOMID) + EXIT * 3, stops(DOMID) + starts(OTHER) + EXIT]
    report = count_exits(xen, DOMID, 0.05, pages=2)
    assert (report.total, report.complete, report.ended) == (3, True, False)
    assert report.seconds >= 0.05 and report.rate(report.total) > 0
    assert fake.settings == FREE and fake.pages == 2


def test_what_is_set_meanwhile_and_what_buffers_hold_later(xen: Xen, fake: FakeTrace) -> None:
    fake.mask = 0x8F000  # as another tracer left it
    for _ in range(2):
        with ExitCounter(xen, DOMID, pages=1) as counter:
            assert fake.settings[:3] == (NEEDED_MASK, True, True)
            fake.write(goes_on(DOMID, 1) + EXIT)
            assert counter.snapshot().count(vcpu=1) == 1
            fake.write(EXIT)
        assert counter.stop().total == 2
        assert fake.settings == (0x8F000, False, False, 0)


def test_by_reason_only(xen: Xen, fake: FakeTrace) -> None:
    with ExitCounter(xen, DOMID, pages=1, reasons_only=True) as counter:
        assert fake.settings[:3] == (REASONS_MASK, True, True)
        fake.write(starts(DOMID) + EXIT * 2)
    assert counter.stop().total == 2


def test_records_are_read_around_the_end_of_the_ring(xen: Xen, fake: FakeTrace) -> None:
    with ExitCounter(xen, DOMID, pages=1) as counter:
        for _ in range(100):
            fake.write(goes_on(DOMID) + EXIT * 10)
            counter.snapshot()
    report = counter.stop()
    assert report.total == 1000 and report.malformed == 0


def test_by_register(xen: Xen, fake: FakeTrace) -> None:
    fake.waits = [starts(DOMID) + leaves(0x400, memory(Operation.READ, 0x390)) * 2 + EXIT]
    report = count_exits(xen, DOMID, 0.05)
    assert report.count(register="TMCCT") == report.count(cause=Cause.ACCESS) == 2
    assert report.removable_share == (0.0, 2 / 3)
    assert list(report.kinds.values()) == [2, 1]


def test_a_child_forked_while_counting_leaves_all_to_the_parent(xen: Xen, fake: FakeTrace) -> None:
    """It does not have the mappings of the rings: reading one would end it with SIGSEGV."""
    with ExitCounter(xen, DOMID) as counter:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                counter.__exit__(None, None, None)
                fresh = fake.settings == (NEEDED_MASK, True, True, 2)
                with pytest.raises(HandleClosed):
                    counter.snapshot()
                status = 0 if fresh else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        fake.write(goes_on(DOMID) + EXIT)
    assert counter.stop().total == 1
    assert fake.settings == FREE


@pytest.mark.parametrize(
    ("log", "removable"), [("Virtual Interrupt Delivery", "no"), ("Extended Page Tables (EPT)", "unknown")]
)
def test_what_delivery_leaves_cannot_be_removed(xen: Xen, fake: FakeTrace, log: str, removable: str) -> None:
    fake.vmx = True
    fake.ring = (
        f"(XEN) Xen version\n(XEN) VMX: Supported advanced features:\n(XEN)  - {log}\n(XEN) HVM: x\n".encode()
    )
    fake.waits = [starts(DOMID) + leaves(56) + leaves(7)]
    report = count_exits(xen, DOMID, 0.05)
    assert {kind.removable.value for kind in report.kinds} == {removable}


def test_a_cpu_whose_scheduler_says_nothing(xen: Xen, fake: FakeTrace) -> None:
    fake.runs_on = 0
    fake.waits = [EXIT * 4]
    assert count_exits(xen, DOMID, 0.05).total == 4
    fake.runs_on = None
    fake.waits = [EXIT * 4]
    report = count_exits(xen, DOMID, 0.05)
    assert (report.total, report.unattributed) == (0, 0)


def test_lost_records_are_told(xen: Xen, fake: FakeTrace) -> None:
    fake.waits = [starts(DOMID) + EXIT + lost(500, DOMID) + EXIT]
    report = count_exits(xen, DOMID, 0.05)
    assert (report.lost, report.total, report.complete, report.lost_more) == (500, 2, False, False)
    assert "500 trace records were lost" in report.notes[0]


def test_a_buffer_that_was_full_at_the_end_may_have_lost_more(xen: Xen, fake: FakeTrace) -> None:
    with ExitCounter(xen, DOMID, pages=1) as counter:
        fake.write(goes_on(DOMID))
        fake.write(EXIT * ((PAGE - 8 - 16) // len(EXIT)))
    assert counter.stop().lost_more and "0 or more" in counter.stop().notes[0]


def test_a_domain_that_ends_meanwhile(xen: Xen, fake: FakeTrace) -> None:
    with ExitCounter(xen, DOMID) as counter:
        fake.write(EXIT)
        fake.domains.clear()
        fake.write(stops(DOMID))
    report = counter.stop()
    assert (report.total, report.ended) == (1, True) and "no longer exists" in report.notes[-1]


def test_positions_that_make_no_sense(xen: Xen, fake: FakeTrace) -> None:
    with ExitCounter(xen, DOMID) as counter:
        fake.ffi.cast("struct t_buf *", fake.trace).prod = 0x7FFFFFF0
    assert counter.stop().malformed and fake.settings == FREE
    assert busy(xen) is TraceUse.UNREAD
    recover_tracing(xen)
    assert count_exits(xen, DOMID, 0).malformed == 0


# -- whose the buffers are -------------------------------------------------------------------------------


def test_another_reader(xen: Xen, fake: FakeTrace) -> None:
    fake.allocate(1)
    fake.mask, fake.on, fake.bound, fake.fail["another reads"] = 0x8F000, True, True, 0
    assert busy(xen) is TraceUse.READ
    assert fake.settings == (0x8F000, True, True, 0)
    with pytest.raises(TraceBusy):
        recover_tracing(xen)
    assert fake.settings == (0x8F000, True, True, 0)


def test_tracing_that_was_left_on(xen: Xen, fake: FakeTrace) -> None:
    fake.allocate(1)
    fake.mask, fake.on = 0, True
    assert busy(xen) is TraceUse.ON
    assert fake.settings == (0, True, False, 0)


def test_records_that_are_unread(xen: Xen, fake: FakeTrace) -> None:
    fake.allocate(1)
    fake.write(EXIT)
    assert busy(xen) is TraceUse.UNREAD
    assert fake.ffi.cast("struct t_buf *", fake.trace).cons == 0


def test_a_xenapic_that_was_killed(xen: Xen, fake: FakeTrace) -> None:
    fake.allocate(1)
    fake.mask, fake.on = NEEDED_MASK, True
    fake.write(EXIT)
    with pytest.raises(TraceBusy, match="--recover") as caught:
        count_exits(xen, DOMID, 0)
    assert caught.value.use is TraceUse.LEFT_BY_US
    assert recover_tracing(xen) and fake.settings == FREE
    assert not recover_tracing(xen)
    assert count_exits(xen, DOMID, 0).total == 0


def test_killed_between_mask_and_buffers(xen: Xen, fake: FakeTrace) -> None:
    fake.mask = BOOT_MASK | MARK
    assert busy(xen) is TraceUse.LEFT_BY_US
    assert recover_tracing(xen) and fake.settings == FREE


# -- what goes wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "number", "kind"),
    [
        ("xenevtchn_open", errno.EACCES, NoPrivilege),
        ("xenevtchn_open", errno.ENOENT, CallFailed),
        ("xenevtchn_bind_virq", errno.EINVAL, CallFailed),
        ("xc_sysctl", errno.ENOSYS, CallFailed),
        ("xc_tbuf_set_cpu_mask", errno.ENOMEM, CallFailed),
        ("xc_tbuf_set_size", errno.ENOMEM, CallFailed),
        ("xenforeignmemory_open", errno.ENOENT, CallFailed),
        ("directory", errno.EINVAL, CallFailed),
        ("ring", errno.ENOMEM, CallFailed),
    ],
)
def test_failing_calls_leave_nothing_behind(
    xen: Xen, fake: FakeTrace, call: str, number: int, kind: type[Exception]
) -> None:
    fake.fail[call] = number
    with pytest.raises(kind) as caught:
        count_exits(xen, DOMID, 0)
    assert getattr(caught.value, "errno", None) == number
    assert fake.settings == FREE


@pytest.mark.parametrize(
    "call",
    [
        "xenevtchn_bind_virq",
        "xc_tbuf_set_evt_mask",
        "xc_tbuf_set_size",
        "directory",
        "ring",
        "xc_tbuf_disable",
    ],
)
def test_ctrl_c_puts_everything_back_whenever_it_comes(xen: Xen, fake: FakeTrace, call: str) -> None:
    fake.interrupt_in = call
    with pytest.raises(KeyboardInterrupt):
        count_exits(xen, DOMID, 0.05)
    assert fake.settings == FREE


def test_ctrl_c_while_counting(xen: Xen, fake: FakeTrace) -> None:
    counter = ExitCounter(xen, DOMID)
    with pytest.raises(KeyboardInterrupt), counter:
        fake.write(starts(DOMID) + EXIT)
        raise KeyboardInterrupt
    assert counter.stop().total == 1 and fake.settings == FREE


def test_a_handle_that_is_closed_first_puts_everything_back(xen: Xen, fake: FakeTrace) -> None:
    """As after a second Ctrl-C, which comes before the end of the ``with`` block has begun."""
    ExitCounter(xen, DOMID).start()
    assert fake.settings != FREE
    xen.close()
    assert fake.settings == FREE


def test_an_error_on_the_way_back_stops_no_other_step(xen: Xen, fake: FakeTrace) -> None:
    counter = ExitCounter(xen, DOMID)
    counter.start()
    fake.fail["xc_tbuf_disable"] = errno.EPERM
    with pytest.raises(NoPrivilege):
        counter.stop()
    assert fake.settings == FREE


def test_what_cannot_be_counted(xen: Xen, fake: FakeTrace) -> None:
    with pytest.raises(DomainNotFound):
        ExitCounter(xen, 77)
    with pytest.raises(ConfigInvalid, match="1 page"):
        ExitCounter(xen, DOMID, pages=0)
    fake.hvm = False
    with pytest.raises(ConfigInvalid, match="PV"):
        ExitCounter(xen, DOMID)
    fake.hvm = True
    with ExitCounter(xen, DOMID) as counter, pytest.raises(ConfigInvalid, match="started"):
        counter.start()


# -- the command ------------------------------------------------------------------------------------------------


@pytest.fixture
def command(xen: Xen, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(xenapic, "open", lambda _library: xen)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["exits", *arguments])

    return run


def test_the_table(command: Any, fake: FakeTrace) -> None:
    fake.waits = [starts(DOMID, 1) + leaves(0x400, memory(Operation.READ, 0x390)) * 2 + leaves(0x7C)]
    result = command(str(DOMID), "--seconds", "0.05", "--per-vcpu")
    assert result.exit_code == 0, result.output
    assert "3 VM exits" in result.stdout and "vCPU 1" in result.stdout
    assert "TMCCT" in result.stdout and "unknown if any" in result.stdout
    assert "registers: 2 to 3 exits; acceleration could remove 0.0% to 100.0% of all exits" in result.stdout


def test_live(command: Any, fake: FakeTrace) -> None:
    fake.waits = [starts(DOMID) + EXIT] + [EXIT] * 4
    result = command(str(DOMID), "--seconds", "1.1", "--live")
    assert result.stdout.count("VM exits in") == 2


def test_the_document_follows_its_schema(command: Any, fake: FakeTrace) -> None:
    fake.waits = [starts(DOMID) + EXIT + leaves(0x7C) + lost(3, DOMID)]
    document = json.loads(command(str(DOMID), "--seconds", "0.05", "--json").stdout)
    jsonschema.validate(document, json.loads(schema_text("exits")))
    assert (document["total"], document["lost_records"], document["apic"]["unknown"]) == (2, 3, 1)


def test_busy_and_recovery(command: Any, fake: FakeTrace) -> None:
    fake.allocate(1)
    fake.mask = NEEDED_MASK
    refused = command(str(DOMID))
    assert refused.exit_code == 1 and "[trace-busy]" in refused.stderr and "--recover" in refused.stderr


def test_recover_alone(command: Any, fake: FakeTrace) -> None:
    fake.mask = NEEDED_MASK
    assert command("--recover").stdout.startswith("tracing is off")
    assert fake.settings == FREE


@pytest.mark.parametrize(
    "arguments", [[], ["5", "--recover"], ["5", "--live", "--json"], ["5", "--seconds", "-1"]]
)
def test_wrong_usage(command: Any, arguments: list[str]) -> None:
    assert command(*arguments).exit_code == 2
