"""Read a text that somebody pasted, and say what each piece of it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from xenapic.glossary.pasted.dumps import control_words, exit_lines
from xenapic.glossary.pasted.errnos import BY_MESSAGE, errno_meaning
from xenapic.glossary.pasted.fields import capabilities, fields, leaves
from xenapic.glossary.pasted.files import whole_files
from xenapic.glossary.pasted.logs import host_meaning, logged_host
from xenapic.glossary.pasted.meaning import Meaning, quoted
from xenapic.glossary.pasted.messages import MESSAGES
from xenapic.glossary.pasted.numbers import readings
from xenapic.glossary.pasted.othermessages import OTHER_MESSAGES
from xenapic.glossary.pasted.symptoms import CRASH, fitting
from xenapic.glossary.pasted.tables import exit_table
from xenapic.glossary.pasted.traces import apic_errors, entry_hardware_error, exit_names, msr_lines
from xenapic.glossary.pasted.words import capability_value, insufficient
from xenapic.parse.xenversion import find_version

if TYPE_CHECKING:
    from xenapic.model.host import Host
    from xenapic.parse.xenversion import XenVersion

__all__ = ["MOST_LINES", "Pasted", "read_text"]

MOST_LINES = 10_000
LONGEST_LINE = 2_000
MOST_CHARACTERS = 1_000_000
"""Lines, characters of a line and in all that are looked at; what is beyond is counted as not looked at."""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Pasted(NamedTuple):
    """What a text means."""

    meanings: tuple[Meaning, ...]
    """The most telling first."""
    lines: int
    """Lines that are not empty."""
    unread: int
    """Lines of them that mean nothing here: nothing was concluded from them."""
    version: XenVersion | None = None
    """The version of Xen that the defects were judged for; None if none was given."""


def read_text(text: str, version: XenVersion | None = None, host: Host | None = None) -> Pasted:
    """Say what a text means: a number, a line, or a whole paste. Any text can be read.

    ``version`` and ``host`` decide which of the known defects fit; without a version, one that the text
    names counts.
    """
    lines = [line.strip() for line in ESCAPES.sub("", text.replace("\0", "")).splitlines()]
    lines = [line for line in lines if line]
    if len(lines) == 1 and (numbers := readings(lines[0])):
        return Pasted(numbers, 1, 0, version)
    used = _looked_at(lines)
    joined = "\n".join(used)
    named = version or find_version(joined)
    logged = logged_host(joined) if len(used) > 1 else None
    host = host or logged
    every: list[Meaning] = []
    read = set()
    crash = ""
    known: dict[str, bool] = {}
    for number, line in enumerate(used):
        if line not in known:  # logs repeat themselves
            meanings = list(_line(line, named, host))
            known[line] = bool(meanings)
            every += meanings
        if known[line]:
            read.add(number)
        if CRASH.search(line):
            crash = crash or line
            read.add(number)
    whole = [*control_words(used), *exit_table(used)]
    if logged is not None:
        whole.insert(0, host_meaning(logged))
    files = list(whole_files(used)) if len(used) > 1 else []
    every = [*whole, *every, *(meaning for meaning, _ in files)]
    read.update(_lines_of(used, whole), *(numbers for _, numbers in files))
    if crash and not any(meaning.title.startswith("known defect") for meaning in every):
        every.append(_no_defect(crash))
    return Pasted(_distinct(every), len(lines), len(lines) - len(read), named)


def _looked_at(lines: Sequence[str]) -> list[str]:
    """Return the lines that are looked at, cut to the length that is."""
    used, left = [], MOST_CHARACTERS
    for line in lines[:MOST_LINES]:
        used.append(line[:LONGEST_LINE])
        left -= len(used[-1])
        if left < 0:
            break
    return used


def _line(line: str, version: XenVersion | None, host: Host | None) -> Iterator[Meaning]:
    yield from fitting(line, version, host)
    for reader in READERS:
        yield from reader(line)


EVERY_MESSAGE = (*MESSAGES, *OTHER_MESSAGES)


def _message(line: str) -> Iterator[Meaning]:
    """Yield what a message means, and the errno in its line unless the message gives the number a meaning."""
    plain = line.lower()
    for row in EVERY_MESSAGE:
        if row.needles and not any(needle in plain for needle in row.needles):
            continue
        if match := row.pattern.search(line):
            yield Meaning(quoted(match[0]), row.title, row.text, True, row.source, row.see)
            groups = match.groupdict()
            number, said = groups.get("errno"), (groups.get("said") or "").strip().casefold()
            if (
                number
                and BY_MESSAGE.get(said) == int(number)
                and (meaning := errno_meaning(number, int(number)))
            ):
                yield meaning
            elif row.errno:
                yield from _errors(line)
            return
    yield from _errors(line)


ERRNO_NAMES = tuple(
    re.compile(pattern, re.IGNORECASE | re.ASCII)
    for pattern in (
        r"\berrno\W{1,4}-?(?P<number>\d{1,3})\b",
        # -1 is what a call returns, whatever the errno is.
        r"\b(?:error|rc|returned|failed|ret|err)(?: with)?\W{1,4}-(?!1\b)(?P<number>\d{1,3})\b",
        r"\bxc_\w{3,40}\W{0,3}.{0,12}?\b(?:error|failed)\W{1,4}(?P<number>\d{1,3})\b",
    )
)
"""A positive number is an errno only if the text says so: other things have error numbers, too."""
FAILED = re.compile(r"\b(?:fail|error|unable|cannot|could not|err|denied|returned)", re.IGNORECASE)


def _errors(line: str) -> Iterator[Meaning]:
    """Yield what an errno in an error's line is: its name, its message, or ``errno = 22``."""
    from xenapic.errors import errno_name
    from xenapic.glossary.pasted.errnos import NUMBERS

    for number in NUMBERS:
        name = errno_name(number)
        if re.search(rf"\b{name}\b", line) and (meaning := errno_meaning(name, number)):
            yield meaning
            return
    if not FAILED.search(line):
        return
    plain = line.casefold()
    for message, number in BY_MESSAGE.items():
        if re.search(rf"\b{re.escape(message)}\b", plain) and (meaning := errno_meaning(message, number)):
            at = plain.index(message)
            yield meaning._replace(quote=quoted(line[at : at + len(message)]))
            return
    for pattern in ERRNO_NAMES:
        if match := pattern.search(line):
            sure = "errno" in match[0].lower()
            if meaning := errno_meaning(quoted(match[0]), int(match["number"]), sure=sure):
                yield meaning
            return


