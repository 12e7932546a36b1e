"""What is said about a pasted text follows from it: each statement is checked against the tables it rests on."""

from __future__ import annotations

import errno
import os
import random
import re
from collections.abc import Callable, Iterator

import pytest

from tests import dumps, fuzz
from xenapic.apic.control_bits import WORDS, bit_names, names_of
from xenapic.apic.controls import Controls, violations
from xenapic.apic.features import CONTROL_FIELDS, FEATURES, Technology
from xenapic.apic.lookup import look_up
from xenapic.apic.processors import PROCESSORS
from xenapic.exits.reasons import SVM_NAMES, VMX_NAMES
from xenapic.glossary import topics
from xenapic.glossary.elsewhere import ROWS
from xenapic.glossary.hostoptions import OPTIONS
from xenapic.glossary.pasted import fields
from xenapic.glossary.pasted.errnos import NUMBERS
from xenapic.glossary.pasted.files import FILES
from xenapic.glossary.pasted.meaning import LONGEST_QUOTE, Meaning
from xenapic.glossary.pasted.messages import MESSAGES
from xenapic.glossary.pasted.needles import needles
from xenapic.glossary.pasted.numbers import OTHER_MSRS, exit_meaning, readings
from xenapic.glossary.pasted.othermessages import OTHER_MESSAGES
from xenapic.glossary.pasted.read import MOST_CHARACTERS, MOST_LINES, read_text
from xenapic.glossary.pasted.symptoms import NEEDS, SYMPTOMS
from xenapic.glossary.pasted.tables import NAMED, plain_name
from xenapic.glossary.pasted.traces import ERROR_BITS
from xenapic.model.defects import DEFECTS
from xenapic.model.named import named_host
from xenapic.model.releases import XEN_RELEASES
from xenapic.parse.xenversion import parse_version
from xenapic.toolstack.refusals import REFUSALS

# -- an oracle for each kind of statement -------------------------------------------------------------


def _numbers(text: str) -> list[int]:
    found = re.findall(r"-?(?:0x[0-9a-fA-F]+|\d+)", text)
    return [int(each, 16) if "x" in each.lower() else int(each) for each in found]


def _exit_holds(meaning: Meaning) -> bool:
    """The number in the title has this name in its manual, and the quote has the number."""
    match = re.search(r"(VMX exit reason|AMD's #VMEXIT code) (0x[0-9a-f]+|\d+): (.+)$", meaning.title)
    if match is None:
        return False
    number = int(match[2], 0)
    names = VMX_NAMES if match[1].startswith("VMX") else SVM_NAMES
    quoted = [int(each, 16) for each in re.findall(r"[0-9a-fA-F]+", meaning.quote.replace("0x", ""))]
    quoted += _numbers(meaning.quote)
    return names.get(number) == match[3] and any(number in (each, each & 0xFFFF) for each in quoted)


def _unknown_exit_holds(meaning: Meaning) -> bool:
    match = re.search(r"with reason (0x[0-9a-f]+), which the manual does not have", meaning.title)
    return match is not None and (int(match[1], 16) not in VMX_NAMES or int(match[1], 16) not in SVM_NAMES)


def _values(quote: str) -> dict[str, int]:
    pairs = re.findall(r"([\w-]+)\s*[=:]\s*(?:0x)?([0-9a-fA-F]+)", quote)
    return {word.key: int(value, 16) for name, value in pairs if (word := names_of(name))}


def _words_hold(meaning: Meaning) -> bool:
    """The controls named are those of the bits; the judgement is that of the table of VM entry's rules."""
    values = _values(meaning.quote)
    apic = {row.name for row in FEATURES if row.technology is Technology.VMX}
    said = set()
    for line in meaning.text.splitlines():
        match = re.match(r"(?:Of the APIC, 1|.*, of the APIC): (.+?)\.?$", line)
        if match and match[1] != "none":
            said |= set(match[1].split(", "))
    real = {
        name
        for word in WORDS
        if word.key in values
        for name in bit_names(word, values[word.key])
        if name in apic
    }
    if said != real:
        return False
    if {"pin_based", "primary", "secondary"} <= set(values):
        controls = Controls.from_words(*(values.get(key, 0) for key in CONTROL_FIELDS))
        broken = violations(controls)
        if broken:
            return all(rule.code in meaning.text for rule in broken)
        posted = "posted interrupts need" in meaning.text
        return ("are consistent" in meaning.text) is not posted
    return "consistent" not in meaning.text


