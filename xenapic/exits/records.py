"""Parse Xen's trace records: from bytes to counts of one domain's VM exits. Nothing here calls Xen.

A record is a header word (`EVENT_BITS` of event, the number of data words, whether a time follows), the time
in two words, and up to seven data words. The records of one CPU arrive in order, and the parser relies on
nothing else:

* The records between ``VMEXIT`` and ``VMENTRY`` belong to that exit. Xen is not preemptive: a CPU that
  switches to another vCPU has finished handling the exit.
* The record of an exit does not name its vCPU. The scheduler's records do: which vCPU starts, stops or
  continues. Exits before the first of them are kept separate, and belong to the vCPU that it names as
  running.
* ``LOST_RECORDS`` says how many records did not fit, and which vCPU runs since.

With core scheduling (Xen's option ``sched-gran``) one CPU records the switches of several. Such records
contradict one another; from then on the exits of that CPU count as unattributed.

Sources: ``xen/include/public/trace.h``, ``xen/common/trace.c``, ``trace_runstate_change`` and
``sched_switch_units`` in ``xen/common/sched/core.c``; the same in 4.15 to 4.22, except that AMD's exits have
their own event since 4.19.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from xenapic.apic.features import Technology
from xenapic.apic.outcome import Operation
from xenapic.apic.registers import PAGE_SIZE, msr_of
from xenapic.apic.state import APIC_DEFAULT_PHYS_BASE
from xenapic.exits.cpu import NO_EXIT, SOMEBODY, Counts, CpuState, Owner
from xenapic.exits.events import EVENT_BITS, EVENTS, RUNNING, TRC_64_FLAG, TRC_HVM_NESTEDFLAG
from xenapic.exits.judgement import APIC_MSRS, VALUE_MATTERS, Clues, ExitKind, judge_exit
from xenapic.frozen import dataclass

__all__ = ["Tally", "TraceParser"]

OPERATIONS = (None, Operation.READ, Operation.WRITE, Operation.FETCH)
READ, WRITE = 1, 2
"""Indices of `OPERATIONS`."""
ELSEWHERE = 0
"""In place of every address and MSR that does not concern the APIC, so that all of them count as one."""
MEMO_SIZE = 1 << 14


@dataclass(frozen=True)
class Tally:
    """The counts so far."""

    exits: Mapping[tuple[int, ExitKind], int]
    """Exits of the domain, by vCPU and kind."""
    others: int
    """Exits of other domains."""
    unattributed: int
    """Exits of an unknown domain."""
    lost: int
    """Records of any kind that Xen could not store."""
    malformed: int
    """Pieces of data that are no records; the rest of the same read is dropped."""


Words = list[int]
NO_WORDS: Words = []
Action = Callable[[CpuState, Words, int, int], None]
"""Handler of a record: state of the CPU, all words, index of the record's data, its header."""


