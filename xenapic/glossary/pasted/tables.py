"""Tables of exits as other tools print them (codes or names, counts, addresses), judged as ``exits`` does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from xenapic.apic.features import Technology
from xenapic.apic.outcome import Operation
from xenapic.exits.judgement import Cause, Clues, ExitKind, Removable, judge_exit
from xenapic.exits.reasons import SVM_NAMES, VMX_NAMES
from xenapic.glossary.pasted.meaning import Meaning, quoted

__all__ = ["NAMED", "exit_table", "is_row", "plain_name"]


def plain_name(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", name.upper())


LINUX_VMX = {
    "EXCEPTION_NMI": 0,
    "EXTERNAL_INTERRUPT": 1,
    "TRIPLE_FAULT": 2,
    "INIT_SIGNAL": 3,
    "PENDING_INTERRUPT": 7,
    "INTERRUPT_WINDOW": 7,
    "PENDING_VIRT_INTR": 7,
    "NMI_WINDOW": 8,
    "TASK_SWITCH": 9,
    "CR_ACCESS": 28,
    "DR_ACCESS": 29,
    "IO_INSTRUCTION": 30,
    "MSR_READ": 31,
    "MSR_WRITE": 32,
    "MWAIT_INSTRUCTION": 36,
    "MONITOR_INSTRUCTION": 39,
    "PAUSE_INSTRUCTION": 40,
    "EOI_INDUCED": 45,
    "EPT_MISCONFIG": 49,
    "PREEMPTION_TIMER": 52,
    "WBINVD": 54,
    "PML_FULL": 62,
}
"""Linux's names that differ from the SDM's (``arch/x86/include/uapi/asm/vmx.h``)."""
LINUX_SVM = {"INTERRUPT": 0x60, "READ_MSR": 0x7C, "WRITE_MSR": 0x7C, "IO": 0x7B, "HYPERCALL": 0x81}
NAMED: dict[str, tuple[tuple[Technology, int], ...]] = {}
for _each, _names in (
    (Technology.VMX, [*((name, number) for number, name in VMX_NAMES.items()), *LINUX_VMX.items()]),
    (Technology.SVM, [*((name, number) for number, name in SVM_NAMES.items()), *LINUX_SVM.items()]),
):
    for _name, _number in _names:
        NAMED[plain_name(_name)] = (*NAMED.get(plain_name(_name), ()), (_each, _number))
COUNT = r"(?P<count>\d{1,15})(?![\w.%])"
NAME = r"(?:EXIT_REASON_|VMEXIT_|VMX_|SVM_)?(?P<name>[A-Za-z][A-Za-z0-9_]{1,30}(?: [a-z]{2,12}){0,3}?)"
CODE = r"(?:0x(?P<hexadecimal>[0-9a-f]{1,8})|(?P<decimal>\d{1,4}))"
ADDRESS = re.compile(r"\b(?:0x)?0{0,8}(fee00[0-9a-f]{3})\b", re.IGNORECASE | re.ASCII)
ROWS = tuple(
    re.compile(pattern, re.IGNORECASE | re.ASCII)
    for pattern in (
        rf"[ \t|*-]*{NAME}(?: ?\(\d{{1,5}}\))?[ \t|:,=]+{COUNT}.{{0,120}}",
        rf"[ \t|*-]*{CODE}[ \t|:,=]+(?:[A-Za-z_][\w -]{{1,40}}?[ \t|:,=]+)?{COUNT}.{{0,120}}",
    )
)
LEAST_ROWS = 2
MOST_ROWS = 8


class Row(NamedTuple):
    """A row of somebody's table."""

    quote: str
    technologies: tuple[tuple[Technology, int], ...]
    exits: int
    address: int | None
    named: bool
    """Whether the row has the exit's name: numbers alone can be something else."""


@lru_cache(maxsize=10_000)
def _row(line: str) -> Row | None:
    if len(line) > 200:
        return None
    address = ADDRESS.search(line)
    place = int(address[1], 16) if address else None
    named = ROWS[0].fullmatch(line)
    if named:
        meant = NAMED.get(plain_name(named["name"]), ())
        if not meant:
            return None
        return Row(quoted(line), meant, _count(line, named, meant), place, True)
    coded = ROWS[1].fullmatch(line)
    if coded is None:
        return None
    if coded["hexadecimal"] is not None:
        number = int(coded["hexadecimal"], 16)
        meant = tuple(
            (technology, number)
            for technology, known in ((Technology.VMX, VMX_NAMES), (Technology.SVM, SVM_NAMES))
            if number in known
        )
    else:
        number = int(coded["decimal"])
        meant = ((Technology.VMX, number),) if number in VMX_NAMES else ()
    return Row(quoted(line), meant, int(coded["count"]), place, False) if meant else None


