"""Parse the output of debug key 'v': the controls in the VMCS of every vCPU of every HVM-type domain.

``vmcs_dump`` and ``vmcs_dump_vcpu`` print the text (``xen/arch/x86/hvm/vmx/vmcs.c``). The lines used here
have two forms from 4.15 to 4.22: releases that know tertiary controls (4.19 and later, and the last point
releases of 4.15 to 4.18) print the words on two lines, older releases print three words on one line.
Before 4.17, a vCPU that was never initialised is dumped like any other.

Each ``printk`` of a dump is a complete line with the prefix ``(XEN) ``; other lines may come in
between. A guest's line starts with its own prefix and is ignored (`xenapic.parse.ring`). There is one
way around that prefix: text that follows an unfinished line of Xen's can, with luck, look
like *one* line of Xen's. So an attacker may be able to *add* lines, but can never remove one.
An added line breaks every rule applied here: each line of a vCPU appears
exactly once and in order, domains and vCPUs ascend, a dump ends before the next begins, and all
dumps in a reading agree. A broken dump is never repaired; the key is pressed again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import field
from enum import Enum, auto
from itertools import pairwise

from xenapic.apic.controls import ControlWords
from xenapic.apic.features import PIN, PRIMARY, SECONDARY, TERTIARY, ControlField
from xenapic.frozen import dataclass
from xenapic.parse.ring import Origin, ring_lines

__all__ = ["DumpProblem", "Reading", "Tag", "VcpuDump", "read_dump"]

Tag = tuple[int, int]
"""The stack and instruction pointers given to a vCPU, which identify its dump."""


class DumpProblem(Enum):
    """The reason why a piece of the ring does not show the controls; the value puts it in words."""

    NOTHING = "no VMCS dump was printed"
    VMCB = "Xen dumped VMCBs, so this is an AMD processor"
    LOST = "the domain's part was overwritten before it could be read (raise conring_size= for Xen)"
    ABSENT = "the dump does not have the domain"
    CUT = "the dump has no end"
    OVERLAP = "two dumps overlap"
    GARBLED = "the dump has lines that Xen does not print this way"
    UNTAGGED = "no dump has the registers that the vCPU was given"
    DIFFERENT = "the dumps of the same domain differ"


@dataclass(frozen=True, slots=True)
class VcpuDump:
    """The part of a dump that shows one vCPU."""

    vcpu: int
    words: ControlWords | None
    """None if Xen printed that the vCPU is not initialised."""
    tag: Tag | None = field(default=None, compare=False)
    """Stack and instruction pointers; they change while a vCPU runs, so comparisons ignore them."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a piece of the ring shows about a domain: its vCPUs, or the problem."""

    vcpus: tuple[VcpuDump, ...] = ()
    problem: DumpProblem | None = None


class _LineKind(Enum):
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
    """Return the pattern of a line with these control words."""
    return re.compile(" ".join(f"{field.printed}=([0-9a-f]{{{field.digits}}})" for field in fields))


HEX16 = "([0-9a-f]{16})"
LINES = {
    _LineKind.START: re.compile(r"\*+ VM(CS|CB) Areas \*+"),
    _LineKind.END: re.compile(r"\*{38}"),
    _LineKind.DOMAIN: re.compile(r">>> Domain (\d{1,5}) <<<"),
    _LineKind.NO_VCPU: re.compile(r"\tVCPU (\d{1,4}): not initialized"),
    _LineKind.VCPU: re.compile(r"\tVCPU (\d{1,4})"),
    _LineKind.GUEST: re.compile(r"\*\*\* Guest State \*\*\*"),
    _LineKind.REGISTERS: re.compile(rf"RSP = 0x{HEX16} \(0x{HEX16}\)  RIP = 0x{HEX16} \(0x{HEX16}\)"),
    _LineKind.HOST: re.compile(r"\*\*\* Host State \*\*\*"),
    _LineKind.CONTROL: re.compile(r"\*\*\* Control State \*\*\*"),
    _LineKind.ALL_WORDS: _words(PIN, PRIMARY, SECONDARY),
    _LineKind.FIRST_WORDS: _words(PIN, PRIMARY),
    _LineKind.LAST_WORDS: _words(SECONDARY, TERTIARY),
}
"""The lines that matter; everything between them is ignored."""

VCPU_LINES = (_LineKind.VCPU, _LineKind.GUEST, _LineKind.REGISTERS, _LineKind.HOST, _LineKind.CONTROL)
WORDS_LINES = ((_LineKind.FIRST_WORDS, _LineKind.LAST_WORDS), (_LineKind.ALL_WORDS,))
"""The lines of each initialised vCPU in order: `VCPU_LINES`, then one of these."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that matters."""

    kind: _LineKind
    values: tuple[str, ...]


@dataclass(slots=True)
class _Part:
    """The lines of one domain in one dump."""

    domid: int
    lines: list[_Line] = field(default_factory=list)
    complete: bool = False


class _Garbled(Exception):
    pass


def read_dump(data: bytes, whole_start: bool, domid: int, tag: Tag | None = None) -> Reading:
    """Return what a piece of the ring shows about a domain.

    ``whole_start`` means that the piece starts with a complete line and has everything since the key was
    pressed. With ``tag``, only a dump with these registers counts, whatever else claims to be the domain's.
    """
    lines = list(_lines(data, whole_start))
    bounds = [line for line in lines if line.kind in (_LineKind.START, _LineKind.END)]
    if any(bound.kind is following.kind for bound, following in pairwise(bounds)):
        return Reading(problem=DumpProblem.OVERLAP)
    if any(line.kind is _LineKind.START and line.values == ("CB",) for line in bounds):
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
        return Reading(problem=DumpProblem.GARBLED)  # an added line can hide a domain's vCPUs
    if any(vcpus != ours[0] for vcpus in ours):
        return Reading(problem=DumpProblem.DIFFERENT)
    return Reading(vcpus=ours[0])


def _missing(bounds: Sequence[_Line], whole_start: bool) -> DumpProblem:
    if not bounds or bounds[-1].kind is not _LineKind.END:
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
    """Split a piece of the ring into domains; lines before the first are the tail of another dump."""
    part: _Part | None = None
    last = -1
    for line in lines:
        if line.kind in (_LineKind.DOMAIN, _LineKind.START, _LineKind.END) and part is not None:
            part.complete = line.kind is not _LineKind.START
            yield part
            part = None
        if line.kind is _LineKind.DOMAIN:
            domid = int(line.values[0])
            if domid <= last:
                raise _Garbled
            part, last = _Part(domid), domid
        elif line.kind in (_LineKind.START, _LineKind.END):
            last = -1
        elif part is not None:
            part.lines.append(line)


def _vcpus(part: _Part) -> tuple[VcpuDump, ...]:
    vcpus: list[VcpuDump] = []
    at = 0
    while at < len(part.lines):
        if part.lines[at].kind is _LineKind.NO_VCPU:
            vcpus.append(VcpuDump(int(part.lines[at].values[0]), None))
            at += 1
        else:
            length = _length(part.lines[at:])
            vcpus.append(_vcpu(part.lines[at : at + length]))
            at += length
    if any(vcpu.vcpu >= following.vcpu for vcpu, following in pairwise(vcpus)):
        raise _Garbled
    return tuple(vcpus)


def _length(lines: Sequence[_Line]) -> int:
    """Return the number of lines of the vCPU that starts here."""
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
