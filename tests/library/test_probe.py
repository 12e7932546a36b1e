"""Running the probe guest with a fake at the C boundary: faults, and nothing is left behind."""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.library.test_handle import FakeXen
from xenapic.abi.library import Library, load
from xenapic.apic.state import ApicState
from xenapic.errors import CallFailed, ConfigInvalid, DomainNotFound, HandleClosed, ProbeFailed
from xenapic.live.memory import PAGE
from xenapic.live.xen import Xen
from xenapic.loader.executable import read_executable
from xenapic.model.config import DomainConfig
from xenapic.parse.hvm_context import HvmRecord, hvm_records
from xenapic.probe import run
from xenapic.probe.findings import ProbeOutcome
from xenapic.probe.mailbox import HEAD_BYTES, CommandKind, State
from xenapic.probe.run import run_probe

pytestmark = pytest.mark.library
COMMAND_BYTES = 120
ANSWER_AT, TICKS_AT = 24, 88
LOOPS_AT = 68
MAILBOX = 0x200000
"""Where the loader puts the first module."""
PVH = DomainConfig.pvh()


class FakeMachine(FakeXen):
    """`FakeXen` with guests' memory and contexts; a guest that obeys runs when it is unpaused."""

    def __init__(self, real: Library) -> None:
        super().__init__(real)
        self.blocks: dict[int, Any] = {}
        """What each populate gave, by its first frame."""
        self.first_frame = 0
        self.pages = 0
        self.context = b""
        self.calls: list[str] = []
        self.interrupt = ""
        self.mapped = 0
        self.opened = 0
        self.guest: Callable[[FakeMachine], None] = obey
        self.domain_flags = 0
        self.clock = 0

    def _answer(self, name: str, result: int) -> int:
        self.calls.append(name)
        if name == self.interrupt:
            raise KeyboardInterrupt
        return super()._answer(name, result)

    def xc_domain_getinfolist(self, xch: Any, first: int, room: int, infos: Any) -> int:
        found = super().xc_domain_getinfolist(xch, first, room, infos)
        for number in range(found):
            infos[number].flags = self.domain_flags
        return found

    def xc_domain_populate_physmap_exact(
        self, _xch: Any, _domid: int, count: int, _order: int, _flags: int, frames: Any
    ) -> int:
        answer = self._answer("xc_domain_populate_physmap_exact", 0)
        if answer == 0:
            self.first_frame, self.pages = frames[0], count
            assert [frames[n] for n in range(count)] == [frames[0] + n for n in range(count)]
            self.blocks[frames[0]] = self.ffi.new("char[]", b"\xcc" * (count * PAGE))
        return answer

    def xc_domain_hvm_getcontext(self, _xch: Any, _domid: int, buffer: Any, size: int) -> int:
        context = b"".join(HvmRecord(code, 0, bytes(24)).to_bytes() for code in (1, 2, 5, 6, 0))
        if buffer != self.ffi.NULL:
            self.ffi.buffer(buffer)[: len(context)] = context
        return self._answer("xc_domain_hvm_getcontext", len(context))

    def xc_domain_hvm_getcontext_partial(
        self, _xch: Any, _domid: int, _code: int, _vcpu: int, data: Any, _size: int
    ) -> int:
        data.timer_divisor = 2
        return self._answer("xc_domain_hvm_getcontext_partial", 0)

    def xc_domain_hvm_setcontext(self, _xch: Any, _domid: int, buffer: Any, size: int) -> int:
        self.context = bytes(self.ffi.buffer(buffer, size))
        return self._answer("xc_domain_hvm_setcontext", 0)

    def xc_domain_unpause(self, _xch: Any, _domid: int) -> int:
        answer = self._answer("xc_domain_unpause", 0)
        if answer == 0:
            self.guest(self)
        return answer

    def xenforeignmemory_open(self, _logger: Any, _flags: int) -> Any:
        if self._answer("xenforeignmemory_open", 0):
            return self.ffi.NULL
        self.opened += 1
        return self.ffi.cast("xenforeignmemory_handle *", 1)

    def xenforeignmemory_close(self, _fmem: Any) -> int:
        self.opened -= 1
        return 0

    def xenforeignmemory_map(
        self, _fmem: Any, domid: int, _protection: int, count: int, frames: Any, _errors: Any
    ) -> Any:
        if self._answer("xenforeignmemory_map", 0) or domid not in self.domains:
            return self.ffi.NULL
        at = self.place(frames[0] * PAGE, count * PAGE)
        assert at is not None, "a page that the domain does not have"
        self.mapped += 1
        return at

    def xenforeignmemory_unmap(self, _fmem: Any, _at: Any, _count: int) -> int:
        self.mapped -= 1
        return self._answer("xenforeignmemory_unmap", 0)

    def place(self, address: int, size: int = 1) -> Any:
        """Return where a part of the domain's memory is here; None if it has none there."""
        for first, block in self.blocks.items():
            at = address - first * PAGE
            if at >= 0 and at + size < len(block):  # a block ends with a NUL
                return block + at
        return None

    @property
    def mailbox(self) -> memoryview:
        place = self.place(MAILBOX)
        return memoryview(b"" if place is None else self.ffi.buffer(place, 64 * PAGE))


