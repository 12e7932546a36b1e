"""``xenapic/machines``: the emulated machines of the lab."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import ClassVar

from xenapic.frozen import dataclass
from xenapic.lab.catalog import LabXen
from xenapic.lab.machines import Machine
from xenapic.lab.xens import Release

__all__ = ["MachineList"]


@dataclass(frozen=True, slots=True)
class TakenFile:
    """A file that was copied into the lab."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class LabXenEntry:
    """A Xen that the lab can boot."""

    name: str
    """The name that ``--xen`` takes."""
    xen: str
    """Its version, as far as its files say it."""
    origin: str
    """``Debian`` and the release for packages, ``added`` for a Xen that somebody brought."""
    changeset: str = ""
    debug: bool | None = None
    """Whether it is a debug build; null when its files do not say."""
    root: str = ""
    """The Debian release whose root and kernel dom0 has."""
    options: tuple[str, ...] = ()
    """Xen options that every boot of it gets."""
    made: str = ""
    """When it was added, in UTC."""
    taken: Mapping[str, TakenFile] = field(default_factory=dict)

    @classmethod
    def of(cls, xen: LabXen) -> LabXenEntry:
        """Return the entry of a Xen."""
        if isinstance(xen, Release):
            return cls(xen.version, xen.version, f"Debian {xen.suite}", root=xen.suite)
        return cls(
            xen.version,
            xen.xen,
            "added",
            xen.changeset,
            xen.debug,
            xen.root,
            xen.options,
            xen.made,
            {what: TakenFile(file["path"], file["sha256"]) for what, file in xen.taken.items()},
        )


@dataclass(frozen=True, slots=True)
class MachineList:
    """The emulated machines of the lab, and the Xens that boot on them."""

    SCHEMA: ClassVar[str] = "xenapic/machines/1"

    machines: tuple[Machine, ...]
    xens: tuple[LabXenEntry, ...]

    @classmethod
    def of(cls, machines: Iterable[Machine], xens: Iterable[LabXenEntry]) -> MachineList:
        """Return the list of machines and Xens."""
        return cls(tuple(machines), tuple(xens))