class TraceParser:
    """Counter of one domain's exits in the records of all CPUs, in constant memory."""

    def __init__(self, domid: int, technology: Technology) -> None:
        self.domid = domid
        self._technology = technology
        self._cpus: dict[int, CpuState] = {}
        self._exits: dict[int, Counts] = {}
        """By vCPU."""
        self._others: Counts = {}
        self._unattributed: Counts = {}
        self._lost = self._malformed = 0
        self._actions = self._table()
        self._headers: dict[int, tuple[int, int, Action | None]] = {}
        """What `_header` returned; cleared when it grows too long."""
        self._kinds: dict[ExitKind, int] = {}
        """Number of each kind seen so far."""
        self._memo: dict[tuple[object, ...], int] = {}
        """Number of the kind for each set of clues; cleared when it grows too long."""

    def tally(self) -> Tally:
        """Return the counts; exits whose owner a later record may show count as unattributed."""
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
        """Parse the next records of a CPU: complete ones, in order."""
        state = self._cpus.setdefault(cpu, CpuState())
        # A list, and what a header means looked up: this loop is most of what tracing costs.
        words = memoryview(data[: len(data) & ~3]).cast("I").tolist()
        at, end, known = 0, len(words), self._headers
        while at < end:
            header = words[at]
            size, start, act = known.get(header) or self._header(header)
            if at + size > end:
                self._garbage(state)
                return
            if act is not None:
                act(state, words, at + start, header)
            at += size
        if len(data) & 3:
            self._garbage(state)

    def _header(self, header: int) -> tuple[int, int, Action | None]:
        """Return a record's words, those before its data, and its handler; too many words if malformed."""
        extra, start = header >> 28 & 7, 3 if header >> 31 else 1
        least, act = self._actions.get(header & EVENT_BITS, (0, None))
        size = start + extra if header & EVENT_BITS and extra >= least else sys.maxsize
        if len(self._headers) >= MEMO_SIZE:
            self._headers.clear()
        self._headers[header] = size, start, act
        return self._headers[header]

    def malformed(self, cpu: int) -> None:
        """Note that records of a CPU could not be read."""
        self._garbage(self._cpus.setdefault(cpu, CpuState()))

    def unplaced(self) -> bool:
        """Return True if a CPU has exits, but no record yet of the vCPU that runs there; see `place`."""
        return any(state.pool and not state.seen and not state.broken for state in self._cpus.values())

    def place(self, running: Mapping[int, int]) -> None:
        """Attribute exits, given the domain's vCPU that runs on each CPU; feed all earlier records before.

        A CPU without a scheduler record has run the same vCPU all the time.
        """
        for cpu, state in self._cpus.items():
            if state.running is None and not state.seen and not state.broken:
                owner = (self.domid, running[cpu]) if cpu in running else SOMEBODY
                self._belongs(state, owner)
                state.lenient = True

    def finish(self) -> None:
        """Count the exits that are being handled, after tracing has ended."""
        for state in self._cpus.values():
            self._end_exit(state)

    # -- handlers of records ---------------------------------------------------------------------

    def _table(self) -> dict[int, tuple[int, Action]]:
        """Return the fewest data words and the handler of each event."""
        rows: tuple[tuple[str, tuple[int, ...], int, Action], ...] = (
            ("TRC_LOST_RECORDS", (0,), 2, self._on_lost),
            ("TRC_SCHED_CONTINUE_RUNNING", (0,), 1, self._on_continue),
            ("TRC_HVM_VMENTRY", (0, TRC_HVM_NESTEDFLAG), 0, self._end_exit),
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
                if RUNNING in (old, new):  # the others can be recorded on any CPU, and no vCPU moves
                    table[base | old << 8 | new << 4] = (1, self._on_runstate)
        return table

    def _on_runstate(self, state: CpuState, words: Words, at: int, header: int) -> None:
        self._end_exit(state)
        if header >> 8 & 3 == RUNNING:
            self._stops(state, _owner(words[at]))
        if header >> 4 & 3 == RUNNING:
            self._starts(state, _owner(words[at]))

    def _on_continue(self, state: CpuState, words: Words, at: int, _header: int) -> None:
        self._end_exit(state)
        owner = _owner(words[at])
        if state.running not in (None, SOMEBODY, owner):
            self._contradicts(state)
        elif not state.broken:
            self._belongs(state, owner)
            state.lenient = False

    def _on_lost(self, state: CpuState, words: Words, at: int, _header: int) -> None:
        """Continue with the vCPU that runs now; the exit that was being handled has lost its records."""
        self._lost += words[at]
        self._end_exit(state)
        if not state.broken:
            self._drop_pool(state)
            self._runs(state, (words[at + 1] & 0xFFFF, words[at + 1] >> 16))
            state.lenient = True

    def _on_exit(self, state: CpuState, words: Words, at: int, _header: int) -> None:
        if state.reason != NO_EXIT:
            self._end_exit(state)
        if self._technology is Technology.SVM:
            state.begin(True, words[at])
        else:  # the upper half has flags, e.g. entry failure, bus lock
            state.begin(False, words[at] & 0xFFFF)

    def _on_svm_exit(self, state: CpuState, words: Words, at: int, _header: int) -> None:
        self._end_exit(state)
        state.begin(True, words[at])

    def _on_cr_read(self, state: CpuState, words: Words, at: int, _header: int) -> None:
        if state.control_register is None:
            state.control_register, state.operation = words[at] & 0xF, READ

    def _on_cr_write(self, state: CpuState, words: Words, at: int, _header: int) -> None:
        if state.control_register is None:
            state.control_register, state.operation = words[at] & 0xF, WRITE

    def _on_other_cr(self, state: CpuState, _words: Words, _at: int, _header: int) -> None:
        if state.control_register is None:
            state.control_register = 0

    def _on_msr_read(self, state: CpuState, words: Words, at: int, _header: int) -> None:
        if state.msr is None:
            state.msr, state.operation = _msr(words[at]), READ

    def _on_msr_write(self, state: CpuState, words: Words, at: int, _header: int) -> None:
        if state.msr is None:
            state.msr, state.operation = _msr(words[at]), WRITE
            if state.msr in VALUE_MATTERS_MSRS:
                state.value = words[at + 1] | words[at + 2] << 32

    def _on_memory_read(self, state: CpuState, words: Words, at: int, header: int) -> None:
        if state.address is None:
            state.address, state.operation = _address(words, at, header), READ

    def _on_memory_write(self, state: CpuState, words: Words, at: int, header: int) -> None:
        """Note the first access; the value follows the address, if it is recorded."""
        if state.address is None:
            state.address, state.operation = _address(words, at, header), WRITE
            if state.address % PAGE_SIZE in VALUE_MATTERS and header >> 28 & 7 > 1:
                state.value = words[at + 1]

    def _on_page_fault(self, state: CpuState, words: Words, at: int, _header: int) -> None:
        if state.page_fault is None:
            state.page_fault = _in_the_page(words[at] | words[at + 1] << 32)
            if not state.operation:
                state.operation = QUALIFICATION.get(words[at + 4] & 7, 0)

    def _on_eoi(self, state: CpuState, _words: Words, _at: int, _header: int) -> None:
        state.eoi = True

    # -- attribution of exits ------------------------------------------------------------------------

    def _end_exit(self, state: CpuState, _words: Words = NO_WORDS, _at: int = 0, _header: int = 0) -> None:
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

    def _learn(self, state: CpuState, known: tuple[object, ...]) -> int:
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
        number = self._kinds.setdefault(judge_exit(clues), len(self._kinds))
        self._memo[known] = number
        return number

    def _runs(self, state: CpuState, owner: Owner | None) -> None:
        """Set the vCPU that runs, which decides where exits are counted."""
        state.running = owner
        if owner is None:
            state.counts = state.pool
            return
        state.counts = self._exits.setdefault(owner[1], {}) if owner[0] == self.domid else self._others
        state.seen = owner is not SOMEBODY

    def _starts(self, state: CpuState, owner: Owner) -> None:
        if state.broken:
            return
        if state.running not in (None, owner) and not state.lenient:
            self._contradicts(state)
            return
        self._drop_pool(state)
        self._runs(state, owner)
        state.lenient = False

    def _stops(self, state: CpuState, owner: Owner) -> None:
        if state.broken:
            return
        if state.running not in (None, SOMEBODY, owner):
            self._contradicts(state)
            return
        self._belongs(state, owner)
        self._runs(state, None)
        state.lenient = True

    def _belongs(self, state: CpuState, owner: Owner) -> None:
        """Attribute the exits that were kept separate."""
        self._runs(state, owner)
        _move(state.pool, state.counts)

    def _contradicts(self, state: CpuState) -> None:
        self._drop_pool(state)
        state.broken, state.running, state.counts = True, None, self._unattributed

    def _drop_pool(self, state: CpuState) -> None:
        _move(state.pool, self._unattributed)

    def _garbage(self, state: CpuState) -> None:
        """Forget which vCPU runs on a CPU until the next record of its scheduler."""
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
"""Bits 2:0 of an EPT violation's qualification. In AMD's record they are 0; several can be set."""


def _owner(word: int) -> Owner:
    """Read ``struct { vcpu:16, domain:16 }``."""
    return word >> 16, word & 0xFFFF


def _move(pool: Counts, counts: Counts) -> None:
    for number, count in pool.items():
        counts[number] = counts.get(number, 0) + count
    pool.clear()


def _address(words: Words, at: int, header: int) -> int:
    """Read the address of an emulated access; above 4 GiB it has two words."""
    return ELSEWHERE if header & TRC_64_FLAG else _in_the_page(words[at])


def _in_the_page(address: int) -> int:
    return address if address & -PAGE_SIZE == APIC_DEFAULT_PHYS_BASE else ELSEWHERE


def _msr(number: int) -> int:
    return number if number in APIC_MSRS else ELSEWHERE
