"""``xenapic/list``, ``xenapic/create``, ``xenapic/destroy``: domains, and their creation and end."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, IntFlag
from typing import ClassVar, Literal
from uuid import UUID

from xenapic.errors import CallFailed, Problem
from xenapic.frozen import dataclass
from xenapic.model.guest_types import GuestType
from xenapic.model.info import DomainInfo
from xenapic.model.owner import OwnerState
from xenapic.parse.flagnames import names

__all__ = [
    "GUEST_NAMES",
    "DestroyReport",
    "DomainEntry",
    "DomainList",
    "FailureEntry",
    "GuestName",
    "OwnerEntry",
    "ProblemEntry",
]

GuestName = Literal["PV", "PVH", "HVM"]
GUEST_NAMES: dict[GuestType, GuestName] = {
    GuestType.PV: "PV",
    GuestType.PVH: "PVH",
    GuestType.HVM: "HVM",
}


@dataclass(frozen=True, slots=True)
class OwnerEntry:
    """The process that created a domain."""

    state: OwnerState
    pid: int | None

    @classmethod
    def of(cls, info: DomainInfo) -> OwnerEntry | None:
        """Return the current owner of a domain; None when xenapic did not create the domain."""
        owner = info.owner
        if owner is None:
            return None
        from xenapic.live.owners import owner_state  # most documents have no owner

        return cls(owner_state(owner), owner.pid or None)


@dataclass(frozen=True, slots=True)
class DomainEntry:
    """One domain."""

    domid: int
    type: GuestName
    flags: tuple[str, ...]
    shutdown_reason: str | int | None
    """Xen's name for the reason, or its number if it has no name; null while the domain has not shut down."""
    memory_kib: int
    vcpus: int
    """Number of vCPUs that are online."""
    cpu_time_ns: int
    cpupool: int
    handle: UUID
    emulation_flags: tuple[str, ...]
    misc_flags: tuple[str, ...]
    owner: OwnerEntry | None
    """Null when xenapic did not create the domain."""

    @classmethod
    def of(cls, info: DomainInfo) -> DomainEntry:
        """Return the entry of a domain."""
        reason = info.shutdown_reason
        return cls(
            domid=info.domid,
            type=GUEST_NAMES[info.guest_type],
            flags=tuple(names(info.flags)),
            shutdown_reason=reason.name if isinstance(reason, Enum) else reason,
            memory_kib=info.memory_kib,
            vcpus=info.nr_online_vcpus,
            cpu_time_ns=info.cpu_time,
            cpupool=info.cpupool,
            handle=info.handle,
            emulation_flags=tuple(names(info.emulation_flags)),
            misc_flags=tuple(names(info.misc_flags)),
            owner=OwnerEntry.of(info),
        )


@dataclass(frozen=True, slots=True)
class DomainList:
    """The domains that one hypercall returned."""

    SCHEMA: ClassVar[str] = "xenapic/list/1"

    domains: tuple[DomainEntry, ...]

    @classmethod
    def of(cls, domains: Iterable[DomainInfo]) -> DomainList:
        """Return the list of domains."""
        return cls(tuple(map(DomainEntry.of, domains)))


@dataclass(frozen=True, slots=True)
class ProblemEntry:
    """One reason why a domain cannot be created as asked."""

    code: str
    """Stable, for programs."""
    field: str
    value: object
    """The field's value; for a flag word an object with its value and names."""
    rule: str
    remedy: str
    errno: int | None
    """What Xen would answer; null when only xenapic refuses it."""
    late: bool
    """Whether Xen would notice only after it has changed its own state, which can take the host down."""
    source: str
    """Where Xen's source has the rule, or where the fact comes from."""
    or_errno: int | None = None
    """What Xen would answer instead if a fact that is unknown turns out differently; null for one answer."""

    @classmethod
    def of(cls, problem: Problem) -> ProblemEntry:
        """Return the entry of a problem."""
        return cls(
            problem.code,
            problem.field,
            _plain(problem.value),
            problem.rule,
            problem.remedy,
            problem.errno,
            problem.late,
            problem.source,
            problem.or_errno,
        )


def _plain(value: object) -> object:
    """Return the value of a config's field in JSON's types."""
    if isinstance(value, IntFlag):
        return {"value": int(value), "names": names(value)}
    if isinstance(value, Enum):
        return value.name
    return str(value) if isinstance(value, UUID) else value


@dataclass(frozen=True, slots=True)
class FailureEntry:
    """A domain that could not be destroyed."""

    domid: int
    code: str
    """Of the error; stable, for programs."""
    message: str

    @classmethod
    def of(cls, domid: int, error: CallFailed) -> FailureEntry:
        """Return the entry of an error."""
        return cls(domid, error.code, str(error))


@dataclass(frozen=True, slots=True)
class DestroyReport:
    """The domains that were destroyed, and those that could not be."""

    SCHEMA: ClassVar[str] = "xenapic/destroy/1"

    destroyed: tuple[int, ...]
    failed: tuple[FailureEntry, ...]
