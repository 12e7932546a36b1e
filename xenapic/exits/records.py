"""Xen's trace records: bytes in, counts of one domain's VM exits out. Nothing here talks to Xen.

A record is a header word (`EVENT_BITS` of event, the number of data words, whether a time
follows), the time in two words, and up to seven data words. Records of one CPU come in their
order, and nothing more than that order is needed:

* What is recorded between ``VMEXIT`` and ``VMENTRY`` belongs to that exit. Xen is not
  preemptive: a CPU that changes to another vCPU has finished with the exit.
* An exit's record does not say whose it is. That follows from the scheduler's records, each
  with domain and vCPU: who starts to run, who stops, who goes on. Until the first of them the
  exits are kept apart; whoever it says was running, they are his.
* ``LOST_RECORDS`` says how many did not fit, and who is running since.

With core scheduling (Xen's option ``sched-gran``) one CPU records the changes of several.
Such records contradict one another; from then on that CPU's exits count as unattributed.

Sources: ``xen/include/public/trace.h``, ``xen/common/trace.c``, ``trace_runstate_change`` and
``sched_switch_units`` in ``xen/common/sched/core.c``; the same in 4.15 to 4.22, but that AMD's
exits have an event of their own since 4.19.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xenapic.apic.features import Technology
from xenapic.apic.outcome import Operation
from xenapic.apic.registers import PAGE_SIZE, msr_of
from xenapic.apic.state import APIC_DEFAULT_PHYS_BASE
from xenapic.exits.judgement import APIC_MSRS, VALUE_MATTERS, Clues, ExitKind, judge
from xenapic.frozen import dataclass

__all__ = ["BOOT_MASK", "EVENTS", "MARK", "NEEDED_MASK", "PROBE_MASK", "Tally", "TraceParser", "is_ours"]

EVENT_BITS = 0x0FFFFFFF
TRC_64_FLAG, TRC_HVM_NESTEDFLAG = 0x100, 0x400

EVENTS = {
    "TRC_LOST_RECORDS": 0x0001F001,
    "TRC_TRACE_WRAP_BUFFER": 0x0001F002,
    "TRC_SCHED_RUNSTATE_CHANGE": 0x00021001,
    "TRC_SCHED_CONTINUE_RUNNING": 0x00021002,
    "TRC_HVM_VMENTRY": 0x00081001,
    "TRC_HVM_VMEXIT": 0x00081002,
    "TRC_HVM_SVM_EXIT": 0x00081003,
    "TRC_HVM_CR_READ": 0x00082008,
    "TRC_HVM_CR_WRITE": 0x00082009,
    "TRC_HVM_MSR_READ": 0x0008200C,
    "TRC_HVM_MSR_WRITE": 0x0008200D,
    "TRC_HVM_IOMEM_READ": 0x00082017,
    "TRC_HVM_CLTS": 0x00082018,
    "TRC_HVM_LMSW": 0x00082019,
    "TRC_HVM_NPF": 0x00082021,
    "TRC_HVM_VLAPIC": 0x00082025,
    "TRC_HVM_IOMEM_WRITE": 0x00082217,
}
"""The events that are looked at. ``VMEXIT`` is ``VMX_EXIT`` since 4.19; ``SVM_EXIT`` is new there."""

TRC_HVM_ENTRYEXIT, TRC_HVM_HANDLER, TRC_SCHED_MIN = 0x00081000, 0x00082000, 0x00021000
TRC_PV_ENTRY = 0x00201000

MARK = 0xA1C
"""Low bits of an event mask, of which Xen takes no notice: they say that xenapic set it."""
NEEDED_MASK = TRC_HVM_ENTRYEXIT | TRC_HVM_HANDLER | TRC_SCHED_MIN | MARK
"""What is switched on. Xen matches class and subclass apart, so the scheduler's own events come along."""
PROBE_MASK = TRC_PV_ENTRY | TRC_HVM_ENTRYEXIT | MARK
"""Records every hypercall of dom0, be it PV or PVH: shows whether tracing is on."""
BOOT_MASK = 0x0FFFF000
"""``TRC_ALL``: what Xen starts with."""
MARK_BITS = 0xFFF


