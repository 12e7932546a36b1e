"""Topics about registers, and about what happens to an access: outcomes, completions, exit reasons."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from xenapic.apic.access import access_cr8
from xenapic.apic.controls import Controls
from xenapic.apic.outcome import Completion, Kind, Operation, Outcome, SvmExit, VmxExit, exit_number
from xenapic.apic.registers import (
    MSR_X2APIC_FIRST,
    MSR_X2APIC_LAST,
    REGISTERS,
    SLOTS,
    Reg,
    Register,
    offset_of,
    register,
)
from xenapic.glossary import prose
from xenapic.glossary.constants import OF_REGISTERS
from xenapic.glossary.topic import Source, Topic, TopicKind
from xenapic.model.typical import TYPICAL
from xenapic.policy.outlook import AccessRow, register_rows, rows

__all__ = ["SOURCES", "by_number", "outcomes_of"]


# -- registers -----------------------------------------------------------------------------------------

RIGHTS = {"": "none", "r": "read only", "w": "write only", "rw": "read and write"}


def by_number(text: str) -> Topic | None:
    """Return the topic of the register at an offset or MSR: ``0x80b``, ``msr 80bh``, ``0b0``.

    A reserved place has a topic too. Returns None when the text is not the number of a place.
    """
    digits = text.removeprefix("msr").removeprefix("offset").removeprefix("0x").removesuffix("h")
    try:
        number = int(digits, 16)
    except ValueError:
        return None
    if MSR_X2APIC_FIRST <= number <= MSR_X2APIC_LAST:
        return _about(register(offset_of(number)))
    return _about(register(number)) if number in SLOTS else None


def _register(name: str) -> Topic:
    return _about({row.symbol: row for row in REGISTERS.values()}[name])


def _about(row: Register) -> Topic:
    xapic, x2apic = RIGHTS[row.xapic], RIGHTS[row.x2apic]
    where = f"xAPIC offset {row.offset:03X} ({xapic}), x2APIC MSR {row.msr:03X} ({x2apic})."
    lines = [
        f"{title}, {operation.value}{f' ({value})' if value else ''}: {outcome}."
        for title, operation, value, outcome in outcomes_of(row.offset)
    ]
    if row.offset == Reg.TASKPRI:
        lines += [
            f"CR8 {operation.value} with TPR shadow: {access_cr8(Controls.of('tpr_shadow'), operation)}."
            for operation in (Operation.READ, Operation.WRITE)
        ]
    return Topic(
        row.symbol or f"reserved {row.offset:03X}",
        TopicKind.REGISTER,
        row.name,
        where,
        "\n".join(lines) or "Neither mode has a register here.",
        'SDM volume 3A, "Local APIC register address map"',
        f"APIC_{row.symbol} (xen/arch/x86/include/asm/apicdef.h)" if row.symbol else "",
        aliases=(row.name, f"APIC_{row.symbol}", *OF_REGISTERS.get(row.symbol, ())) if row.symbol else (),
    )


def outcomes_of(offset: int) -> Iterator[tuple[str, Operation, str, Outcome]]:
    """Yield what happens to a register's accesses: title of the situation, operation, values, outcome."""
    for typical in TYPICAL:
        for row in register_rows((typical.vcpu,), offset):
            yield typical.title, row.operation, row.value, row.outcome


# -- outcomes, completions, exits ------------------------------------------------------------------------


def _outcome(name: str) -> Topic:
    words, kind = prose.OUTCOMES[name], Kind(name)
    aliases = (f"Kind.{kind.name}", kind.name.replace("_", " "))
    return Topic(name, TopicKind.OUTCOME, f"outcome: {name}", *words, aliases)


def _completion(name: str) -> Topic:
    words = prose.COMPLETIONS[name]
    return Topic(
        name,
        TopicKind.COMPLETION,
        name,
        f"How the processor completes an access that stays. {words.text}",
        sdm=words.sdm or prose.PAGE,
        see=words.see,
        aliases=(f"Completion.{Completion(name).name}",),
    )


REASONS: dict[str, VmxExit | SvmExit] = {**VmxExit.__members__, **SvmExit.__members__}


def _exit(name: str) -> Topic:
    words, reason = prose.EXITS[name], REASONS[name]
    number = exit_number(reason)
    title = f"VMX basic exit reason {number}" if isinstance(reason, VmxExit) else f"#VMEXIT code {number}"
    return Topic(
        name,
        TopicKind.EXIT,
        title,
        f"{title}. {words.text}",
        _causes(reason),
        words.sdm,
        words.xen,
        words.see,
        (
            number,
            f"exit {number}",
            f"reason {number}",
            f"exit reason {number}",
            f"{type(reason).__name__}.{name}",
        ),
    )


@lru_cache(maxsize=1)
def _typical_rows() -> tuple[tuple[str, AccessRow], ...]:
    return tuple((typical.title, row) for typical in TYPICAL for row in rows((typical.vcpu,)))


def _causes(reason: VmxExit | SvmExit) -> str:
    """Name the typical situations in which an access causes the exit."""
    titles = dict.fromkeys(
        title
        for title, row in _typical_rows()
        if reason is row.outcome.reason or reason in row.outcome.may_exit
    )
    return f"Accesses cause it in these situations: {'; '.join(titles)}." if titles else ""


SOURCES = {
    TopicKind.REGISTER: Source(lambda: [row.symbol for row in REGISTERS.values()], _register),
    TopicKind.OUTCOME: Source(prose.OUTCOMES.keys, _outcome),
    TopicKind.COMPLETION: Source(prose.COMPLETIONS.keys, _completion),
    TopicKind.EXIT: Source(prose.EXITS.keys, _exit),
}
