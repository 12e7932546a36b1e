"""A part of a verification: some states of the APIC, some registers, some aspects, some domains."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from xenapic.apic.registers import MSR_X2APIC_FIRST, SLOT_SIZE, Reg
from xenapic.apic.state import ApicState
from xenapic.errors import NameUnknown
from xenapic.frozen import dataclass
from xenapic.model.apicbits import APIC, asked_word, signed
from xenapic.verify.check import NO_ANSWER

if TYPE_CHECKING:
    from xenapic.verify.check import Report
    from xenapic.verify.compare import Comparison

__all__ = ["ASPECTS", "Selection", "selection_of"]

ASPECTS = {
    "create": ("create",),
    "vmcs": ("VMCS", "restored"),
    "log": ("boot log", "physinfo"),
    "cpuid": ("CPUID",),
    "access": ("access", "page", "MSR"),
    "interrupt": ("interrupt",),
    "guest": ("guest", "VM entry"),
    "exits": ("exits",),
}
"""The names of aspects, and the topics of checks and differences that each stands for."""
IN_GUESTS = {"cpuid", "access", "interrupt", "guest", "exits"}
SHORT = {"tpr": Reg.TASKPRI, "ppr": Reg.PROCPRI, "apr": Reg.ARBPRI, "svr": Reg.SPIV, "version": Reg.LVR}
MEMBERS = {**{reg.name.lower(): int(reg) for reg in Reg}, **{name: int(reg) for name, reg in SHORT.items()}}


@dataclass(frozen=True, slots=True)
class Selection:
    """What to look at; what is empty selects everything."""

    states: tuple[ApicState, ...] = ()
    registers: frozenset[int] = frozenset()
    """Offsets in the xAPIC page."""
    aspects: frozenset[str] = frozenset()
    requests: tuple[int, ...] = ()
    """What domains ask for (``misc_flags``), on a Xen with one bit per control."""

    def __bool__(self) -> bool:
        """Return True if anything is left out."""
        return bool(self.states or self.registers or self.aspects or self.requests)

    def wants(self, aspect: str) -> bool:
        """Return True if an aspect is selected; registers alone select accesses."""
        if self.aspects:
            return aspect in self.aspects
        return aspect == "access" if self.registers else True

    @property
    def guests(self) -> bool:
        """Whether the probe guest must run."""
        return any(map(self.wants, IN_GUESTS))

    def takes(self, topic: str, where: str) -> bool:
        """Return True if a check or difference is selected."""
        aspect = next((name for name, topics in ASPECTS.items() if topic in topics), None)
        if not (self.guests if topic == NO_ANSWER else aspect and self.wants(aspect)):
            return False
        parts = where.split(", ")
        of_state = {state.value for state in ApicState} & set(parts)
        if self.states and of_state and not of_state & {state.value for state in self.states}:
            return False
        of_domain = {part for part in parts if part.startswith(DOMAIN)}
        if self.requests and of_domain and not of_domain & self._domains:
            return False
        return not self.registers or aspect != "access" or _offset(where) in self.registers

    @property
    def _domains(self) -> set[str]:
        """The words by which checks and differences name the selected domains."""
        shown = (text for word in self.requests for text in (signed(word) or "0", f"{word:#x}"))
        return {f"{DOMAIN}{text}" for text in shown}

    def report(self, report: Report) -> Report:
        """Return the selected part of a report."""
        return replace(report, checks=tuple(c for c in report.checks if self.takes(c.topic, c.where)))

    def comparison(self, comparison: Comparison) -> Comparison:
        """Return the selected part of a comparison."""
        differences = tuple(d for d in comparison.differences if self.takes(d.topic, d.where))
        costs = tuple(c for c in comparison.costs if self.takes("access", c.where))
        return replace(comparison, differences=differences, costs=costs)


DOMAIN = "misc_flags "


def _offset(where: str) -> int | None:
    """Return the register that the place of an access names."""
    for part in where.split(", "):
        words = part.split()
        if "page" in words[:1]:
            words = words[1:]
        if words[:1] == ["CR8"]:
            return int(Reg.TASKPRI)
        if len(words) > 1 and words[0] in ("read", "write", "fetch"):
            return int(words[1], 16) // SLOT_SIZE * SLOT_SIZE
        if len(words) > 1 and words[0] in ("RDMSR", "WRMSR") and words[1] != "APIC_BASE":
            return (int(words[1], 16) - MSR_X2APIC_FIRST) * SLOT_SIZE
    return None


def selection_of(text: str) -> Selection:
    """Return what a list such as ``x2apic,EOI,80b,vmcs`` selects; raise `NameUnknown` for an unknown word.

    A word is a state, an aspect, a register's name, its offset in the page, its MSR, or what a domain asks
    for: ``-DELIVERY``, ``+POSTED-REGISTERS``, ``default``.
    """
    states: list[ApicState] = []
    registers: set[int] = set()
    aspects: set[str] = set()
    requests: list[int] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word in {state.value for state in ApicState}:
            states.append(ApicState(word))
        elif word.lower() in ASPECTS:
            aspects.add(word.lower())
        elif word.lower() == NOTHING_ASKED:
            requests.append(0)
        elif word[0] in "+-":
            requests.append(_request(word))
        else:
            registers.update(_registers(word))
    return Selection(
        tuple(dict.fromkeys(states)),
        frozenset(registers),
        frozenset(aspects),
        tuple(dict.fromkeys(requests)),
    )


NOTHING_ASKED = "default"
BIT = re.compile(r"([+-])([^+-]*)")


def _request(word: str) -> int:
    """Return the ``misc_flags`` of a word such as ``+REGISTERS-DELIVERY``."""
    asked = {"+": APIC(0), "-": APIC(0)}
    for sign, name in BIT.findall(word):
        try:
            asked[sign] |= APIC[name.upper()]
        except KeyError:
            known = [bit.name or "" for bit in APIC]
            raise NameUnknown.among(
                "control", name, known, f"{word} asks for controls among {', '.join(known)}"
            ) from None
    return asked_word(asked["+"], asked["-"])


def _registers(word: str) -> Iterable[int]:
    name = word.lower()
    if name in MEMBERS:
        return (MEMBERS[name],)
    try:
        number = int(name.removeprefix("0x"), 16)
    except ValueError:
        number = -1
    if MSR_X2APIC_FIRST <= number < MSR_X2APIC_FIRST + 256:
        return ((number - MSR_X2APIC_FIRST) * SLOT_SIZE,)
    if 0 <= number < MSR_X2APIC_FIRST and number % SLOT_SIZE == 0:
        return (number,)
    known = [*(state.value for state in ApicState), *ASPECTS, NOTHING_ASKED, *(reg.name for reg in Reg)]
    raise NameUnknown.among("state, aspect or register", word, known, f"known are {', '.join(known)}")
