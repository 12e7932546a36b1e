"""Lines that name an MSR or an exit: of Xen, of Linux and KVM, of their tracers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from xenapic.apic.features import Technology
from xenapic.apic.registers import MSR_X2APIC_FIRST, MSR_X2APIC_LAST, offset_of, register
from xenapic.glossary.pasted.meaning import Meaning, quoted
from xenapic.glossary.pasted.numbers import OTHER_MSRS, exit_meaning, register_meaning
from xenapic.glossary.pasted.tables import NAMED, plain_name

__all__ = ["apic_errors", "entry_hardware_error", "exit_names", "msr_lines"]

MSR = re.compile(
    r"\b(?P<what>RDMSR|WRMSR|msr_read|msr_write|MSR)\b[^\w]{0,4}(?:(?:from|to|index|0)\s+|val(?:ue)?\s+)?"
    r"(?:0x)?(?P<msr>[0-9a-f]{2,8})\b(?!\()",
    re.IGNORECASE | re.ASCII,
)
CONTEXT = re.compile(r"access|unimplement|unhandled|ignored|faking|attempted|tried to|kvm_msr|error", re.I)


def msr_lines(line: str) -> Iterator[Meaning]:
    """Yield which MSR a message about RDMSR or WRMSR names."""
    if not CONTEXT.search(line):
        return
    for match in MSR.finditer(line):
        number = int(match["msr"], 16)
        quote = quoted(match[0])
        if MSR_X2APIC_FIRST <= number <= MSR_X2APIC_LAST:
            row = register(offset_of(number))
            meaning = register_meaning(quote, row, f"x2APIC MSR {number:03X}")
            why = (
                "An access outside x2APIC mode, of a place without a register, against the rights, or with a "
                "reserved bit gets #GP."
            )
            yield meaning._replace(text=f"{meaning.text}\n{why}")
        elif number in OTHER_MSRS:
            name, text, see = OTHER_MSRS[number]
            yield Meaning(quote, f"MSR {number:X}: {name}", text, True, "", see)
        elif match["msr"].lower() != match["what"].lower():
            yield Meaning(
                quote,
                f"MSR {number:X}: not of the APIC",
                "The APIC's MSRs are 1B, 6E0 and 800 to 8FF; what the message says concerns another part.",
                True,
                'SDM volume 4, "Architectural MSRs"; SDM volume 3A, "x2APIC register address space"',
            )


APIC_ERROR = re.compile(
    r"APIC error on CPU\d+: (?P<before>[0-9a-f]{2})\((?P<after>[0-9a-f]{2})\)", re.IGNORECASE | re.ASCII
)
ERROR_BITS = (
    "send checksum error",
    "receive checksum error",
    "send accept error",
    "receive accept error",
    "redirectable IPI",
    "send illegal vector",
    "received illegal vector",
    "illegal register address",
)


def apic_errors(line: str) -> Iterator[Meaning]:
    """Yield the errors that an APIC reported, by Xen's and Linux' message about it."""
    match = APIC_ERROR.search(line)
    if match is None:
        return
    value = int(match["after"], 16)
    names = [name for bit, name in enumerate(ERROR_BITS) if value >> bit & 1]
    yield Meaning(
        quoted(match[0]),
        f"an APIC reports: {', '.join(names) or 'no error'}",
        "The second number is the error status register after it was written. In Xen's log the APIC is a "
        "physical one of the host, and its hardware or firmware is the cause; in a guest's log it is the "
        "guest's virtual APIC, and the guest did it.",
        True,
        'SDM volume 3A, "Error handling"; xen/arch/x86/apic.c, error_interrupt',
        ("ESR",),
    )


PREFIXED = re.compile(
    r"\b(?:EXIT_REASON_|VMX_EXIT_|VMX_REASON_|VMEXIT_|SVM_EXIT_)(?P<name>[A-Za-z][A-Za-z0-9_]{1,40})\b",
    re.IGNORECASE | re.ASCII,
)
TRACED = re.compile(
    r"\bkvm_exit:?.{0,40}?\breason (?P<name>[A-Za-z][A-Za-z0-9_]{1,40})\b", re.IGNORECASE | re.ASCII
)


def exit_names(line: str) -> Iterator[Meaning]:
    """Yield the exits that a line names as Xen's, Linux' or other sources do."""
    names = [(match[0], match["name"]) for pattern in (PREFIXED, TRACED) for match in pattern.finditer(line)]
    for quote, name in names:
        svm_only = quote.upper().startswith(("SVM_", "VMEXIT_"))
        for technology, reason in NAMED.get(plain_name(name), ()):
            if svm_only and technology is not Technology.SVM and _has(name, Technology.SVM):
                continue
            meaning = exit_meaning(quoted(quote), technology, reason)
            if meaning is not None:
                yield meaning


def _has(name: str, technology: Technology) -> bool:
    return any(each is technology for each, _ in NAMED.get(plain_name(name), ()))


ENTRY = re.compile(
    r"\b(?:entry failed, hardware (?:error|reason)|"
    r"VM-?entry fail(?:ed|ure)(?:,? (?:hardware|exit) (?:error|reason))?)"
    r"[:=]?\s+(?P<mark>0x)?(?P<number>[0-9a-f]{1,16})\b",
    re.IGNORECASE | re.ASCII,
)
INSTRUCTION_ERRORS = range(1, 29)


def entry_hardware_error(line: str) -> Iterator[Meaning]:
    """Yield what the number of a failed VM entry is: a reason with bit 31, or a VM-instruction error."""
    from xenapic.glossary.pasted.dumps import ENTRY_ERRORS

    match = ENTRY.search(line)
    if match is None:
        return
    number = int(match["number"], 16 if match["mark"] or not match["number"].isdecimal() else 10)
    reason = number & 0xFFFFFFFF
    if reason >> 31:
        meaning = exit_meaning(quoted(match[0]), Technology.VMX, reason)
        if meaning is not None:
            yield meaning._replace(title=f"VM entry failed: {meaning.title}")
        return
    if number in INSTRUCTION_ERRORS:
        says = ENTRY_ERRORS.get(number, "see the manual")
        yield Meaning(
            quoted(match[0]),
            f"VM entry failed with VM-instruction error {number}: {says}",
            "The control words of a dump of the VMCS show whether those of the APIC are the cause."
            if number == 7
            else "It is not about the APIC's controls.",
            True,
            'SDM volume 3D, "VM-instruction error numbers"',
        )