def _insufficient_holds(meaning: Meaning) -> bool:
    match = re.search(r"insufficient (.+?) \((?:0x)?(\w+); requires (?:0x)?(\w+)\)", meaning.quote)
    assert match
    word = names_of(match[1].strip())
    assert word
    lacking = bit_names(word, int(match[3], 16) & ~int(match[2], 16))
    return (
        f"Missing: {', '.join(lacking)}." in meaning.text if lacking else "nothing is missing" in meaning.text
    )


def _errno_holds(meaning: Meaning) -> bool:
    match = re.fullmatch(r"errno (\d+), (\w+)", meaning.title)
    assert match
    number = int(match[1])
    named = getattr(errno, match[2]) == number and os.strerror(number) in meaning.text
    quote = meaning.quote.casefold()
    shown = match[2] in meaning.quote or os.strerror(number).casefold() in quote
    return named and (shown or number in map(abs, _numbers(quote)) or bool(meaning.quote))


def _field_holds(meaning: Meaning) -> bool:
    match = re.fullmatch(r"(?:.*\.)?(\w+)\s*[=:]\s*(-?\w+)", meaning.quote)
    if match is None:
        return False
    name, value = match[1].lower(), match[2]
    number = int(value, 16) if "x" in value.lower() else int(value)
    if name not in fields.FLAG_WORDS:
        return meaning.title.split(": ", 1)[1] == fields.NUMBERS[name](number)
    says = meaning.title.split(": ", 1)[1]
    bits = 0
    for part in says.split(", "):
        if part.startswith("0x"):
            bits |= int(part, 16)
        elif part in fields.FLAG_WORDS[name].__members__:
            bits |= fields.FLAG_WORDS[name][part]
    return number < 0 or bits == number


def _leaf_holds(meaning: Meaning) -> bool:
    """Each bit said to be 1 is 1, by the value at the end of the quote."""
    match = re.match(r"CPUID (\w+) (\w+), ", meaning.title)
    assert match
    _who, bits, _source, _see = fields.LEAVES[int(match[1], 16), match[2].lower()]
    value = int(re.findall(r"[0-9a-fA-F]+", meaning.quote)[-1], 16)
    said = meaning.text.split("; 0: ")[0].removeprefix("Of the APIC, 1: ").split(", ")
    return all((text in said) is bool(value >> bit & 1) for bit, text in bits.items())


def _table_holds(meaning: Meaning) -> bool:
    match = re.match(r"Of (\d+) exits: ", meaning.text)
    shares = [int(each) for each in re.findall(r"(\d+) %", meaning.text.splitlines()[0])]
    return match is not None and sum(shares) <= 100


EVERY_MESSAGE = (*MESSAGES, *OTHER_MESSAGES)
MESSAGE_TEXTS = {(row.title, row.text) for row in EVERY_MESSAGE}
ROW_TEXTS = {f"{row.text}\nUnder Xen: {row.xen}" for row in ROWS.values()}
OPTION_TEXTS = {f"{row.text}\n{row.effect}" for row in OPTIONS.values()}
BECAUSE = {f"libxl refuses the configuration before it asks Xen: {row.because}" for row in REFUSALS}
DEFECT_TITLES = {row.title for row in DEFECTS}


def _message_holds(meaning: Meaning) -> bool:
    rows = [row for row in EVERY_MESSAGE if (row.title, row.text) == (meaning.title, meaning.text)]
    quote = meaning.quote.removesuffix("…") + " "  # a pattern may end with a blank
    return any(row.pattern.search(quote) for row in rows) or meaning.quote.endswith("…")


def _msr_holds(meaning: Meaning) -> bool:
    """The number is in the quote; it is of the APIC exactly if the tables say so."""
    match = re.match(r"(?:x2APIC )?MSR (\w+): ", meaning.title)
    assert match
    number = int(match[1], 16)
    shown = number in {int(word, 16) for word in re.findall(r"[0-9a-fA-F]{2,8}\b", meaning.quote)}
    of_apic = 0x800 <= number <= 0x8FF or number in OTHER_MSRS
    return shown and of_apic is ("not of the APIC" not in meaning.title)


def _named_exit_holds(meaning: Meaning) -> bool:
    name = re.split(r"[ _](?=reason |REASON_|EXIT_)", meaning.quote)[-1].split()[-1]
    plain = plain_name(
        re.sub(r"(?i)^(?:EXIT_)?REASON_|^EXIT_|^VMX_REASON_|^VMEXIT_|^SVM_EXIT_|^VMX_EXIT_", "", name)
    )
    titles = [exit_meaning("", *pair) for pair in NAMED[plain]]
    return meaning.title in {each.title for each in titles if each}


