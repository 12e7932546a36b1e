"""Dumps of a VMCS or VMCB, and the lines around an exit: decoded vCPU by vCPU."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from xenapic.apic.control_bits import Word
from xenapic.apic.features import Technology
from xenapic.glossary.pasted.meaning import Meaning, quoted
from xenapic.glossary.pasted.numbers import exit_meaning
from xenapic.glossary.pasted.words import judged, word_meaning, words_in

__all__ = ["control_words", "exit_lines"]

PLACE = re.compile(r">>> Domain (?P<domain>\d{1,5}) <<<|\bVCPU (?P<vcpu>\d{1,4})\b", re.ASCII)
ABSENT = re.compile(r"VCPU \d{1,4}: not initialized", re.ASCII)


class _Vcpu(NamedTuple):
    place: str
    words: list[tuple[str, Word, int]]


def _vcpus(lines: Sequence[str]) -> Iterator[_Vcpu]:
    """Yield the words of each vCPU: a new one starts where the text says so, or a word repeats."""
    domain = place = ""
    words: list[tuple[str, Word, int]] = []
    for line in lines:
        match = PLACE.search(line)
        if match and not ABSENT.search(line):
            if words:
                yield _Vcpu(place, words)
                words = []
            domain = match["domain"] if match["domain"] is not None else domain
            vcpu = match["vcpu"]
            place = " ".join(
                part
                for part in (f"domain {domain}" if domain else "", f"vCPU {vcpu}" if vcpu is not None else "")
                if part
            )
        for item in words_in(line):
            if any(item[1] is word for _quote, word, _value in words):
                yield _Vcpu(place, words)
                words = []
            words.append(item)
    if words:
        yield _Vcpu(place, words)


def control_words(lines: Sequence[str]) -> Iterator[Meaning]:
    """Yield what the control words in a text say, each vCPU's together; equal ones once."""
    groups: dict[tuple[tuple[str, int], ...], list[_Vcpu]] = {}
    for vcpu in _vcpus(lines):
        groups.setdefault(tuple((word.key, value) for _quote, word, value in vcpu.words), []).append(vcpu)
    for key, vcpus in groups.items():
        first, values = vcpus[0], dict(key)
        places = [vcpu.place for vcpu in vcpus if vcpu.place]
        shown = ", ".join(places[:4]) + (f" and {len(places) - 4} more" if len(places) > 4 else "")
        judgement = judged(values)
        if len(first.words) == 1:
            meaning = word_meaning(*first.words[0])
            yield meaning._replace(text=f"{meaning.text}\n{judgement}")
            continue
        meanings = [word_meaning(*item) for item in first.words]
        lines_of = [judgement]
        for (_quote, word, value), meaning in zip(first.words, meanings, strict=True):
            of_apic = meaning.text.split("\n")[0].removeprefix("Of the APIC, 1: ")
            if meaning.text.startswith("Of the APIC"):
                lines_of.append(f"{word.printed[0]} {value:08x}, of the APIC: {of_apic}")
        yield Meaning(
            quoted(" ".join(quote for quote, _word, _value in first.words)),
            f"VMX controls{f' of {shown}' if shown else ''}",
            "\n".join(lines_of),
            True,
            'SDM volume 3C, "Checks on VMX controls"',
            tuple(dict.fromkeys(topic for meaning in meanings for topic in meaning.see)),
        )


# -- lines around an exit ----------------------------------------------------------------------------

SVM_UNEXPECTED = re.compile(
    r"Unexpected vmexit: reason (0x[0-9a-f]{1,16}), exitinfo1", re.IGNORECASE | re.ASCII
)
VMX_UNEXPECTED = re.compile(
    r"(?:Unexpected|Unhandled nested) vmexit: reason (\d{1,10})\b", re.IGNORECASE | re.ASCII
)
ENTRY_FAILURE = re.compile(
    r"vmentry failure \(reason (?:0x)?([0-9a-f]{1,8})\): *([A-Za-z][^\n(]{0,40})?(?:\((\d{1,20})\))?",
    re.IGNORECASE | re.ASCII,
)
VM_EXIT = re.compile(r"\breason=(?:0x)?([0-9a-f]{8}) qualification=", re.IGNORECASE | re.ASCII)
EXITCODE = re.compile(r"\bexitcode = (0x[0-9a-f]{1,16})\b", re.IGNORECASE | re.ASCII)
VINTR = re.compile(r"\bvintr = (0x[0-9a-f]{1,16}|0)\b", re.IGNORECASE | re.ASCII)
INSTRUCTION_ERROR = re.compile(
    r"\bVM(?P<what>LAUNCH|RESUME) error: (?:0x)?(?P<number>[0-9a-f]{1,3})\b", re.IGNORECASE | re.ASCII
)
ENTRY_ERRORS = {
    4: "VMLAUNCH with a VMCS that was already launched",
    5: "VMRESUME with a VMCS that was never launched",
    7: "VM entry with invalid control fields",
    8: "VM entry with invalid host-state fields",
    26: "VM entry while MOV SS blocks events",
}
THEN = "Xen has no handler for it: in user mode the guest gets #UD, otherwise Xen crashes the guest."


