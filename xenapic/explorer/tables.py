"""The distinct answers of the model: cells, tables of accesses, and the situations that show a table.

A *cell* is what happens to one operation on one register slot: one outcome, or one for each kind of value
written. A *table* holds the cells of all slots.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from xenapic.apic.controls import Controls
from xenapic.apic.outcome import Kind, Operation, Outcome
from xenapic.apic.registers import SLOTS, register
from xenapic.apic.state import ApicState
from xenapic.model.acceleration import VcpuApic
from xenapic.policy.outlook import agreed, rows

__all__ = ["MODES", "OPERATIONS", "Book", "Cell", "Known", "Table", "Told", "counts", "kind_of"]

OPERATIONS = (Operation.READ, Operation.WRITE)


class Cell(NamedTuple):
    """What happens to an operation on a register slot."""

    variants: tuple[tuple[str, Outcome], ...]
    """Which values are written (empty for any), and the outcome."""


class Table(NamedTuple):
    """The cells of a state: of all slots for reads, then of all slots for writes."""

    state: ApicState
    cells: tuple[Cell, ...]


class Told(NamedTuple):
    """What an HVM-type guest is told about its APIC; None where that is unknown."""

    leaf: int | None
    """The APIC bits of EAX in the hypervisor's CPUID leaf base + 4."""
    use_msrs: bool | None
    """Viridian's hint to use its MSRs for EOI, ICR and TPR."""
    overlay: bool | None
    """Viridian's bit for virtualized APIC accesses."""


MODES = ("virtualize_apic_accesses", "virtualize_x2apic_mode")
"""The controls that Xen sets anew whenever the guest's APIC changes its state; the others stay."""


class Known(NamedTuple):
    """What holds for a vCPU about which all is known."""

    table: int
    """The number of its table."""
    modes: str
    """For each of `MODES` whether it is 1: y or n."""
    told: Told


def kind_of(cell: Cell) -> Kind:
    """Return the kind of a cell: that of its outcomes, or `Kind.DEPENDS` if they differ."""
    kinds = {outcome.kind for _, outcome in cell.variants}
    return kinds.pop() if len(kinds) == 1 else Kind.DEPENDS


def counts(table: Table, operation: Operation) -> dict[Kind, int]:
    """Count the cells of an operation that the architecture allows in the table's state, by kind."""
    first = OPERATIONS.index(operation) * len(SLOTS)
    found: dict[Kind, int] = {}
    for offset, cell in zip(SLOTS, table.cells[first : first + len(SLOTS)], strict=True):
        if operation.value[0] in register(offset).rights(table.state):
            found[kind_of(cell)] = found.get(kind_of(cell), 0) + 1
    return found


class Book:
    """Distinct tables, modes and things that guests are told, numbered in the order of first use."""

    def __init__(self) -> None:
        self.tables: dict[Table, int] = {}
        self.modes: dict[str, int] = {}
        self.told: dict[Told, int] = {}
        self._of_vcpu: dict[VcpuApic, int] = {}
        self._of_several: dict[frozenset[int], int] = {}

    def known(self, vcpu: VcpuApic, told: Told) -> Known:
        """Return what holds for a vCPU."""
        keys = vcpu.controls.keys if isinstance(vcpu.controls, Controls) else ()
        return Known(self._known(vcpu), "".join("y" if key in keys else "n" for key in MODES), told)

    def numbers(self, possible: Iterable[Known]) -> tuple[int, int, int]:
        """Return the numbers of table, modes and told things if one of these possibilities holds."""
        tables, modes, told = map(frozenset, zip(*possible, strict=True))
        letters = "".join(
            each.pop() if len(each) == 1 else "u" for each in map(set, zip(*modes, strict=True))
        )
        values = map(set, zip(*told, strict=True))
        agreed_told = Told(*(each.pop() if len(each) == 1 else None for each in values))
        return (
            self._table(tables),
            self.modes.setdefault(letters, len(self.modes)),
            self.told.setdefault(agreed_told, len(self.told)),
        )

    def _number(self, table: Table) -> int:
        return self.tables.setdefault(table, len(self.tables))

    def _known(self, vcpu: VcpuApic) -> int:
        """Return the number of the table of a vCPU about which all is known."""
        if vcpu not in self._of_vcpu:
            places: dict[tuple[Operation, int], list[tuple[str, Outcome]]] = {
                (operation, offset): [] for operation in OPERATIONS for offset in SLOTS
            }
            for row in rows((vcpu,), everything=True):
                places[row.operation, row.register.offset].append((row.value, row.outcome))
            cells = tuple(Cell(tuple(variants)) for variants in places.values())
            self._of_vcpu[vcpu] = self._number(Table(vcpu.state, cells))
        return self._of_vcpu[vcpu]

    def _table(self, numbers: frozenset[int]) -> int:
        """Return the number of the table that several possibilities agree on."""
        if numbers not in self._of_several and len(numbers) > 1:
            every = list(self.tables)
            tables = [every[number] for number in sorted(numbers)]
            cells = tuple(map(_agreed, zip(*(table.cells for table in tables), strict=True)))
            self._of_several[numbers] = self._number(Table(tables[0].state, cells))
        return self._of_several.get(numbers, min(numbers))


def _agreed(cells: tuple[Cell, ...]) -> Cell:
    """Return what the cells of one place in several tables agree on."""
    words = [word for word, _ in cells[0].variants]
    outcomes = zip(*([each for _, each in cell.variants] for cell in cells), strict=True)
    return Cell(tuple(zip(words, (agreed(set(each)) for each in outcomes), strict=True)))
