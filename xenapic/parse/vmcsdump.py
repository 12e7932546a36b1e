"""Take apart what debug key 'v' prints: the controls in the VMCS of every vCPU of every HVM-type domain.

The text is ``vmcs_dump`` and ``vmcs_dump_vcpu`` (``xen/arch/x86/hvm/vmx/vmcs.c``). What is used of it has
two forms from 4.15 to 4.22: releases that know of tertiary controls (4.19 on, and the last point
releases of 4.15 to 4.18) print the words in two lines, older ones without the fourth in one.
Before 4.17 a vCPU that was never initialised is dumped like any other.

Each ``printk`` of a dump is one whole line with the prefix ``(XEN) ``, and lines of others may come in
between. A guest's line begins with its own prefix and is never looked at (`xenapic.parse.ring`). The one
way round that prefix is text which follows an unfinished line of Xen's: with luck such a text can look
like *one* line of Xen's. So it must be taken that somebody can *add* lines; nobody can take one
away. That is why every rule here is one that an added line breaks: each line of a vCPU stands
exactly once and in order, domains and vCPUs ascend, a dump ends before the next begins, and all
dumps of a reading agree. What is broken is never repaired: the key is pressed again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import pairwise

from xenapic.apic.controls import ControlWords
from xenapic.apic.features import PIN, PRIMARY, SECONDARY, TERTIARY, ControlField
from xenapic.parse.ring import Origin, ring_lines

__all__ = ["DumpProblem", "Reading", "Tag", "VcpuDump", "read_dump"]

Tag = tuple[int, int]
"""Stack and instruction pointer that a vCPU was given, so that its dump can be told from any other."""


class DumpProblem(Enum):
    """Why a piece of the ring does not tell the controls; the value says it in words."""

    NOTHING = "no VMCS dump was printed"
    VMCB = "Xen dumped VMCBs: the processor is AMD's"
    LOST = "the domain's part was overwritten before it could be read (raise Xen's conring_size=)"
    ABSENT = "a dump without the domain"
    CUT = "the dump does not reach its end"
    OVERLAP = "two dumps were printed at the same time"
    GARBLED = "the dump holds lines that Xen does not print so"
    UNTAGGED = "no dump with the registers that the vCPU was given"
    DIFFERENT = "dumps of the same domain differ"


@dataclass(frozen=True, slots=True)
class VcpuDump:
    """One vCPU's part of a dump."""

    vcpu: int
    words: ControlWords | None
    """None when Xen says that the vCPU is not initialised."""
    tag: Tag | None = field(default=None, compare=False)
    """Stack and instruction pointer; they change while a vCPU runs, so they do not count in comparing."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a piece of the ring says of one domain: its vCPUs, or why it says nothing."""

    vcpus: tuple[VcpuDump, ...] = ()
    problem: DumpProblem | None = None


class _Kind(Enum):
    START = auto()
    END = auto()
    DOMAIN = auto()
    NO_VCPU = auto()
    VCPU = auto()
    GUEST = auto()
    REGISTERS = auto()
    HOST = auto()
    CONTROL = auto()
    ALL_WORDS = auto()
    FIRST_WORDS = auto()
    LAST_WORDS = auto()


def _words(*fields: ControlField) -> re.Pattern[str]:
    """Return the pattern of a line with these words."""
    return re.compile(" ".join(f"{field.printed}=([0-9a-f]{{{field.digits}}})" for field in fields))


HEX16 = "([0-9a-f]{16})"
LINES = {
    _Kind.START: re.compile(r"\*+ VM(CS|CB) Areas \*+"),
    _Kind.END: re.compile(r"\*{38}"),
    _Kind.DOMAIN: re.compile(r">>> Domain (\d{1,5}) <<<"),
    _Kind.NO_VCPU: re.compile(r"\tVCPU (\d{1,4}): not initialized"),
    _Kind.VCPU: re.compile(r"\tVCPU (\d{1,4})"),
    _Kind.GUEST: re.compile(r"\*\*\* Guest State \*\*\*"),
    _Kind.REGISTERS: re.compile(rf"RSP = 0x{HEX16} \(0x{HEX16}\)  RIP = 0x{HEX16} \(0x{HEX16}\)"),
    _Kind.HOST: re.compile(r"\*\*\* Host State \*\*\*"),
    _Kind.CONTROL: re.compile(r"\*\*\* Control State \*\*\*"),
    _Kind.ALL_WORDS: _words(PIN, PRIMARY, SECONDARY),
    _Kind.FIRST_WORDS: _words(PIN, PRIMARY),
    _Kind.LAST_WORDS: _words(SECONDARY, TERTIARY),
}
"""The lines that matter; what stands between them does not."""

VCPU_LINES = (_Kind.VCPU, _Kind.GUEST, _Kind.REGISTERS, _Kind.HOST, _Kind.CONTROL)
WORDS_LINES = ((_Kind.FIRST_WORDS, _Kind.LAST_WORDS), (_Kind.ALL_WORDS,))
"""What each initialised vCPU has, in this order: the first, then one of the second."""