OPTION = re.compile(
    r"(?<![\w.-])(?P<name>[A-Za-z][\w-]{2,40})(?:=(?P<value>[\w:,.%@-]{1,60}))?(?![\w=])", re.ASCII
)
LISTED = re.compile(
    r"\b(?:vmx flags|flags|viridian|Command line|GRUB_CMDLINE_XEN\w*|options kvm\w*)\b", re.IGNORECASE
)
HIDING = re.compile(r"\bcpuid\s*\+?=|\bhost[,:]\w+=|<feature\b|<apic\b", re.IGNORECASE)
"""A guest's CPUID in an xl.cfg or a libvirt domain XML."""
MOST_NAMES = 8


def _names(line: str) -> Iterator[Meaning]:
    """Yield Xen's boot options and the names of other projects that a line has."""
    from xenapic.glossary.elsewhere import ROWS
    from xenapic.glossary.hostoptions import OPTIONS

    if HIDING.search(line):  # what a guest is told; the name of an option of Xen is something else there
        return
    listed, shown = LISTED.search(line), 0
    elsewhere = {spelling.lower(): name for name, row in ROWS.items() for spelling in (name, *row.aliases)}
    for match in OPTION.finditer(line):
        name, value = match["name"], match["value"]
        distinct = "_" in name or "-" in name
        key = next((each for each in (name, f"{name}=") if each in OPTIONS), None)
        if key is not None and (value is not None or (listed and distinct)):
            row = OPTIONS[key]
            yield Meaning(
                quoted(match[0]),
                f"Xen's boot option {name}",
                f"{row.text}\n{row.effect}",
                True,
                row.xen,
                (key,),
            )
        elif name.lower() in elsewhere and (listed or distinct):
            known = ROWS[elsewhere[name.lower()]]
            title = f"{name}: {known.where}"
            yield Meaning(
                quoted(match[0]),
                title,
                f"{known.text}\nUnder Xen: {known.xen}",
                True,
                known.source,
                (elsewhere[name.lower()],),
            )
        else:
            continue
        shown += 1
        if shown == MOST_NAMES:
            return


def _toolstack(line: str) -> Iterator[Meaning]:
    """Yield the refusal of xl or libxl whose message a line has."""
    if not any(word in line.lower() for word in TOOLS):
        return
    from xenapic.toolstack.refusals import REFUSALS

    for row in REFUSALS:
        pattern = ".{1,80}?".join(map(re.escape, row.message.split("{}")))
        if len(row.message) > 12 and (match := re.search(pattern, line)):
            yield Meaning(
                quoted(match[0]),
                f"libxl refuses the configuration before it asks Xen: {row.because}",
                f"Keys of the file that decide: {', '.join(row.keys) or 'none, it is the host'}.\n"
                "'xenapic plan FILE' checks the whole file.",
                True,
                row.source,
                ("toolstack-refused",),
            )
            return


TOOLS = (
    "libxl",
    "xl:",
    "error",
    "passthrough",
    "not ",
    "cannot",
    "requires",
    "illegal",
    "out of range",
    "must be",
    "bitmap",
    "neither",
)
READERS: tuple[Callable[[str], Iterator[Meaning]], ...] = (
    insufficient,
    exit_lines,
    capability_value,
    capabilities,
    leaves,
    fields,
    msr_lines,
    apic_errors,
    exit_names,
    entry_hardware_error,
    _message,
    _toolstack,
    _names,
)
"""What is tried on each line."""


def _lines_of(lines: Sequence[str], whole: Sequence[Meaning]) -> Iterator[int]:
    """Yield the numbers of the lines that a meaning of the whole text uses."""
    from xenapic.glossary.pasted.tables import is_row
    from xenapic.glossary.pasted.words import WORD

    table = any("table of VM exits" in meaning.title for meaning in whole)
    for number, line in enumerate(lines):
        if WORD.search(line) or (table and is_row(line)):
            yield number


APIC_CODE = re.compile(r"\bv?l?apic\w*\b|\bx2apic\w*\b|\bvmx/intr\.c", re.IGNORECASE | re.ASCII)


def _no_defect(line: str) -> Meaning:
    if APIC_CODE.search(line):
        text = (
            "The line names a part of Xen's APIC code, but no known defect stops there: it may be an "
            "unknown one. Xen's developers want to see the whole log (xen-devel)."
        )
    else:
        text = (
            "Nothing in the text points to the APIC or its acceleration; look at the lines before it, and at "
            "Xen's advisories for other parts."
        )
    return Meaning(
        quoted(line),
        "none of the known defects around the APIC leaves this mark",
        text,
        False,
        "xenapic/model/defects.py",
    )


def _distinct(meanings: Sequence[Meaning]) -> tuple[Meaning, ...]:
    """Return the meanings without repetitions, in their order."""
    seen: dict[tuple[str, str], Meaning] = {}
    for meaning in meanings:
        seen.setdefault((meaning.title, meaning.text), meaning)
    return tuple(seen.values())
