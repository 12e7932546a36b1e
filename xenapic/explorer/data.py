"""Everything that the explorer's page looks up, as one JSON value; each distinct thing is in it once.

The page does no more than look up: an index is computed here for every choice that a reader can make.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from xenapic import __version__
from xenapic.apic.basis import basis
from xenapic.apic.features import FEATURES, Technology
from xenapic.apic.outcome import Outcome
from xenapic.apic.processors import PROCESSORS
from xenapic.apic.registers import REGISTERS, SLOTS, msr_of
from xenapic.apic.state import ApicState
from xenapic.explorer import choices
from xenapic.explorer.choices import Index
from xenapic.explorer.hosts import DECISIVE, KEYS, LETTERS, code_of
from xenapic.explorer.look import LOOKS
from xenapic.explorer.tables import MODES, OPERATIONS, Book, Table, counts, kind_of
from xenapic.explorer.words import AFTER, INTERFACES, OPTIONS, PLACES, STATES
from xenapic.model.acceleration import PLAIN_MEMORY, HvmLeaf
from xenapic.model.emulation import emulate
from xenapic.model.flags import PHYSCAP
from xenapic.model.host import Host
from xenapic.model.named import named_host
from xenapic.model.proposal import APIC
from xenapic.model.releases import XEN_RELEASES
from xenapic.parse.commandline import FALSE, TRUE, CommandLine

__all__ = ["choice_of", "explorer_data"]

H = TypeVar("H", bound=Hashable)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
"""A letter for each distinct cell."""
ROW = 16


def explorer_data(hosts: Mapping[str, Host] | None = None) -> dict[str, Any]:
    """Return the value; ``hosts`` are offered as choices, by their titles."""
    book, index = Book(), Index()
    return {
        "version": __version__,
        "keys": KEYS,
        "decisive": len(DECISIVE),
        "letters": {answer.value: letter for answer, letter in LETTERS.items()},
        "features": {row.key: row.name for row in FEATURES if row.key in KEYS},
        "modes_of": MODES,
        "looks": list(LOOKS.values()),
        "states": [[state.value, STATES[state], state is ApicState.X2APIC] for state in ApicState],
        "order": [list(ApicState).index(state) for state in STATES],
        "operations": [operation.value for operation in OPERATIONS],
        "registers": {
            offset: [row.symbol, row.name, row.xapic, row.x2apic] for offset, row in REGISTERS.items()
        },
        "msr": msr_of(0),
        "interfaces": INTERFACES,
        "guest_needs": [[PHYSCAP.hvm.name], [PHYSCAP.hap.name, PHYSCAP.shadow.name]],
        "places": PLACES,
        "plain_memory": PLAIN_MEMORY,
        "leaf_bits": {bit.name: int(bit) for bit in (HvmLeaf.APIC_ACCESS_VIRT, HvmLeaf.X2APIC_VIRT)},
        "bits": [bit.name for bit in APIC],
        "released": choices.released(book, index),
        "svm": choices.svm(book),
        "assisted": choices.assisted(),
        "proposal": choices.proposed(book, index),
        "blocks": list(index.blocks),
        "modes": list(book.modes),
        "told": list(book.told),
        **_tables(book.tables),
        **_hosts(),
        "reports": {title: choice_of(host) for title, host in (hosts or {}).items()},
    }


def _number(known: dict[H, int], thing: H) -> int:
    """Return the number of a thing: the next one if it is new."""
    return known.setdefault(thing, len(known))


# -- tables --------------------------------------------------------------------------------------------


def _tables(tables: Iterable[Table]) -> dict[str, Any]:
    """Return the tables as rows of 16 letters, and what the letters stand for."""
    outcomes: dict[tuple[str, str, str], int] = {}
    cells: dict[tuple[Any, ...], int] = {}
    rows: dict[str, int] = {}
    written = []
    for table in tables:
        letters = "".join(ALPHABET[_number(cells, cell)] for cell in _cells(table, outcomes))
        parts = [letters[first : first + ROW] for first in range(0, len(letters), ROW)]
        shares = {
            operation.value: [counts(table, operation).get(kind, 0) for kind in LOOKS]
            for operation in OPERATIONS
        }
        written.append([[_number(rows, part) for part in parts], *shares.values()])
    after: dict[str, int] = {}
    by_state = [[_number(after, text) for text in _after(state)] for state in ApicState]
    return {
        "alphabet": ALPHABET,
        "outcomes": list(outcomes),
        "cells": list(cells),
        "rows": list(rows),
        "tables": written,
        "after": list(after),
        "after_of": ["".join(map(str, numbers)) for numbers in by_state],
    }


def _cells(table: Table, outcomes: dict[tuple[str, str, str], int]) -> Iterator[tuple[Any, ...]]:
    """Yield each cell: the place of its kind in `LOOKS`, then its variants: words, number of the outcome."""
    kinds = list(LOOKS)
    for place, cell in enumerate(table.cells):
        operation = OPERATIONS[place // len(SLOTS)]
        variants = tuple(
            (words, _number(outcomes, (*_texts(outcome), basis(outcome, table.state, operation))))
            for words, outcome in cell.variants
        )
        yield (kinds.index(kind_of(cell)), *variants)


def _texts(outcome: Outcome) -> tuple[str, str]:
    """Return an outcome in words, and whether it exits (so that something follows)."""
    return str(outcome), "exits" if outcome.kind.leaves else ""


def _after(state: ApicState) -> Iterator[str]:
    """Yield what Xen does with each access that exits in a state."""
    for operation in OPERATIONS:
        for offset in SLOTS:
            yield AFTER[emulate(state, offset, operation)]


# -- hosts ---------------------------------------------------------------------------------------------


def _hosts() -> dict[str, Any]:
    """Return the releases, the options, and each processor with its host under each of these."""
    codes: dict[str, int] = {}
    patterns: dict[tuple[int, ...], int] = {}
    processors = []
    for row in PROCESSORS.values():
        hosts = [named_host(row, release, options) for release in XEN_RELEASES for options in OPTIONS]
        pattern = tuple(_number(codes, _code(host)) for host in hosts)
        processors.append([row.name, row.title, row.emulated_by, row.source, _number(patterns, pattern)])
    return {
        "xen": [[release.name, release.per_domain_apic] for release in XEN_RELEASES],
        "options": OPTIONS,
        "spellings": {text: _option(text) for text in _spellings()},
        "codes": list(codes),
        "patterns": list(patterns),
        "processors": processors,
    }


def _code(host: Host) -> str:
    """Return a host as links write it: technology, letters of the controls, letters of what it offers."""
    technology = {Technology.VMX: "V", Technology.SVM: "S", None: "N"}[host.technology]
    technology = "N" if host.physinfo.no_guest else technology
    offers = LETTERS[host.assisted_xapic.answer] + LETTERS[host.assisted_x2apic.answer]
    return f"{technology}.{code_of(host)}.{offers if host.release.per_domain_apic else 'nn'}"


def choice_of(host: Host) -> dict[str, Any]:
    """Return a host as the page keeps a dropped report: its release, its code, its facts' sources."""
    sources = {key: host.features[key].source for key in KEYS}
    return {"xen": host.release.name, "code": _code(host), "sources": sources}


def _spellings() -> Iterator[str]:
    """Yield every way of writing the options that `OPTIONS` has."""
    for option in filter(None, OPTIONS):
        name = option.partition("=")[0]
        for text in (name, f"no-{name}"):
            yield text
            yield from (f"{text}={word}" for word in (*TRUE, *FALSE))


def _option(text: str) -> int:
    """Return which of `OPTIONS` a boot option amounts to."""
    return OPTIONS.index("apicv=0" if CommandLine(text).boolean("apicv") is False else "")