def obey(machine: FakeMachine) -> None:
    """Execute the list: CPUID costs 1000 ticks, everything else 10, and each turn of its loop 1000."""
    box = machine.mailbox
    (count,), (turns,) = struct.unpack_from("<I", box, 4), struct.unpack_from("<I", box, LOOPS_AT)
    for number in range(count):
        at = HEAD_BYTES + number * COMMAND_BYTES
        cost = 1000 if box[at] == CommandKind.CPUID else 10
        struct.pack_into("<8I", box, at + TICKS_AT, *[cost] * 8)
        if box[at] == CommandKind.CLOCK:
            struct.pack_into("<Q", box, at + ANSWER_AT, machine.clock)
            machine.clock += 1000 * turns
    struct.pack_into("<3I", box, 0, State.DONE, count, count)


def hang_at(number: int) -> Callable[[FakeMachine], None]:
    return lambda machine: struct.pack_into("<3I", machine.mailbox, 0, State.RUNNING, 161, number)


def break_down(machine: FakeMachine) -> None:
    struct.pack_into("<6I3Q", machine.mailbox, 0, State.BROKEN, 161, 3, 0, 14, 0, 2, 0x100200, 8)


def never_start(machine: FakeMachine) -> None:
    pass


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine(load())


@pytest.fixture
def xen(machine: FakeMachine) -> Iterator[Xen]:
    real = load()
    with Xen(replace(real, xenctrl=machine, foreign=machine)) as opened:
        yield opened
    assert machine.opened == 0


def nothing_left(machine: FakeMachine) -> bool:
    return not machine.domains and machine.destroyed == [1] and machine.mapped == 0


@pytest.mark.parametrize("state", ApicState)
def test_an_obedient_guest(xen: Xen, machine: FakeMachine, state: ApicState) -> None:
    found = run_probe(xen, PVH, state)
    assert found.state is state
    assert {found.outcome(one) for one in found.accesses} == {ProbeOutcome.STAYS}
    assert nothing_left(machine)
    records = {record.typecode: record.data for record in hvm_records(machine.context)}
    assert list(records) == [1, 2, 5, 6, 0]
    lapic = load().ffi.from_buffer("struct hvm_hw_lapic *", records[5])
    assert lapic.apic_base_msr == state.apic_base
    assert lapic.disabled == (state is ApicState.DISABLED)
    assert lapic.timer_divisor == 2, "Xen divides by it"
    cpu = load().ffi.from_buffer("struct hvm_hw_cpu *", records[2])
    assert (cpu.rip, cpu.cr0, cpu.cr4) == (0x100000, 0x11, 0), "32-bit mode, without paging"
    modules = load().ffi.from_buffer("uint64_t *", machine.ffi.buffer(machine.place(cpu.rbx + 16), 8))
    (listed,) = struct.unpack("<Q", machine.ffi.buffer(machine.place(modules[0]), 8))
    assert listed == MAILBOX


def test_memory_is_written_whole(xen: Xen, machine: FakeMachine) -> None:
    """What was in the pages before must not reach the guest: its counters are not set up by itself."""
    seen = []
    kernel = read_executable((Path(run.__file__).parent / run.GUEST).read_bytes(), run.GUEST)

    def look(machine: FakeMachine) -> None:
        for segment in kernel.segments:
            seen.append(bytes(machine.ffi.buffer(machine.place(segment.address), segment.size)))
        obey(machine)

    machine.guest = look
    run_probe(xen, PVH, ApicState.XAPIC)
    assert seen == [bytes(segment.data).ljust(segment.size, b"\0") for segment in kernel.segments]
    assert kernel.segments[-1].size > len(kernel.segments[-1].data)


C_CALLS = (
    "xc_domain_max_vcpus",
    "xc_domain_setmaxmem",
    "xc_domain_populate_physmap",
    "xc_domain_populate_physmap_exact",
    "xc_domain_set_memory_map",
    "xc_hvm_param_set",
    "xc_domain_hvm_getcontext",
    "xc_domain_hvm_getcontext_partial",
    "xc_domain_hvm_setcontext",
    "xc_domain_set_tsc_info",
    "xc_domain_unpause",
    "xenforeignmemory_open",
    "xenforeignmemory_map",
)