def is_ours(mask: int) -> bool:
    """Tell whether xenapic set this event mask."""
    return mask & MARK_BITS == MARK


Counts = dict[int, int]
"""How many, by the number of the kind."""
Owner = tuple[int, int]
"""Domain and vCPU."""
SOMEBODY: Owner = (-1, -1)
"""It is not known who runs, but none of the domain that is counted."""
RUNNING = 0
"""``RUNSTATE_running`` (``xen/include/public/vcpu.h``)."""


@dataclass(frozen=True)
class Tally:
    """What was counted so far."""

    exits: Mapping[tuple[int, ExitKind], int]
    """By vCPU and kind; exits of the domain alone."""
    others: int
    """Exits of other domains."""
    unattributed: int
    """Exits of which the records do not tell whose they are."""
    lost: int
    """Records of any kind that Xen could not store."""
    malformed: int
    """Stretches of bytes that are no records; what followed in the same read was dropped."""


class _Cpu:
    """What is known of one CPU between two records."""

    __slots__ = (
        "address",
        "broken",
        "control_register",
        "counts",
        "eoi",
        "lenient",
        "msr",
        "operation",
        "page_fault",
        "pool",
        "reason",
        "running",
        "seen",
        "svm",
        "value",
    )

    def __init__(self) -> None:
        self.running: Owner | None = None
        self.seen = False
        """Whether a record has told who runs."""
        self.lenient = True
        """Whether the next record may contradict: a change of vCPU is recorded just before it is done."""
        self.broken = False
        self.pool: Counts = {}
        """Exits of whoever runs, while that is not known."""
        self.counts = self.pool
        """Where exits are counted now."""
        self.begin(False, NO_EXIT)

    def begin(self, svm: bool, reason: int) -> None:
        """Start an exit, without any clue so far: the fields of `Clues`, as plain as can be for speed."""
        self.svm, self.reason = svm, reason
        self.address = self.page_fault = self.msr = self.control_register = self.value = None
        self.operation = 0
        self.eoi = False

    address: int | None
    page_fault: int | None
    msr: int | None
    control_register: int | None
    value: int | None


NO_EXIT = -1
"""In place of a reason: no exit is being handled."""
OPERATIONS = (None, Operation.READ, Operation.WRITE, Operation.FETCH)
READ, WRITE = 1, 2
"""Places in `OPERATIONS`."""
ELSEWHERE = 0
"""In place of an address or MSR that has nothing to do with the APIC: the many are one."""
MEMO_SIZE = 1 << 14


Action = Callable[[_Cpu, memoryview, int, int], None]
"""What a record does: CPU, all words, where the record's data starts, its header."""