def _apic_error_holds(meaning: Meaning) -> bool:
    value = int(re.findall(r"\(([0-9a-fA-F]+)\)", meaning.quote)[0], 16)
    said = meaning.title.removeprefix("an APIC reports: ").split(", ")
    return said == ([name for bit, name in enumerate(ERROR_BITS) if value >> bit & 1] or ["no error"])


def _instruction_error_holds(meaning: Meaning) -> bool:
    match = re.search(r"VM-instruction error (\d+)", meaning.title)
    assert match
    return int(match[1]) in [
        int(each, 16) for each in re.findall(r"\b(?:0x)?([0-9a-fA-F]+)\b", meaning.quote)
    ]


ORACLES: tuple[tuple[Callable[[Meaning], bool], Callable[[Meaning], bool]], ...] = (
    (lambda m: (m.title, m.text) in MESSAGE_TEXTS, _message_holds),
    (lambda m: m.text in ROW_TEXTS or m.text in OPTION_TEXTS, lambda m: bool(m.see and m.see[0] in topics())),
    (lambda m: m.title in BECAUSE, lambda m: True),
    (lambda m: "lack what Xen requires" in m.title, _insufficient_holds),
    (lambda m: "which the manual does not have" in m.title, _unknown_exit_holds),
    (lambda m: m.title.startswith("a table of VM exits"), _table_holds),
    (lambda m: bool(re.match(r"(?:x2APIC )?MSR \w+: (?!what the processor allows)", m.title)), _msr_holds),
    (lambda m: bool(re.search(r"(?i)(?:EXIT|REASON)_|kvm_exit", m.quote)), _named_exit_holds),
    (lambda m: "exit reason " in m.title or "#VMEXIT code " in m.title, _exit_holds),
    (lambda m: m.title.startswith("errno "), _errno_holds),
    (lambda m: m.title.startswith(("createdomain.", "physinfo.")), _field_holds),
    (lambda m: m.title == "a raw request of a create", lambda m: "--set" in m.text),
    (
        lambda m: (
            "VM-execution controls, " in m.title
            or "VM-exit controls, " in m.title
            or "VM-entry controls, " in m.title
            or m.title.startswith("VMX controls")
        ),
        lambda m: m.quote.endswith("…") or "QEMU" in m.text or _words_hold(m),
    ),
    (lambda m: m.title.startswith("the boot log of a host"), lambda m: "Xen" in m.text),
    (lambda m: ", as told by " in m.title, _leaf_holds),
    (
        lambda m: (m.title, m.text) in {(kind.title, kind.text) for kind in FILES},
        lambda m: any(kind.line.match(m.quote) for kind in FILES if kind.title == m.title),
    ),
    (lambda m: m.title.startswith("an APIC reports: "), _apic_error_holds),
    (lambda m: "VM-instruction error " in m.title, _instruction_error_holds),
    (lambda m: m.title.startswith("a VMCB's virtual-interrupt word"), lambda m: "vintr" in m.quote.lower()),
    (lambda m: "(xl info)" in m.title, lambda m: "caps" in m.quote),
    (lambda m: m.title.startswith("MSR ") and "allows" in m.title, lambda m: True),
    (
        lambda m: m.title.startswith("known defect, fits"),
        lambda m: m.title.split(": ", 1)[1] in DEFECT_TITLES,
    ),
)
"""Which statements an oracle is for, and whether one holds; the first that is for it counts."""


def check(text: str) -> int:
    """Check every statement about a text; return how many are certain."""
    pasted = read_text(text)
    plain = " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.replace("\0", "")).split()).casefold()
    for meaning in pasted.meanings:
        assert meaning.title and len(meaning.quote) <= LONGEST_QUOTE
        if not meaning.sure:
            continue
        for piece in meaning.quote.removesuffix("…").split():
            assert piece.casefold() in plain, f"{piece!r} is not in the text"
        holds = next((holds for is_for, holds in ORACLES if is_for(meaning)), None)
        assert holds is not None, f"no oracle for {meaning.title!r}"
        assert holds(meaning), f"{meaning} does not follow from its quote"
    assert 0 <= pasted.unread <= pasted.lines
    return sum(meaning.sure for meaning in pasted.meanings)


# -- tests ---------------------------------------------------------------------------------------------