@pytest.mark.parametrize("name", C_CALLS)
def test_a_call_that_fails(xen: Xen, machine: FakeMachine, name: str) -> None:
    machine.fail[name] = errno.ENOMEM
    with pytest.raises(CallFailed, match=f"domain 1.*ENOMEM.*{name}"):
        run_probe(xen, PVH, ApicState.XAPIC)
    assert nothing_left(machine)


@pytest.mark.parametrize("name", (*C_CALLS, "xenforeignmemory_unmap"))
def test_ctrl_c_in_the_middle(xen: Xen, machine: FakeMachine, name: str) -> None:
    machine.interrupt = name
    with pytest.raises(KeyboardInterrupt):
        run_probe(xen, PVH, ApicState.XAPIC)
    assert name in machine.calls
    assert nothing_left(machine)
    xen.physinfo()  # nobody holds the lock


def test_ctrl_c_while_waiting(xen: Xen, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    def strike(_seconds: float) -> None:
        raise KeyboardInterrupt

    machine.guest = never_start
    monkeypatch.setattr(time, "sleep", strike)
    with pytest.raises(KeyboardInterrupt):
        run_probe(xen, PVH, ApicState.XAPIC)
    assert nothing_left(machine)


@pytest.mark.parametrize(
    ("guest", "text"),
    [
        (never_start, r"no answer within 0.05 s; it stopped before its first command \(APIC x2apic\)"),
        (hang_at(11), r"no answer within .*at command 11 of \d+: WRITE_CR8"),
        (hang_at(1000), "after its last command"),
        (break_down, r"failed \(exception 14 on vCPU 0, stack 0x2 0x100200 0x8\) at command 3"),
    ],
)
def test_a_guest_that_gives_no_answer(xen: Xen, machine: FakeMachine, guest: Any, text: str) -> None:
    machine.guest = guest
    with pytest.raises(ProbeFailed, match=text):
        run_probe(xen, PVH, ApicState.X2APIC, timeout=0.05)
    assert nothing_left(machine)


def test_a_guest_that_dies(xen: Xen, machine: FakeMachine) -> None:
    machine.guest = hang_at(20)
    machine.domain_flags = 4 | 3 << 16
    with pytest.raises(ProbeFailed, match=r"shut down .*crash.* at command 20"):
        run_probe(xen, PVH, ApicState.XAPIC)
    assert nothing_left(machine)


def test_a_guest_that_is_done_may_be_down(xen: Xen, machine: FakeMachine) -> None:
    machine.domain_flags = 4
    run_probe(xen, PVH, ApicState.XAPIC)
    assert nothing_left(machine)


def test_costs_that_tell_nothing(xen: Xen, machine: FakeMachine) -> None:
    def tie(machine: FakeMachine) -> None:
        obey(machine)
        for at in range(HEAD_BYTES + TICKS_AT, HEAD_BYTES + COMMAND_BYTES * 400, COMMAND_BYTES):
            struct.pack_into("<8I", machine.mailbox, at, *[50] * 8)

    machine.guest = tie
    with pytest.raises(ProbeFailed, match="plain memory costs 50 TSC ticks, a known exit 50"):
        run_probe(xen, PVH, ApicState.XAPIC)
    assert nothing_left(machine)


def test_a_domain_someone_else_destroyed(xen: Xen, machine: FakeMachine) -> None:
    machine.guest = lambda it: it.domains.clear()
    with pytest.raises(DomainNotFound):
        run_probe(xen, PVH, ApicState.XAPIC)
    assert machine.mapped == 0


def test_pv_has_no_apic(xen: Xen, machine: FakeMachine) -> None:
    with pytest.raises(ConfigInvalid, match="local APIC"):
        run_probe(xen, DomainConfig.pv(), ApicState.XAPIC)
    assert not machine.destroyed


def test_guest_memory(xen: Xen, machine: FakeMachine) -> None:
    with xen.create_domain(PVH) as domain:
        domain.memory.populate(0x5000, 3 * PAGE)
        assert (machine.first_frame, machine.pages) == (5, 3)
        domain.memory.write(0x5FFE, b"across")
        assert domain.memory.read(0x5FFC, 10) == b"\xcc\xccacross\xcc\xcc"
        with pytest.raises(TypeError):
            domain.memory.write(0x5000, "text")  # type: ignore[arg-type]  # what is tested
        assert machine.mapped == 0
    xen.close()
    with pytest.raises(HandleClosed):
        domain.memory.read(0x5000, 1)