@dataclass(frozen=True, slots=True)
class _Line:
    kind: _Kind
    values: tuple[str, ...]


@dataclass(slots=True)
class _Part:
    """One domain's lines in one dump."""

    domid: int
    lines: list[_Line] = field(default_factory=list)
    complete: bool = False


class _Garbled(Exception):
    pass


def read_dump(data: bytes, whole_start: bool, domid: int, tag: Tag | None = None) -> Reading:
    """Return what a piece of the ring says of a domain.

    ``whole_start`` says that the piece begins with a line and has all since the key was pressed. With
    ``tag`` only a dump with these registers counts, whatever else calls itself a dump of the domain.
    """
    lines = list(_lines(data, whole_start))
    bounds = [line for line in lines if line.kind in (_Kind.START, _Kind.END)]
    if any(one.kind is other.kind for one, other in pairwise(bounds)):
        return Reading(problem=DumpProblem.OVERLAP)
    if any(line.kind is _Kind.START and line.values == ("CB",) for line in bounds):
        return Reading(problem=DumpProblem.VMCB)
    if not lines:
        return Reading(problem=DumpProblem.NOTHING if whole_start else DumpProblem.LOST)
    try:
        dumped = [(part, _vcpus(part)) for part in _parts(lines) if part.complete]
    except _Garbled:
        return Reading(problem=DumpProblem.GARBLED)
    ours = [vcpus for part, vcpus in dumped if part.domid == domid]
    if not ours:
        return Reading(problem=_missing(bounds, whole_start))
    if tag is not None:
        ours = [vcpus for vcpus in ours if vcpus and all(vcpu.tag == tag for vcpu in vcpus)]
        if not ours:
            return Reading(problem=DumpProblem.UNTAGGED)
    if not all(ours):
        return Reading(problem=DumpProblem.GARBLED)  # an added line can cut a domain's vCPUs off
    if any(vcpus != ours[0] for vcpus in ours):
        return Reading(problem=DumpProblem.DIFFERENT)
    return Reading(vcpus=ours[0])


def _missing(bounds: Sequence[_Line], whole_start: bool) -> DumpProblem:
    if not bounds or bounds[-1].kind is not _Kind.END:
        return DumpProblem.CUT
    return DumpProblem.ABSENT if whole_start else DumpProblem.LOST


def _lines(data: bytes, whole_start: bool) -> Iterator[_Line]:
    for line in ring_lines(data, whole_start)[0]:
        if line.origin is not Origin.XEN:
            continue
        for kind, pattern in LINES.items():
            match = pattern.fullmatch(line.text)
            if match:
                yield _Line(kind, match.groups())
                break


def _parts(lines: Sequence[_Line]) -> Iterator[_Part]:
    """Cut a piece of the ring into domains; what stands before the first one is a tail and is dropped."""
    part: _Part | None = None
    last = -1
    for line in lines:
        if line.kind in (_Kind.DOMAIN, _Kind.START, _Kind.END) and part is not None:
            part.complete = line.kind is not _Kind.START
            yield part
            part = None
        if line.kind is _Kind.DOMAIN:
            domid = int(line.values[0])
            if domid <= last:
                raise _Garbled
            part, last = _Part(domid), domid
        elif line.kind in (_Kind.START, _Kind.END):
            last = -1
        elif part is not None:
            part.lines.append(line)


def _vcpus(part: _Part) -> tuple[VcpuDump, ...]:
    vcpus: list[VcpuDump] = []
    at = 0
    while at < len(part.lines):
        if part.lines[at].kind is _Kind.NO_VCPU:
            vcpus.append(VcpuDump(int(part.lines[at].values[0]), None))
            at += 1
        else:
            length = _length(part.lines[at:])
            vcpus.append(_vcpu(part.lines[at : at + length]))
            at += length
    if any(one.vcpu >= other.vcpu for one, other in pairwise(vcpus)):
        raise _Garbled
    return tuple(vcpus)


def _length(lines: Sequence[_Line]) -> int:
    """Return how many lines the vCPU has that begins here."""
    kinds = tuple(line.kind for line in lines[: len(VCPU_LINES) + 2])
    for words in WORDS_LINES:
        length = len(VCPU_LINES) + len(words)
        if kinds[:length] == VCPU_LINES + words:
            return length
    raise _Garbled


def _vcpu(lines: Sequence[_Line]) -> VcpuDump:
    number, _guest, registers, _host, _control = (line.values for line in lines[: len(VCPU_LINES)])
    words = [int(word, 16) for line in lines[len(VCPU_LINES) :] for word in line.values]
    return VcpuDump(
        vcpu=int(number[0]),
        words=ControlWords(*words),
        tag=(int(registers[1], 16), int(registers[3], 16)),
    )
