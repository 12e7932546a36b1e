"""``xenapic/machines``: the emulated machines of the lab."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from xenapic.lab.machines import Machine

__all__ = ["MachineList"]


@dataclass(frozen=True, slots=True)
class MachineList:
    """The emulated machines of the lab."""

    SCHEMA: ClassVar[str] = "xenapic/machines/1"

    machines: tuple[Machine, ...]

    @classmethod
    def of(cls, machines: Iterable[Machine]) -> MachineList:
        """Return the list of machines."""
        return cls(tuple(machines))
