"""Everything that a single number can be: an exit reason, a register, an MSR, an address, an errno."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from xenapic.apic.features import Technology
from xenapic.apic.outcome import SvmExit, VmxExit
from xenapic.apic.registers import (
    FIRST_RESERVED,
    MSR_X2APIC_FIRST,
    MSR_X2APIC_LAST,
    PAGE_SIZE,
    SLOT_SIZE,
    Register,
    offset_of,
    register,
)
from xenapic.apic.state import (
    APIC_BASE_BSP,
    APIC_BASE_ENABLE,
    APIC_BASE_EXTD,
    APIC_DEFAULT_PHYS_BASE,
    ApicState,
)
from xenapic.exits.reasons import NAMES, reason_name, reason_number
from xenapic.glossary.pasted.meaning import Meaning, quoted

__all__ = ["Number", "exit_meaning", "parse_number", "readings", "register_meaning"]


class Number(NamedTuple):
    """A number as somebody wrote it."""

    quote: str
    label: str
    """The word before it, in lower case: ``"msr"``, ``"exit reason"``; often empty."""
    decimal: int | None
    """What it is in decimal; None if it is marked as hexadecimal or has a letter."""
    hexadecimal: int | None
    """What it is in hexadecimal; None for a negative number in decimal."""
    marked: bool
    """Whether the text says that it is hexadecimal: ``0x``, ``h`` or a letter."""


LABELS = (
    "msr",
    "offset",
    "register",
    "reason",
    "exit",
    "exit reason",
    "exitcode",
    "exit code",
    "vmexit",
    "vm exit",
    "vm-exit",
    "errno",
    "error",
    "rc",
    "address",
    "gpa",
)
NUMBER = re.compile(
    rf"(?:(?P<label>{'|'.join(sorted(LABELS, key=len, reverse=True))})\s*[:=#]?\s*)?"
    r"(?P<sign>[-+]?)(?P<prefix>0x)?(?P<digits>[0-9a-f]{1,16})(?P<suffix>h)?",
    re.IGNORECASE | re.ASCII,
)


def parse_number(text: str) -> Number | None:
    """Return the number that a text is, with or without a word before it; None if it is none."""
    match = NUMBER.fullmatch(text.strip())
    if match is None:
        return None
    digits, marked = match["digits"], bool(match["prefix"] or match["suffix"])
    if not marked and not any(char.isdigit() for char in digits):  # a word: face, add
        return None
    sign = -1 if match["sign"] == "-" else 1
    lettered = not digits.isdecimal()
    return Number(
        quoted(text),
        (match["label"] or "").lower(),
        None if marked or lettered else sign * int(digits),
        sign * int(digits, 16) if marked or lettered or sign > 0 else None,
        marked or lettered,
    )


# -- exits -------------------------------------------------------------------------------------------

MET = {
    Technology.VMX: "Intel (VMX); Xen's console and Linux write it in decimal, Xen's trace in hexadecimal",
    Technology.SVM: "AMD (SVM); written in hexadecimal",
}
MANUAL = {
    Technology.VMX: 'SDM volume 3D, appendix "VMX basic exit reasons"',
    Technology.SVM: 'APM volume 2, appendix "SVM intercept exit codes"',
}
ENTRY_FAILED = 1 << 31
"""Bit 31 of the 32-bit exit reason: VM entry failed."""
APIC_EXITS = {
    **{(Technology.VMX, int(each)): each.name for each in VmxExit},
    **{(Technology.SVM, int(each)): each.name for each in SvmExit},
}
"""The exits that an APIC access can cause, which have topics."""


def exit_meaning(quote: str, technology: Technology, reason: int, sure: bool = True) -> Meaning | None:
    """Return what an exit reason is, None if the manual has no such reason."""
    failed = technology is Technology.VMX and bool(reason & ENTRY_FAILED)
    basic = reason & 0xFFFF if technology is Technology.VMX else reason
    if basic not in NAMES[technology] or (technology is Technology.VMX and reason & ~(ENTRY_FAILED | 0xFFFF)):
        return None
    kind = "VMX exit reason" if technology is Technology.VMX else "AMD's #VMEXIT code"
    topic = APIC_EXITS.get((technology, basic))
    apic = (
        "An access to the APIC can cause it."
        if topic
        else "No access to the APIC causes it; 'xenapic exits' counts it as not of the APIC."
    )
    if technology is Technology.SVM and basic in (0x401, 0x402):
        apic = "It only occurs with AVIC, which no Xen uses."
    if (technology, basic) in WITH_APIC:
        apic = WITH_APIC[technology, basic]
    text = f"Met on {MET[technology]}.\n{apic}"
    if failed:
        text = f"VM entry failed: the guest did not run at all.\n{text}"
    return Meaning(
        quote,
        f"{kind} {reason_number(technology, basic)}: {reason_name(technology, basic)}",
        text,
        sure,
        MANUAL[technology],
        (topic,) if topic else (),
    )


WITH_APIC = {
    (Technology.VMX, 0): "With shadow paging, an access to the APIC's page can end in it (a page fault).",
    (Technology.VMX, 1): "An interrupt of the host; it has nothing to do with an access to the guest's APIC.",
    (Technology.VMX, 3): "An INIT reached the physical processor while a guest ran. A guest's own INIT is "
    "emulated by Xen and causes no such exit, so it comes from the host: firmware, a debugger, a crash "
    "kernel.",
    (Technology.VMX, 7): "Xen asks for it while an interrupt waits until the guest can take it; "
    "virtual-interrupt delivery makes it needless for the APIC's interrupts.",
    (Technology.SVM, 0x4E): "With shadow paging, an access to the APIC's page can end in it (a page fault).",
    (
        Technology.SVM,
        0x60,
    ): "An interrupt of the host; it has nothing to do with an access to the guest's APIC.",
    (Technology.SVM, 0x64): "Xen asks for it while an interrupt waits until the guest can take it.",
}


# -- registers ---------------------------------------------------------------------------------------

RIGHTS = {"": "none", "r": "read only", "w": "write only", "rw": "read and write"}


def register_meaning(quote: str, row: Register, place: str, sure: bool = True) -> Meaning:
    """Return what a register of the APIC is; ``place`` says which of its numbers the text has."""
    rights = f"xAPIC {RIGHTS[row.xapic]}, x2APIC {RIGHTS[row.x2apic]}"
    where = f"Offset {row.offset:03X} in the page (xAPIC), MSR {row.msr:03X} (x2APIC)."
    name = f"{row.symbol}, {row.name}" if row.symbol else "reserved: there is no register"
    return Meaning(
        quote,
        f"{place}: {name}",
        f"{where} Software may use it: {rights}." if row.exists else where,
        sure,
        'SDM volume 3A, "Local APIC register address map"',
        (row.symbol,) if row.symbol else (),
    )


OTHER_MSRS = {
    0x1B: (
        "IA32_APIC_BASE",
        "Turns the APIC on, into x2APIC mode, and moves its page. Xen intercepts it.",
        (),
    ),
    0x6E0: ("IA32_TSC_DEADLINE", "The deadline of the APIC's timer. Xen intercepts it: a write exits.", ()),
    0x40000070: (
        "HV_X64_MSR_EOI (Viridian)",
        "Ends an interrupt of a Windows guest; it exits.",
        ("Viridian hints",),
    ),
    0x40000071: (
        "HV_X64_MSR_ICR (Viridian)",
        "Sends an interrupt of a Windows guest; it exits.",
        ("Viridian hints",),
    ),
    0x40000072: ("HV_X64_MSR_TPR (Viridian)", "The TPR of a Windows guest; it exits.", ("Viridian hints",)),
    0x40000073: (
        "HV_X64_MSR_VP_ASSIST_PAGE (Viridian)",
        "The page in which apic_assist saves EOIs.",
        ("apic_assist",),
    ),
    **{
        number: ("a capability MSR of VMX", "Reports which controls the processor offers.", (topic,))
        for numbers, topic in (
            ((0x481, 0x48D), "MSR 0x481/0x48D"),
            ((0x482, 0x48E), "MSR 0x482/0x48E"),
            ((0x48B,), "MSR 0x48B"),
            ((0x492,), "MSR 0x492"),
        )
        for number in numbers
    },
}
"""MSRs outside 800 to 8FF that concern the APIC: name, meaning, topics."""


# -- what a number can be ----------------------------------------------------------------------------

Reading = Callable[[Number], "tuple[int, Meaning] | None"]
"""Returns a meaning and its rank, the most likely first; None if the number cannot be that."""


def _x2apic(number: Number) -> tuple[int, Meaning] | None:
    value = number.hexadecimal
    if value is None or not MSR_X2APIC_FIRST <= value <= MSR_X2APIC_LAST:
        return None
    if number.label in EXIT_WORDS:
        return None
    row = register(offset_of(value))
    return 0 if row.exists else 4, register_meaning(number.quote, row, f"x2APIC MSR {value:03X}", sure=False)


def _offset(number: Number) -> tuple[int, Meaning] | None:
    value = number.hexadecimal
    if value is None or not 0 <= value < PAGE_SIZE or value % SLOT_SIZE or number.label == "msr":
        return None
    if number.label in EXIT_WORDS or (number.decimal is not None and value == 0):
        return None
    row = register(value)
    rank = 1 if row.exists else 5 if value < FIRST_RESERVED else 8
    return rank, register_meaning(number.quote, row, f"offset {value:03X} in the APIC page", sure=False)


def _address(number: Number) -> tuple[int, Meaning] | None:
    value = number.hexadecimal
    if value is None or value >> 12 != APIC_DEFAULT_PHYS_BASE >> 12 or number.label in EXIT_WORDS:
        return None
    offset = value % PAGE_SIZE
    row = register(offset - offset % SLOT_SIZE)
    inside = f" (byte {offset % SLOT_SIZE:X} of its slot)" if offset % SLOT_SIZE else ""
    return 2, register_meaning(number.quote, row, f"address in the APIC page{inside}", sure=False)


BASE_BITS = (
    (APIC_BASE_BSP, "boot processor"),
    (APIC_BASE_EXTD, "x2APIC mode"),
    (APIC_BASE_ENABLE, "enabled"),
)


def _apic_base(number: Number) -> tuple[int, Meaning] | None:
    value = number.hexadecimal
    known = APIC_BASE_BSP | APIC_BASE_EXTD | APIC_BASE_ENABLE
    if value is None or value & 0xFFF & ~known or value >> 12 != APIC_DEFAULT_PHYS_BASE >> 12:
        return None
    if number.label not in ("", "msr", "register"):
        return None
    if value & APIC_BASE_EXTD and not value & APIC_BASE_ENABLE:
        return None
    bits = [name for bit, name in BASE_BITS if value & bit] or ["no bit set"]
    state = ApicState.from_apic_base(value)
    rank = 1 if value & APIC_BASE_ENABLE else 3
    meaning = Meaning(
        number.quote,
        f"a value of IA32_APIC_BASE (MSR 1B): APIC state {state.value}",
        f"Bits: {', '.join(bits)}; base {value & ~0xFFF:X}.",
        False,
        'SDM volume 3A, "Local APIC status and location"',
        (state.value,),
    )
    return rank, meaning


def _msi(number: Number) -> tuple[int, Meaning] | None:
    value = number.hexadecimal
    if value is None or value >> 20 != 0xFEE or value >> 12 == 0xFEE00 or number.label in EXIT_WORDS:
        return None
    target = value >> 12 & 0xFF
    logical = "logical" if value & 4 else "physical"
    meaning = Meaning(
        number.quote,
        f"an address of an MSI: destination {target:#04x}, {logical}",
        "Where a device writes to interrupt a processor; it is not in the APIC's page.",
        False,
        'SDM volume 3A, "Message address register format"',
    )
    return 2, meaning


def _other_msr(number: Number) -> tuple[int, Meaning] | None:
    value = number.hexadecimal
    if value not in OTHER_MSRS or value is None or number.label not in ("", "msr", "register"):
        return None
    if not (number.marked or number.label == "msr" or value > 0xFFF):
        return None
    name, text, see = OTHER_MSRS[value]
    return 0, Meaning(number.quote, f"MSR {value:X}: {name}", text, False, "", see)


EXIT_WORDS = ("reason", "exit", "exit reason", "exitcode", "exit code", "vmexit", "vm exit", "vm-exit")
NOT_EXITS = ("msr", "offset", "register", "errno", "error", "rc", "address", "gpa")


def _vmx(number: Number) -> tuple[int, Meaning] | None:
    value = number.hexadecimal if number.decimal is None else number.decimal
    if value is None or value < 0 or number.label in NOT_EXITS:
        return None
    meaning = exit_meaning(number.quote, Technology.VMX, value, sure=False)
    return None if meaning is None else (0 if number.decimal is not None else 4, meaning)


def _svm(number: Number) -> tuple[int, Meaning] | None:
    value = number.hexadecimal
    if value is None or value < 0 or number.label in NOT_EXITS:
        return None
    if "reason" in number.label and not number.marked:  # the APM has codes, and writes them in hexadecimal
        return None
    meaning = exit_meaning(number.quote, Technology.SVM, value, sure=False)
    return None if meaning is None else (2 if number.marked else 6, meaning)


ERRNO_WORDS = ("errno", "error", "rc")


def _errno(number: Number) -> tuple[int, Meaning] | None:
    from xenapic.glossary.pasted.errnos import LARGEST, errno_meaning

    value = number.decimal
    if value is None and number.hexadecimal is not None:
        for width in (32, 64):  # -22 as an unsigned number
            if 0 < (1 << width) - number.hexadecimal <= LARGEST:
                value = number.hexadecimal - (1 << width)
                break
    if value is None and number.hexadecimal is not None and number.hexadecimal < 0:
        value = number.hexadecimal
    if value is None or number.label not in ("", *ERRNO_WORDS):
        return None
    meaning = errno_meaning(number.quote, abs(value), sure=number.label == "errno")
    return None if meaning is None else (0 if value < 0 or number.label else 3, meaning)


READINGS: tuple[Reading, ...] = (_x2apic, _other_msr, _vmx, _offset, _address, _apic_base, _msi, _svm, _errno)


def readings(text: str) -> tuple[Meaning, ...]:
    """Return everything that a number can be, the most likely first; nothing for another text."""
    number = parse_number(text)
    if number is None:
        return ()
    ranked = sorted(_ranked(number), key=lambda pair: pair[0])
    if len(ranked) == 1 and number.label:
        return (ranked[0][1]._replace(sure=True),)
    return tuple(meaning for _rank, meaning in ranked)


def _ranked(number: Number) -> Iterator[tuple[int, Meaning]]:
    for reading in READINGS:
        pair = reading(number)
        if pair is not None:
            yield pair
