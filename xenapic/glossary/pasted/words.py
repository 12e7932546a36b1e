"""Words of VMX controls: decoded bit by bit, with VM entry's rules, and what a processor lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from xenapic.apic.control_bits import WORDS, Word, bit_names, names_of
from xenapic.apic.controls import CONTROLS, ENTRY_RULES, Controls, effective, violations
from xenapic.apic.features import FEATURES
from xenapic.glossary.pasted.meaning import Meaning, quoted

__all__ = ["capability_value", "insufficient", "judged", "word_meaning", "words_in"]

PRINTED = "|".join(re.escape(name) for word in WORDS for name in word.printed if " " not in name)
WORD = re.compile(
    rf"\b(?P<name>{PRINTED})\s*[=:]\s*(?:0x)?(?P<value>[0-9a-f]{{1,16}})\b", re.IGNORECASE | re.ASCII
)
INSUFFICIENT = re.compile(
    r"insufficient (?P<name>[A-Za-z -]{4,30}?) "
    r"\((?:0x)?(?P<have>[0-9a-f]{1,16}); requires (?:0x)?(?P<need>[0-9a-f]{1,16})\)",
    re.IGNORECASE | re.ASCII,
)
MANUAL = 'SDM volume 3C, "VM-execution control fields"'
BY_NAME = {row.name: row.key for row in FEATURES}


def words_in(text: str) -> Iterator[tuple[str, Word, int]]:
    """Yield each word of controls in a text: the piece, which word, its value."""
    for match in WORD.finditer(text):
        word = names_of(match["name"])
        if word is not None:
            yield quoted(match[0]), word, int(match["value"], 16)


def word_meaning(quote: str, word: Word, value: int) -> Meaning:
    """Return what a word of controls says."""
    names = bit_names(word, value)
    apic = [name for name in names if name in BY_NAME]
    others = [name for name in names if name not in BY_NAME and not name.startswith("bit ")]
    missing = [
        name
        for name in word.bits.values()
        if name in BY_NAME and name not in names and name != "external-interrupt exiting"
    ]
    lines = (
        [f"Of the APIC, 1: {', '.join(apic) or 'none'}."]
        if any(name in BY_NAME for name in word.bits.values())
        else []
    )
    if missing:
        lines.append(f"Of the APIC, 0: {', '.join(missing)}.")
    if others:
        lines.append(f"Others that are 1: {', '.join(others)}.")
    return Meaning(
        quote,
        f"{word.name}, {value:08x}",
        "\n".join(lines) or "No bit is 1.",
        True,
        MANUAL,
        tuple(BY_NAME[name] for name in apic),
    )


def judged(values: Mapping[str, int]) -> str:
    """Return the judgement of VM entry's rules about the words of one vCPU, by `Word.key`."""
    missing = [word.printed[0] for word in WORDS[:3] if word.key not in values]
    if missing:
        secondary = Controls.from_words(0, 0, values.get("secondary", 0))
        inside = [rule for rule in ENTRY_RULES if not rule.value and rule.broken(secondary)]
        if inside:
            return f"VM entry fails with this word, if it is activated: {inside[0].text} [{inside[0].code}]."
        return f"VM entry's rules about the APIC were not judged: {', '.join(missing)} is not in the text."
    controls = Controls.from_words(
        values["pin_based"], values["primary"], values["secondary"], values.get("tertiary", 0)
    )
    broken = violations(controls)
    if broken:
        rules = "; ".join(f"{rule.text} [{rule.code}]" for rule in broken)
        return f"VM entry fails with these controls: {rules}."
    posted = ""
    if effective(controls).has("posted_interrupts"):
        acknowledge = values.get("vm_exit")
        if acknowledge is None:
            posted = (
                " Not looked at: posted interrupts also need 'acknowledge interrupt on exit' (ExitControls)."
            )
        elif not acknowledge >> 15 & 1:
            return (
                "VM entry fails with these controls: posted interrupts need 'acknowledge interrupt on exit'."
            )
    return (
        "The APIC controls are consistent: VM entry accepts them. If VM entry failed, the cause is elsewhere."
        f"{posted}"
    )