def _pieces(chance: random.Random) -> str:
    word = chance.choice(WORDS)
    value = chance.getrandbits(64 if word.key == "tertiary" else 32)
    return chance.choice(
        [
            f"{chance.choice([name for name in word.printed if ' ' not in name])}={value:08x}",
            f"d{chance.randrange(9)}v0 Unexpected vmexit: reason {chance.randrange(90)}",
            f"d1v1 Unexpected vmexit: reason {chance.randrange(0x410):#x}, exitinfo1 0, exitinfo2 0",
            f"VMX: CPU0 has insufficient {word.printed[1]} ({value:08x}; requires {chance.getrandbits(32):08x})",
            f"CPUID 0x40000104: eax=0x{chance.getrandbits(3):x}",
            f"0x8000000a 0x00: edx=0x{chance.getrandbits(32):08x}",
            f"flags={chance.getrandbits(chance.randrange(1, 12))} max_vcpus={chance.randrange(9)}",
            f"misc_flags: {chance.getrandbits(4):#x}",
            f"d0v0 vmentry failure (reason {0x80000000 | chance.randrange(64):#x}): x",
            f"unchecked MSR access error: WRMSR to {chance.choice((0x1B, 0x10, 0x6E0, 0x800 + chance.randrange(256))):#x}",
            f"APIC error on CPU{chance.randrange(9)}: 00({chance.randrange(256):02x})",
            f"EXIT_REASON_{chance.choice(sorted(NAMED))} {chance.choice(sorted(NAMED))}",
            f"kvm_exit: vcpu 1 reason {chance.choice(sorted(NAMED))} rip 0x1",
            f"KVM: entry failed, hardware error {chance.choice((7, 8, 0x80000021, 0x80000022, 99)):#x}",
            f"failed: errno = {chance.choice(sorted(NUMBERS))}",
            f"exitcode = {chance.choice(list(SVM_NAMES)):#x} exit_int_info = 0",
            f"APIC_ACCESS {chance.randrange(999)}\nEXTERNAL_INTERRUPT {chance.randrange(999)}",
            f"MSR 0000048B: {value:08X}-{chance.getrandbits(32):08X}",
            f"PinBased={value & 0xFFFFFFFF:08x} CPUBased={chance.getrandbits(32):08x}\n"
            f"SecondaryExec={chance.getrandbits(32):08x} TertiaryExec=0000000000000000",
        ]
    )


@pytest.mark.parametrize("seed", range(8))
def test_what_is_certain_follows_from_the_text(seed: int) -> None:
    chance, certain = random.Random(seed), 0
    for _ in range(60):
        certain += check("\n".join(_pieces(chance) for _ in range(chance.randrange(1, 5))))
    assert certain > 60


def test_mutated_pastes_say_nothing_that_does_not_follow() -> None:
    chance = random.Random(1)
    seeds = list(fuzz.pasted_seeds())
    for _ in range(400):
        lines = [line for seed in chance.sample(seeds, 2) for line in seed.decode("latin-1").splitlines()]
        text = "\n".join(chance.sample(lines, min(len(lines), 12)))
        at = chance.randrange(len(text) + 1)
        check(
            text[:at] + chance.choice(["", " ", "0", "f", "\n", "=", "(XEN) ", "\x1b[31m"]) + text[at + 1 :]
        )


def test_a_message_is_found_by_its_needles() -> None:
    """A row's needles are in every line that its pattern matches; most rows have some."""
    lines = [line for seed in fuzz.pasted_seeds() for line in seed.decode("latin-1").splitlines()]
    for row in EVERY_MESSAGE:
        for line in lines:
            if row.needles and row.pattern.search(line[:2000]):
                assert any(needle in line.lower() for needle in row.needles), (
                    row.pattern.pattern,
                    row.needles,
                )
    assert sum(bool(row.needles) for row in EVERY_MESSAGE) > 0.9 * len(EVERY_MESSAGE)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("abc def", ("abc def",)),
        (r"abc|\bx2apic\.so\b", ("abc", "x2apic.so")),
        (r"abc(?:long|longer)?de", ("abc",)),
        (r"colou?rs [a|b]xyz\d+ no", ("colo",)),
        (r"a[]|]bcd|\(xyz", ("bcd", "(xyz")),
        (r"a.{0,60}b|x{100,200}", ()),
        (r"ab|xyz", ()),
        (r"(?:abc|def)", ()),
        (r"Stubdom \d+ for", ("stubdom ",)),
        (r"abcd{2}x", ("abc",)),
        (r"abcd*xyzz+", ("xyzz",)),
    ],
)
def test_needles(pattern: str, words: tuple[str, ...]) -> None:
    assert needles(pattern) == words


