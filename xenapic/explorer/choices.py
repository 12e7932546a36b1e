"""For each choice a reader can make, the number of the situation that it leads to.

Numbers are kept in blocks, since the answers to neighbouring choices are often alike: an index is a list of
numbers of blocks, and a block has the numbers of `BLOCK` situations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from errno import errorcode
from itertools import chain, product
from typing import Any

from xenapic.apic.controls import Controls
from xenapic.apic.processors import processor
from xenapic.apic.state import ApicState
from xenapic.explorer.hosts import DECISIVE, LETTERS, answers_of, bits_code, offered_sets
from xenapic.explorer.tables import Book, Known, Told
from xenapic.model import proposal
from xenapic.model.acceleration import (
    APIC_BITS,
    DomainChoice,
    cpuid_leaf,
    domain_choice,
    vcpu_apic,
    vcpu_apic_svm,
    viridian_hints,
)
from xenapic.model.facts import no, yes
from xenapic.model.flags import MISC
from xenapic.model.named import named_host
from xenapic.model.proposal import APIC, Refused
from xenapic.model.releases import DEVELOPMENT, XEN_RELEASES, XenRelease
from xenapic.policy.outlook import possible_controls
from xenapic.policy.plan import Refusal, plan
from xenapic.policy.reasons import Code
from xenapic.policy.terms import Policy

__all__ = ["BLOCK", "FLAGS", "Index", "assisted", "proposed", "released", "svm"]

BLOCK = 27
FLAGS = (MISC(0), MISC.ASSISTED_XAPIC, MISC.ASSISTED_X2APIC, MISC.ASSISTED_XAPIC | MISC.ASSISTED_X2APIC)
"""The flags of a domain under 4.17-rc."""
CODES = tuple("".join(letters) for letters in product(LETTERS.values(), repeat=len(DECISIVE)))
"""Every host, as far as accesses are concerned. The page counts in the same order."""


class Index:
    """Blocks of numbers, each distinct block once."""

    def __init__(self) -> None:
        self.blocks: dict[tuple[int, ...], int] = {}

    def of(self, numbers: Iterable[int]) -> list[int]:
        """Return the numbers of the blocks that hold these numbers."""
        every = tuple(numbers)
        parts = (every[first : first + BLOCK] for first in range(0, len(every), BLOCK))
        return [self.blocks.setdefault(part, len(self.blocks)) for part in parts]

    def of_each(self, rows: Iterable[tuple[int, int, int]]) -> list[list[int]]:
        """Return an index of the tables, one of the modes, and one of the told things."""
        return [self.of(column) for column in zip(*rows, strict=True)]


States = list[list[list[int]]]
"""For each state of the APIC the three indexes of `Index.of_each`."""


def released(book: Book, index: Index) -> dict[str, States]:
    """Return the answers by host: under a release without a choice, and for each word of flags of 4.17-rc."""
    hosts = [possible_controls(answers_of(code)) for code in CODES]
    newest = XEN_RELEASES[-1]
    words = {"": (newest, MISC(0)), **{str(int(flags)): (DEVELOPMENT, flags) for flags in FLAGS}}
    return {
        name: [index.of_each(_by_host(book, hosts, release, flags, state)) for state in ApicState]
        for name, (release, flags) in words.items()
    }


def _by_host(
    book: Book, hosts: list[tuple[Controls, ...]], release: XenRelease, flags: MISC, state: ApicState
) -> Iterator[tuple[int, int, int]]:
    known: dict[Controls, Known] = {}
    for controls in dict.fromkeys(chain.from_iterable(hosts)):
        choice = domain_choice(release, controls, int(flags))
        told = _told(release, controls, choice)
        known[controls] = book.known(vcpu_apic(controls, choice, state), told)
    for possible in hosts:
        yield book.numbers(known[controls] for controls in possible)


def _told(release: XenRelease, controls: Controls, choice: DomainChoice) -> Told:
    hints = viridian_hints(controls)
    leaf = cpuid_leaf(release, controls, choice) & APIC_BITS
    return Told(int(leaf), hints.msr_based_apic, hints.apic_overlay)


def svm(book: Book) -> list[tuple[int, int, int]]:
    """Return the numbers for each state on AMD, under any Xen."""
    nothing = Controls()
    told = _told(XEN_RELEASES[-1], nothing, DomainChoice(xapic=False, x2apic=False))
    return [book.numbers([book.known(vcpu_apic_svm(state), told)]) for state in ApicState]


# -- 4.17-rc: the flags that a domain gets -------------------------------------------------------------

ACCEPT = frozenset({Code.DEFECT_MEMORY.value})
SETTINGS = (None, True, False)
"""Not set, 1, 0."""


def assisted() -> dict[str, dict[str, Any]]:
    """Return the flags, or why there is no domain: by what the host offers, then by the two settings.

    Keys are two letters: of the host, y or n; of the settings, d(efault), 1 or 0.
    """
    base = named_host(processor("skylake-sp"), DEVELOPMENT)
    answers: dict[str, dict[str, Any]] = {}
    for xapic, x2apic in product((yes("offered"), no("the host does not offer it")), repeat=2):
        host = replace(base, assisted_xapic=xapic, assisted_x2apic=x2apic)
        of_host = answers.setdefault(LETTERS[xapic.answer] + LETTERS[x2apic.answer], {})
        for first, second in product(SETTINGS, repeat=2):
            result = plan(Policy(assisted_xapic=first, assisted_x2apic=second, accept=ACCEPT), host)
            of_host[_letter(first) + _letter(second)] = (
                "; ".join(f"{reason.asked}: {reason.fact} [{reason.code.value}]" for reason in result.reasons)
                if isinstance(result, Refusal)
                else int(result.misc_flags)
            )
    return answers


def _letter(setting: bool | None) -> str:
    return "d" if setting is None else str(int(setting))


# -- the proposal --------------------------------------------------------------------------------------

REQUESTS = tuple(product("d+-", repeat=len(APIC)))
"""Every request: for each bit the host's default, on or off. The page counts in the same order."""
ALL_BITS = 1 << len(APIC)