def exit_lines(line: str) -> Iterator[Meaning]:
    """Yield what a line about an exit or a failed entry says."""
    if match := SVM_UNEXPECTED.search(line):
        yield from _unexpected(
            match[0].removesuffix(", exitinfo1"),
            Technology.SVM,
            int(match[1], 16),
            "xen/arch/x86/hvm/svm/svm.c",
        )
    elif match := VMX_UNEXPECTED.search(line):
        yield from _unexpected(match[0], Technology.VMX, int(match[1]), "xen/arch/x86/hvm/vmx/vmx.c")
    if match := ENTRY_FAILURE.search(line):
        yield from _entry_failure(match)
    if match := VM_EXIT.search(line):
        meaning = exit_meaning(quoted(match[0]), Technology.VMX, int(match[1], 16))
        if meaning:
            yield meaning._replace(title=f"the vCPU's last exit: {meaning.title}")
    if match := EXITCODE.search(line):
        meaning = exit_meaning(quoted(match[0]), Technology.SVM, int(match[1], 16))
        if meaning:
            yield meaning._replace(title=f"the vCPU's last exit: {meaning.title}")
    if match := VINTR.search(line):
        yield _vintr(quoted(match[0]), int(match[1], 16))
    if match := INSTRUCTION_ERROR.search(line):
        number = int(match["number"], 16)
        says = ENTRY_ERRORS.get(number)
        if says:
            text = (
                "Xen crashes the guest. The control words of the dump after it show whether "
                "those of the APIC are the cause."
                if number == 7
                else "It is not about the APIC's controls."
            )
            yield Meaning(
                quoted(match[0]),
                f"VM-instruction error {number}: {says}",
                text,
                True,
                'SDM volume 3D, "VM-instruction error numbers"',
            )


def _unexpected(quote: str, technology: Technology, reason: int, place: str) -> Iterator[Meaning]:
    meaning = exit_meaning(quoted(quote), technology, reason)
    if meaning is None:
        yield Meaning(
            quoted(quote),
            f"an exit that Xen does not handle, with reason {reason:#x}, which the manual does not have",
            THEN,
            True,
            place,
        )
        return
    apic = meaning.text.split("\n", 1)[1]
    yield meaning._replace(
        title=f"an exit that Xen does not handle: {meaning.title}",
        text=f"{apic}\n{THEN}",
        source=f"{place}; {meaning.source}",
    )


def _entry_failure(match: re.Match[str]) -> Iterator[Meaning]:
    reason = int(match[1], 16)
    meaning = exit_meaning(quoted(match[0]), Technology.VMX, reason)
    if meaning is None:
        return
    text = "Xen crashes the guest."
    if reason & 0xFFFF == 33:
        text += (
            " The checks of the guest's state have no rule about the APIC's registers or controls: those are "
            "checked before, and give VM-instruction error 7."
        )
    yield meaning._replace(
        title=f"VM entry failed: {meaning.title}",
        text=text,
        source='SDM volume 3C, "Checking and loading guest state"; vmx.c, vmx_failed_vmentry',
    )


AVIC_ENABLE, X2AVIC_ENABLE = 1 << 31, 1 << 30


def _vintr(quote: str, value: int) -> Meaning:
    avic = value & AVIC_ENABLE
    mode = ("x2AVIC" if value & X2AVIC_ENABLE else "AVIC") + " is on" if avic else "AVIC is off"
    pending = (
        f"an interrupt (vector {value >> 32 & 0xFF:#04x}) is pending" if value >> 8 & 1 else "none is pending"
    )
    text = f"V_TPR {value & 0xFF:#04x}; of virtual interrupts {pending}."
    if not avic:
        text += "\nEvery access to the guest's APIC exits: no Xen uses AVIC."
    return Meaning(
        quote,
        f"a VMCB's virtual-interrupt word: {mode}",
        text,
        True,
        "APM volume 2, appendix B, VMCB offset 060h",
        ("avic",),
    )