class TraceParser:
    """Counts the exits of one domain in the records of all CPUs; its memory does not grow with them."""

    def __init__(self, domid: int, technology: Technology) -> None:
        self.domid = domid
        self._technology = technology
        self._cpus: dict[int, _Cpu] = {}
        self._exits: dict[int, Counts] = {}
        """By vCPU."""
        self._others: Counts = {}
        self._unattributed: Counts = {}
        self._lost = self._malformed = 0
        self._actions = self._table()
        self._kinds: dict[ExitKind, int] = {}
        """Every kind met so far, with its number."""
        self._memo: dict[tuple[object, ...], int] = {}
        """Number of the kind by all that is known of an exit; forgotten when it grows too long."""

    def tally(self) -> Tally:
        """Return the counts; exits whose owner may still turn out are among the unattributed."""
        kinds = list(self._kinds)
        exits = {
            (vcpu, kinds[number]): count
            for vcpu, counts in self._exits.items()
            for number, count in counts.items()
        }
        pooled = sum(sum(state.pool.values()) for state in self._cpus.values())
        unattributed = sum(self._unattributed.values()) + pooled
        return Tally(exits, sum(self._others.values()), unattributed, self._lost, self._malformed)

    def feed(self, cpu: int, data: bytes) -> None:
        """Take the next records of a CPU: whole ones, in their order."""
        state = self._cpus.setdefault(cpu, _Cpu())
        words = memoryview(data[: len(data) & ~3]).cast("I")
        at, end, actions = 0, len(words), self._actions
        while at < end:
            header = words[at]
            extra = header >> 28 & 7
            start = at + (3 if header >> 31 else 1)
            at = start + extra
            if at > end or not header & EVENT_BITS:
                self._garbage(state)
                return
            action = actions.get(header & EVENT_BITS)
            if action is not None:
                least, act = action
                if extra < least:
                    self._garbage(state)
                    return
                act(state, words, start, header)
        if len(data) & 3:
            self._garbage(state)

    def malformed(self, cpu: int) -> None:
        """Note that what a CPU recorded could not be read."""
        self._garbage(self._cpus.setdefault(cpu, _Cpu()))

    def unplaced(self) -> bool:
        """Tell whether a CPU has exits and no record yet of who runs there: see `place`."""
        return any(state.pool and not state.seen and not state.broken for state in self._cpus.values())

    def place(self, running: Mapping[int, int]) -> None:
        """Say which CPUs run a vCPU of the domain (by CPU), after all records of before were fed.

        A CPU without any record of its scheduler has run the same vCPU all the time.
        """
        for cpu, state in self._cpus.items():
            if state.running is None and not state.seen and not state.broken:
                owner = (self.domid, running[cpu]) if cpu in running else SOMEBODY
                self._belongs(state, owner)
                state.lenient = True

    def finish(self) -> None:
        """Count the exits that are being handled, with what is known of them; for when tracing has ended."""
        for state in self._cpus.values():
            self._end_exit(state)

    # -- what each record means ------------------------------------------------------------------

    def _table(self) -> dict[int, tuple[int, Action]]:
        """Return event to the least number of data words, and what to do."""
        rows: tuple[tuple[str, tuple[int, ...], int, Action], ...] = (
            ("TRC_LOST_RECORDS", (0,), 2, self._on_lost),
            ("TRC_SCHED_CONTINUE_RUNNING", (0,), 1, self._on_continue),
            ("TRC_HVM_VMENTRY", (0, TRC_HVM_NESTEDFLAG), 0, self._on_entry),
            ("TRC_HVM_VMEXIT", EXIT_FLAGS, 1, self._on_exit),
            ("TRC_HVM_SVM_EXIT", EXIT_FLAGS, 1, self._on_svm_exit),
            ("TRC_HVM_CR_READ", WIDTHS, 1, self._on_cr_read),
            ("TRC_HVM_CR_WRITE", WIDTHS, 1, self._on_cr_write),
            ("TRC_HVM_MSR_READ", (0,), 1, self._on_msr_read),
            ("TRC_HVM_MSR_WRITE", (0,), 3, self._on_msr_write),
            ("TRC_HVM_IOMEM_READ", WIDTHS, 1, self._on_memory_read),
            ("TRC_HVM_IOMEM_WRITE", WIDTHS, 1, self._on_memory_write),
            ("TRC_HVM_CLTS", (0,), 0, self._on_other_cr),
            ("TRC_HVM_LMSW", WIDTHS, 0, self._on_other_cr),
            ("TRC_HVM_NPF", (0,), 5, self._on_page_fault),
            ("TRC_HVM_VLAPIC", (0,), 0, self._on_eoi),
        )
        table = {EVENTS[name] | flag: (least, act) for name, flags, least, act in rows for flag in flags}
        base = EVENTS["TRC_SCHED_RUNSTATE_CHANGE"]
        for old in range(4):
            for new in range(4):
                if RUNNING in (old, new):  # others may be recorded on any CPU, and move nobody
                    table[base | old << 8 | new << 4] = (1, self._on_runstate)
        return table

    def _on_runstate(self, state: _Cpu, words: memoryview, at: int, header: int) -> None:
        self._end_exit(state)
        if header >> 8 & 3 == RUNNING:
            self._stops(state, _owner(words[at]))
        if header >> 4 & 3 == RUNNING:
            self._starts(state, _owner(words[at]))

    def _on_continue(self, state: _Cpu, words: memoryview, at: int, _header: int) -> None:
        self._end_exit(state)
        owner = _owner(words[at])
        if state.running not in (None, SOMEBODY, owner):
            self._contradicts(state)
        elif not state.broken:
            self._belongs(state, owner)
            state.lenient = False

    def _on_lost(self, state: _Cpu, words: memoryview, at: int, _header: int) -> None:
        """Go on with who runs now; the exit that was being handled has lost its records."""
        self._lost += words[at]
        self._end_exit(state)
        if not state.broken:
            self._drop_pool(state)
            self._runs(state, (words[at + 1] & 0xFFFF, words[at + 1] >> 16))
            state.lenient = True

    def _on_entry(self, state: _Cpu, _words: memoryview, _at: int, _header: int) -> None:
        self._end_exit(state)

    def _on_exit(self, state: _Cpu, words: memoryview, at: int, _header: int) -> None:
        self._end_exit(state)
        if self._technology is Technology.SVM:
            state.begin(True, words[at])
        else:  # the upper half has flags: entry failure, bus lock
            state.begin(False, words[at] & 0xFFFF)

    def _on_svm_exit(self, state: _Cpu, words: memoryview, at: int, _header: int) -> None:
        self._end_exit(state)
        state.begin(True, words[at])

    def _on_cr_read(self, state: _Cpu, words: memoryview, at: int, _header: int) -> None:
        if state.control_register is None:
            state.control_register, state.operation = words[at] & 0xF, READ

    def _on_cr_write(self, state: _Cpu, words: memoryview, at: int, _header: int) -> None:
        if state.control_register is None:
            state.control_register, state.operation = words[at] & 0xF, WRITE

    def _on_other_cr(self, state: _Cpu, _words: memoryview, _at: int, _header: int) -> None:
        if state.control_register is None:
            state.control_register = 0

    def _on_msr_read(self, state: _Cpu, words: memoryview, at: int, _header: int) -> None:
        if state.msr is None:
            state.msr, state.operation = _msr(words[at]), READ

    def _on_msr_write(self, state: _Cpu, words: memoryview, at: int, _header: int) -> None:
        if state.msr is None:
            state.msr, state.operation = _msr(words[at]), WRITE
            if state.msr in VALUE_MATTERS_MSRS:
                state.value = words[at + 1] | words[at + 2] << 32

    def _on_memory_read(self, state: _Cpu, words: memoryview, at: int, header: int) -> None:
        if state.address is None:
            state.address, state.operation = _address(words, at, header), READ

    def _on_memory_write(self, state: _Cpu, words: memoryview, at: int, header: int) -> None:
        """Take the first access; the value follows the address, if it is there."""
        if state.address is None:
            state.address, state.operation = _address(words, at, header), WRITE
            if state.address % PAGE_SIZE in VALUE_MATTERS and header >> 28 & 7 > 1:
                state.value = words[at + 1]

    def _on_page_fault(self, state: _Cpu, words: memoryview, at: int, _header: int) -> None:
        if state.page_fault is None:
            state.page_fault = _in_the_page(words[at] | words[at + 1] << 32)
            if not state.operation:
                state.operation = QUALIFICATION.get(words[at + 4] & 7, 0)

    def _on_eoi(self, state: _Cpu, _words: memoryview, _at: int, _header: int) -> None:
        state.eoi = True

    # -- whose an exit is ----------------------------------------------------------------------------

    def _end_exit(self, state: _Cpu) -> None:
        if state.reason == NO_EXIT:
            return
        known = (
            state.svm,
            state.reason,
            state.address,
            state.page_fault,
            state.operation,
            state.msr,
            state.control_register,
            state.value,
            state.eoi,
        )
        number = self._memo.get(known)
        if number is None:
            number = self._learn(state, known)
        counts = state.counts
        counts[number] = counts.get(number, 0) + 1
        state.reason = NO_EXIT

    def _learn(self, state: _Cpu, known: tuple[object, ...]) -> int:
        clues = Clues(
            Technology.SVM if state.svm else Technology.VMX,
            state.reason,
            state.address,
            state.page_fault,
            OPERATIONS[state.operation],
            state.msr,
            state.control_register,
            state.value,
            state.eoi,
        )
        if len(self._memo) >= MEMO_SIZE:
            self._memo.clear()
        number = self._kinds.setdefault(judge(clues), len(self._kinds))
        self._memo[known] = number
        return number

    def _runs(self, state: _Cpu, owner: Owner | None) -> None:
        """Set who runs, and so where exits are counted."""
        state.running = owner
        if owner is None:
            state.counts = state.pool
            return
        state.counts = self._exits.setdefault(owner[1], {}) if owner[0] == self.domid else self._others
        state.seen = owner is not SOMEBODY

    def _starts(self, state: _Cpu, owner: Owner) -> None:
        if state.broken:
            return
        if state.running not in (None, owner) and not state.lenient:
            self._contradicts(state)
            return
        self._drop_pool(state)
        self._runs(state, owner)
        state.lenient = False

    def _stops(self, state: _Cpu, owner: Owner) -> None:
        if state.broken:
            return
        if state.running not in (None, SOMEBODY, owner):
            self._contradicts(state)
            return
        self._belongs(state, owner)
        self._runs(state, None)
        state.lenient = True

    def _belongs(self, state: _Cpu, owner: Owner) -> None:
        """Settle whose the exits are that were kept apart."""
        self._runs(state, owner)
        _move(state.pool, state.counts)

    def _contradicts(self, state: _Cpu) -> None:
        self._drop_pool(state)
        state.broken, state.running, state.counts = True, None, self._unattributed

    def _drop_pool(self, state: _Cpu) -> None:
        _move(state.pool, self._unattributed)

    def _garbage(self, state: _Cpu) -> None:
        """Forget what was believed of a CPU; the next record of its scheduler tells anew."""
        self._malformed += 1
        state.reason = NO_EXIT
        if not state.broken:
            self._drop_pool(state)
            self._runs(state, None)
            state.seen = state.lenient = True