NEXT = re.compile(r"[ \t|:,=()]+(\d{1,15})(?![\w.%])", re.ASCII)


def _count(line: str, named: re.Match[str], meant: tuple[tuple[Technology, int], ...]) -> int:
    """Return how often an exit is said to have occurred: not its own code, which some tables have too."""
    first = named["count"]
    own = any(
        int(first, 16 if technology is Technology.SVM else 10) == number for technology, number in meant
    )
    after = NEXT.match(line, named.end("count"))
    return int(after[1] if own and after else first)


def exit_table(lines: Sequence[str]) -> Iterator[Meaning]:
    """Yield what a table of exits comes to: each row judged, and the shares of the APIC's.

    Lines that do not look like a row are passed over. A text with fewer than two rows is no table.
    """
    rows = [row for line in lines if line.strip() and (row := _row(line)) is not None]
    if len(rows) < LEAST_ROWS:
        return
    technology = _technology(rows)
    if technology is None:
        yield Meaning(
            quoted(rows[0].quote),
            f"a table of VM exits ({len(rows)} rows), of Intel or AMD: the text does not say which",
            "Its codes fit neither all of Intel's nor all of AMD's, or both. Not judged.",
            False,
        )
        return
    yield _judged(rows, technology)


def _technology(rows: Sequence[Row]) -> Technology | None:
    """Return the technology that all rows can have; None if both or neither fit."""
    possible = [
        technology
        for technology in Technology
        if all(any(each is technology for each, _reason in row.technologies) for row in rows)
    ]
    if len(possible) == 1:
        return possible[0]
    return None


MAKERS = {Technology.VMX: "Intel (VMX)", Technology.SVM: "AMD (SVM)"}
CAUSES = {
    Cause.ACCESS: "of the APIC",
    Cause.DELIVERY: "waiting to deliver an interrupt",
    Cause.OTHER: "not of the APIC",
    Cause.UNKNOWN: "unknown: the table does not show the register",
}
REMOVABLE = {
    Removable.YES: "; acceleration would remove it",
    Removable.NO: "",
    Removable.UNKNOWN: "; whether acceleration would remove it is unknown",
}


def _kind(row: Row, technology: Technology) -> ExitKind:
    reason = next(number for each, number in row.technologies if each is technology)
    operation = None
    words = plain_name(row.quote)
    if "WRITE" in words or "WRMSR" in words:
        operation = Operation.WRITE
    elif "READ" in words or "RDMSR" in words:
        operation = Operation.READ
    clues = Clues(technology, reason, address=row.address, page_fault=row.address, operation=operation)
    return judge_exit(clues)


def _judged(rows: Sequence[Row], technology: Technology) -> Meaning:
    kinds = [(row, _kind(row, technology)) for row in rows]
    total = sum(row.exits for row in rows)
    shares = {cause: sum(row.exits for row, kind in kinds if kind.cause is cause) for cause in Cause}
    parts = [f"{_percent(shares[cause], total)} {text}" for cause, text in CAUSES.items() if shares[cause]]
    lines = [f"Of {total} exits: {'; '.join(parts) or 'none'}."]
    ranked = sorted(kinds, key=lambda pair: -pair[0].exits)
    for row, kind in ranked[:MOST_ROWS]:
        register = f" ({kind.register})" if kind.register else ""
        removable = REMOVABLE[kind.removable] if kind.cause in (Cause.ACCESS, Cause.UNKNOWN) else ""
        lines.append(f"{row.exits}: {_named(row, technology)}: {CAUSES[kind.cause]}{register}{removable}")
    if len(ranked) > MOST_ROWS:
        lines.append(f"and {len(ranked) - MOST_ROWS} more rows")
    return Meaning(
        quoted(ranked[0][0].quote),
        f"a table of VM exits on {MAKERS[technology]}, {len(rows)} rows",
        "\n".join(lines),
        all(row.named for row in rows),
        "as 'xenapic exits' judges, by what the table shows",
        (),
    )


def _percent(part: int, total: int) -> str:
    return f"{part * 100 // total} %" if total else "0 %"


def _named(row: Row, technology: Technology) -> str:
    names = VMX_NAMES if technology is Technology.VMX else SVM_NAMES
    number = next(number for each, number in row.technologies if each is technology)
    shown = str(number) if technology is Technology.VMX else f"{number:#x}"
    return f"{names[number]} ({shown})"


def is_row(line: str) -> bool:
    """Return True if a line is a row of a table of exits."""
    return _row(line) is not None