def proposed(book: Book, index: Index) -> dict[str, Any]:
    """Return the answers of the proposal.

    ``resolved``: by what the host has available, an index by request of the bits in force; where the request
    is refused, of `ALL_BITS` plus the rule, and ``refused`` has an index of the bits that the refusal names.
    ``vcpus``: with MSR bitmaps and without, for each state, by the bits in force.
    """
    rules: dict[str, int] = {}
    resolved, refused = {}, {}
    for offered in offered_sets():
        answers = [_answer(offered, request, rules) for request in REQUESTS]
        resolved[bits_code(offered)] = index.of(number for number, _ in answers)
        refused[bits_code(offered)] = index.of(bits for _, bits in answers)
    vcpus = {
        letter: [index.of_each(_by_bits(book, state, bitmaps)) for state in ApicState]
        for letter, bitmaps in (("y", True), ("n", False))
    }
    return {"resolved": resolved, "refused": refused, "vcpus": vcpus, "rules": list(rules)}


def _answer(offered: APIC, request: Sequence[str], rules: dict[str, int]) -> tuple[int, int]:
    pairs = list(zip(APIC, request, strict=True))
    on = APIC(sum(bit for bit, letter in pairs if letter == "+"))
    off = APIC(sum(bit for bit, letter in pairs if letter == "-"))
    answer = proposal.resolve(offered, on, off)
    if isinstance(answer, Refused):
        rule = f"{errorcode[answer.errno]}: {answer.rule}"
        return ALL_BITS + rules.setdefault(rule, len(rules)), int(answer.bits)
    return int(answer), 0


def _by_bits(book: Book, state: ApicState, bitmaps: bool) -> Iterator[tuple[int, int, int]]:
    for number in range(ALL_BITS):
        effective = APIC(number)
        keys = {proposal.CONTROL[bit] for bit in APIC if bit in effective} | {"external_interrupt_exiting"}
        keys |= {"secondary_controls"} | ({"msr_bitmaps"} if bitmaps else set())
        vcpu = proposal.vcpu(Controls.of(*keys), effective, state)
        hints = proposal.viridian(effective)
        told = Told(int(proposal.leaf(effective)), hints.msr_based_apic, hints.apic_overlay)
        yield book.numbers([book.known(vcpu, told)])
