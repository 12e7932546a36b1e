"""Tables of accesses to the APIC's registers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from xenapic.cli import output

if TYPE_CHECKING:
    from xenapic.policy.outlook import AccessRow

__all__ = ["operation", "place", "show_accesses"]


def show_accesses(rows: Iterable[AccessRow]) -> None:
    """Print a table of accesses."""
    output.table(
        ("offset", "MSR", "register", "", "what happens"),
        [(*place(row), operation(row), row.outcome) for row in rows],
    )


def place(row: AccessRow) -> tuple[str, str, str]:
    """Return offset, MSR and name of the register."""
    return f"{row.register.offset:03x}", f"{row.register.msr:x}", row.register.name


def operation(row: AccessRow) -> str:
    """Return the operation, and which values it writes."""
    return f"{row.operation.value}, {row.value}" if row.value else row.operation.value
