"""``xenapic/create``: a domain that was created or checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from xenapic.documents.domains import ProblemEntry
from xenapic.documents.file_checks import FileCheckEntry, RequestEntry
from xenapic.errors import Problem
from xenapic.frozen import dataclass
from xenapic.toolstack.check import FileCheck

__all__ = ["CreateReport"]


@dataclass(frozen=True, slots=True)
class CreateReport:
    """A domain that was created, or every reason why it cannot be."""

    SCHEMA: ClassVar[str] = "xenapic/create/1"

    domid: int | None
    """Null when nothing was created."""
    problems: tuple[ProblemEntry, ...]
    depends: tuple[str, ...] = ()
    """What decides, and is not known about the host."""
    request: RequestEntry | None = None
    """What the toolstack sends to Xen for the domain's configuration; null without one."""
    check: FileCheckEntry | None = None
    """What becomes of the domain's configuration; null without one."""

    @classmethod
    def of(
        cls,
        domid: int | None,
        problems: Iterable[Problem] = (),
        depends: Iterable[object] = (),
        check: FileCheck | None = None,
    ) -> CreateReport:
        """Return the report of an attempt."""
        entry = None if check is None else FileCheckEntry.of(check)
        return cls(
            domid,
            tuple(map(ProblemEntry.of, problems)),
            tuple(map(str, depends)),
            None if entry is None else entry.request,
            entry,
        )