HOSTILE = {
    "a setting": "cpuid=" + "x" * 1900,
    "a list": "host," + "a=b," * 400,
    "a name": "EXIT_REASON_" + "A" * 1800,
    "a message": "error WRMSR " * 150,
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_what_is_looked_at_is_bounded(line: str) -> None:
    """What is beyond the bounds is counted as not looked at, even if it would mean something."""
    known = "SecondaryExec=000014fb"
    assert read_text(f"{line}\n{known}").meanings
    pasted = read_text(f"{line}\n" * (MOST_CHARACTERS // len(line) + 1) + known)
    assert not any(known in meaning.quote for meaning in pasted.meanings)
    assert pasted.unread
    assert not read_text("x\n" * MOST_LINES + known).meanings


def test_the_oracles_notice_a_wrong_statement() -> None:
    wrong = (
        read_text("d3v0 Unexpected vmexit: reason 3")
        .meanings[0]
        ._replace(title="an exit that Xen does not handle: VMX exit reason 3: HLT")
    )
    assert not _exit_holds(wrong)
    word = read_text("SecondaryExec=00000001").meanings[0]
    assert _words_hold(word) and not _words_hold(word._replace(quote="SecondaryExec=00000011"))


def _sees() -> Iterator[str]:
    for row in MESSAGES:
        yield from row.see
    for _name, _text, see in OTHER_MSRS.values():
        yield from see
    yield from (row.code for row in SYMPTOMS)
    yield from NEEDS
    for number in range(0x1000):
        for meaning in readings(hex(number)):
            yield from meaning.see


def test_nothing_dangles() -> None:
    assert {name for name in _sees() if name not in topics()} == set()


def test_the_bits_have_the_names_of_the_features() -> None:
    by_word = {word.key: word for word in WORDS}
    keys = {field.name: field.key for field in CONTROL_FIELDS.values()}
    for row in FEATURES:
        if row.technology is Technology.VMX:
            assert by_word[keys[row.field]].bits[row.bit] == row.name


@pytest.mark.parametrize(
    "word", [word for word in WORDS if word.key in CONTROL_FIELDS], ids=lambda word: word.key
)
def test_the_words_are_those_of_the_table(word: object) -> None:
    assert word.printed[0] == CONTROL_FIELDS[word.key].printed  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["broadwell_ult", "corei5_lynnfield_750"])
def test_a_whole_dump_is_consistent(name: str) -> None:
    text = dumps.ring(dumps.dump_lines({1: [dumps.Vcpu(), dumps.Vcpu(dumps.X2APIC, 1, 2)]})).decode()
    meanings = read_text(text).meanings
    assert meanings and all("fails" not in meaning.text for meaning in meanings)


def test_a_version_in_the_text_counts_and_a_given_one_wins() -> None:
    text = "(XEN) Xen version 4.16.1 (x@y)\n(XEN) Xen BUG at common/domain.c:466\n"
    assert "does not fit" in read_text(text).meanings[0].title
    newer = read_text(text, parse_version("4.17.7")).meanings[0]
    assert "may be it" in newer.title and "4.17.7" in newer.text


def test_a_host_excludes_a_defect() -> None:
    match = look_up("zen3-epyc")
    assert match
    host = named_host(match.processor, XEN_RELEASES[-1])
    assert "does not fit" in read_text("Xen BUG at common/domain.c:466", None, host).meanings[0].title
    intel = named_host(PROCESSORS["broadwell_ult"], XEN_RELEASES[-1])
    assert "may be it" in read_text("Xen BUG at common/domain.c:466", None, intel).meanings[0].title


def test_a_boot_log_describes_its_host() -> None:
    text = (fuzz.DATA / "logs" / "6242.log").read_text("latin-1")
    meaning = read_text(text).meanings[0]
    assert "boot log of a host with VMX" in meaning.title
    assert "Xen uses: " in meaning.text and "virtual-interrupt delivery" in meaning.text
    amd = read_text((fuzz.DATA / "logs" / "5950X.log").read_text("latin-1")).meanings[0]
    assert "boot log of a host with SVM" in amd.title and "Xen does not use: AVIC" in amd.text


def test_a_guest_in_the_log_adds_nothing_to_the_host() -> None:
    text = (
        "(XEN) SVM: Supported advanced features:\n(XEN)  - Nested Page Tables (NPT)\n(XEN) HVM: SVM enabled\n"
    )
    assert (
        "SVM"
        in read_text(text + "(d1) VMX: Supported advanced features:\n(d1)  - Virtual Interrupt Delivery\n")
        .meanings[0]
        .title
    )


def test_long_and_hostile_texts() -> None:
    assert read_text("x" * 100_000).meanings == ()
    assert read_text("(" * 50_000 + "\n" * 50_000).meanings == ()
    assert read_text("\x1b[31mAPIC TPR shadow\0").lines == 1
