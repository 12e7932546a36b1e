"""What becomes of a domain's configuration on a host: part of ``xenapic/plan`` and ``xenapic/create``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xenapic.documents.domains import ProblemEntry
from xenapic.errors import ToolstackRefused
from xenapic.frozen import dataclass
from xenapic.model.guest_types import GuestType
from xenapic.toolstack.kinds import Evidence, Syntax

if TYPE_CHECKING:
    from xenapic.toolstack.check import FileCheck
    from xenapic.toolstack.request import DerivedRequest

__all__ = ["FileCheckEntry", "RequestEntry", "ToolstackRefusalEntry"]


@dataclass(frozen=True, slots=True)
class RequestEntry:
    """The create request that a toolstack sends for a configuration."""

    release: str
    evidence: Evidence
    """Whether this release's real xl was run and recorded, or its source was read."""
    syntax: Syntax
    guest_type: GuestType
    fields: Mapping[str, int]
    """The fields of createdomain that the release has, by libxenctrl's names."""
    more: tuple[Mapping[str, int], ...]
    """The requests that follow once the guest is built: its stub domain's."""

    @classmethod
    def of(cls, derived: DerivedRequest) -> RequestEntry:
        """Return the entry of a request."""
        return cls(
            derived.release.name,
            derived.evidence,
            derived.syntax,
            derived.guest_type,
            derived.fields,
            derived.more,
        )


@dataclass(frozen=True, slots=True)
class ToolstackRefusalEntry:
    """Why a toolstack sends no request."""

    message: str
    """What the toolstack prints; empty for nothing."""
    tool: str
    status: int
    """The toolstack's exit status."""
    keys: tuple[str, ...]
    """The keys of the configuration that it stems from."""
    because: str
    source: str
    """Where the rule is in the toolstack's source."""

    @classmethod
    def of(cls, error: ToolstackRefused) -> ToolstackRefusalEntry:
        """Return the entry of a refusal."""
        return cls(error.message, error.tool, error.status, error.keys, error.because, error.source)


@dataclass(frozen=True, slots=True)
class FileCheckEntry:
    """What becomes of a configuration on one host."""

    possible: bool
    """Whether nothing that was checked forbids the domain."""
    request: RequestEntry | None
    """Null when the toolstack refuses the configuration, or is not modelled."""
    refused: ToolstackRefusalEntry | None
    problems: tuple[ProblemEntry, ...]
    """Rules of Xen that the request breaks."""
    cautions: tuple[ProblemEntry, ...]
    """What Xen may accept or refuse late."""
    depends: tuple[str, ...]
    """What decides, and is not known about the host."""
    notes: tuple[str, ...]
    not_considered: tuple[str, ...]
    """Keys of the configuration that were not looked at."""

    @classmethod
    def of(cls, check: FileCheck) -> FileCheckEntry:
        """Return the entry of a check."""
        derived = check.derived
        return cls(
            possible=check.possible,
            request=None if derived is None else RequestEntry.of(derived),
            refused=None if check.refused is None else ToolstackRefusalEntry.of(check.refused),
            problems=tuple(map(ProblemEntry.of, check.problems)),
            cautions=tuple(map(ProblemEntry.of, check.cautions)),
            depends=check.depends,
            notes=check.notes,
            not_considered=() if derived is None else derived.not_considered,
        )