VALUE_MATTERS_MSRS = tuple(msr_of(offset) for offset in VALUE_MATTERS)
WIDTHS = (0, TRC_64_FLAG)
EXIT_FLAGS = (0, TRC_64_FLAG, TRC_HVM_NESTEDFLAG, TRC_64_FLAG | TRC_HVM_NESTEDFLAG)
QUALIFICATION = {1: READ, 2: WRITE, 4: OPERATIONS.index(Operation.FETCH)}
"""Bits 2:0 of an EPT violation's qualification; AMD's record has 0 there, and both bits may be set."""


def _owner(word: int) -> Owner:
    """Read ``struct { vcpu:16, domain:16 }``."""
    return word >> 16, word & 0xFFFF


def _move(pool: Counts, counts: Counts) -> None:
    for number, count in pool.items():
        counts[number] = counts.get(number, 0) + count
    pool.clear()


def _address(words: memoryview, at: int, header: int) -> int:
    """Read an emulated access's address; above 4 GiB it has two words."""
    return ELSEWHERE if header & TRC_64_FLAG else _in_the_page(words[at])


def _in_the_page(address: int) -> int:
    return address if address & -PAGE_SIZE == APIC_DEFAULT_PHYS_BASE else ELSEWHERE


def _msr(number: int) -> int:
    return number if number in APIC_MSRS else ELSEWHERE