def insufficient(line: str) -> Iterator[Meaning]:
    """Yield what a processor lacks by Xen's message about it."""
    for match in INSUFFICIENT.finditer(line):
        word = names_of(match["name"].strip())
        if word is None:
            continue
        have, need = int(match["have"], 16), int(match["need"], 16)
        lacking = bit_names(word, need & ~have)
        if not lacking:
            text = "By these two numbers nothing is missing: the line is damaged."
        else:
            text = (
                f"Missing: {', '.join(lacking)}.\n"
                "The processor reports that the bit cannot be 1 (in a virtual machine: the outer hypervisor "
                "does). Xen requires it, so it runs no HVM or PVH guest on this processor. VMX itself is on: "
                "no setting of the firmware adds the bit."
            )
        yield Meaning(
            quoted(match[0]),
            f"Xen does without VMX: the {word.name} lack what Xen requires",
            text,
            True,
            "xen/arch/x86/hvm/vmx/vmcs.c, adjust_vmx_controls; SDM volume 3D, appendix A",
            ("hvm-missing", *(BY_NAME[name] for name in lacking if name in BY_NAME)),
        )


CAPABILITY = re.compile(
    r"\bMSR\s*(?:0x)?0{0,8}(?P<msr>48[1-4b-f]|490|492)\b\s*[:=]?\s*(?:0x)?"
    r"(?P<high>[0-9a-f]{8})[-_: ]?(?P<low>[0-9a-f]{8})\b",
    re.IGNORECASE | re.ASCII,
)
FEATURE = re.compile(
    r"\bMSR\((?P<msr>[0-9A-F]{3})H\)\.(?P<name>[\w-]{2,60})(?:\s*\[bit (?P<bit>\d{1,2})\])?",
    re.IGNORECASE | re.ASCII,
)


def _of_msr(number: int) -> Word | None:
    return next((word for word in WORDS if number in word.capabilities), None)


def capability_value(line: str) -> Iterator[Meaning]:
    """Yield what a capability MSR's value, or QEMU's name of one of its bits, says."""
    for match in CAPABILITY.finditer(line):
        word = _of_msr(int(match["msr"], 16))
        if word is None:
            continue
        high, low = int(match["high"], 16), int(match["low"], 16)
        names = bit_names(word, high)
        must = bit_names(word, low)
        if word.key == "tertiary":
            names, must = bit_names(word, high << 32 | low), ()
        apic = [name for name in names if name in BY_NAME]
        lines = [f"May be 1, of the APIC: {', '.join(apic) or 'none'}."]
        forced = [name for name in must if name in BY_NAME]
        if forced:
            lines.append(f"Must be 1: {', '.join(forced)}.")
        yield Meaning(
            quoted(match[0]),
            f"MSR {int(match['msr'], 16):X}: what the processor allows in the {word.name}",
            "\n".join(lines),
            True,
            "SDM volume 3D, appendix A.3",
            tuple(BY_NAME[name] for name in apic),
        )
    for match in FEATURE.finditer(line):
        word = _of_msr(int(match["msr"], 16))
        if word is None:
            continue
        bit = int(match["bit"]) if match["bit"] else None
        name = word.bits.get(bit) if bit is not None else None
        key = BY_NAME.get(name or "")
        lack = "doesn't support" in line or "does not support" in line
        text = "In QEMU's notation: the MSR that reports the control, QEMU's name for it, and the bit."
        if lack:
            text += " The host that QEMU runs on does not offer it, so a guest hypervisor cannot use it."
        yield Meaning(
            quoted(match[0]),
            f"{word.name}, {name or (f'bit {bit}' if bit is not None else match['name'])}",
            text,
            True,
            "QEMU, target/i386/cpu.c; SDM volume 3D, appendix A.3",
            (key,) if key else (),
        )


assert set(CONTROLS) <= set(BY_NAME.values())
