"""The input of ``XEN_DOMCTL_createdomain``: the config that people write and the request that Xen gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from operator import index
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID

from xenapic.errors import ConfigInvalid
from xenapic.frozen import dataclass
from xenapic.model.flags import ALTP2M, CDF, EMU, IOMMU, MISC
from xenapic.model.guest_types import HVM_EMULATION, PVH_EMULATION, GuestType, guest_type

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in typing itself since 3.11; only type checkers need it

__all__ = ["ConfigFields", "CreateRequest", "DomainConfig"]

U32 = range(1 << 32)
S32 = range(-(1 << 31), 1 << 31)
U16 = range(1 << 16)
LAST_DOMID = 0x7FEF
"""``DOMID_FIRST_RESERVED`` - 1."""
UNLIMITED = 0xFFFFFFFF


class ConfigFields(TypedDict, total=False):
    """The fields of `DomainConfig` by name, for type checkers."""

    flags: CDF
    max_vcpus: int
    max_evtchn_port: int
    max_grant_frames: int
    max_maptrack_frames: int
    grant_opts: int | None
    iommu_opts: IOMMU
    vmtrace_size: int
    cpupool_id: int
    altp2m: ALTP2M | int
    altp2m_nr: int
    emulation_flags: EMU
    misc_flags: MISC
    ssidref: int
    handle: UUID | None
    domid: int


@dataclass(frozen=True, kw_only=True)
class DomainConfig:
    """A domain to create. Start from `pvh`, `hvm` or `pv`, which accept every field by name.

    Each field of ``struct xen_domctl_createdomain`` (``xen/include/public/domctl.h``) is here under
    its own name; the arch part is flattened. A field that the running release lacks must keep its
    default. Any integer type fits a number field and becomes the field's own type.

    Raises `ConfigInvalid` for a value that does not fit its field.
    """

    flags: CDF = CDF(0)
    max_vcpus: int = 1
    """The number of vCPUs the domain may have: 1 to 128 for HVM types, 1 to 8192 for PV."""
    max_evtchn_port: int = UNLIMITED
    """The highest event channel port; 0xffffffff for no limit."""
    max_grant_frames: int = -1
    """Size limit of the grant table in frames of 4 KiB; -1 for the host's default."""
    max_maptrack_frames: int = -1
    """Size limit of the grant mapping table in frames of 4 KiB; -1 for the host's default."""
    grant_opts: int | None = None
    """The highest grant table version, in the low four bits. None means version 1."""
    iommu_opts: IOMMU = IOMMU(0)
    vmtrace_size: int = 0
    """The size of the processor trace buffer per vCPU: 0, or a power of two from 4096 bytes to 64 MiB."""
    cpupool_id: int = 0
    """The number of a CPU pool."""
    altp2m: ALTP2M | int = ALTP2M.disabled
    """The mode of alternate p2m tables."""
    altp2m_nr: int = 0
    """The number of alternate p2m tables; must be 0 while altp2m is disabled."""
    emulation_flags: EMU = EMU(0)
    misc_flags: MISC = MISC(0)
    """Bits to set. On 4.17-rc the policy's plan, or without a policy the host's default, adds the assisted
    flags. Choose those with a `Policy`; an assisted flag here that the policy leaves out is refused."""
    ssidref: int = 0
    """The XSM security label."""
    handle: UUID | None = None
    """The UUID that the domain gets once it is handed over (`Domain.release`); None for xenapic's mark."""
    domid: int = 0
    """The number of the new domain; 0 for any free number."""

    def __post_init__(self) -> None:
        for name, (room, kind) in FIELDS.items():
            value = getattr(self, name)
            if not (name == "grant_opts" and value is None):
                object.__setattr__(self, name, _exact(name, value, room, kind))
        if self.handle is not None and not isinstance(self.handle, UUID):
            raise ConfigInvalid(f"handle must be a uuid.UUID, not {self.handle!r}")

    @classmethod
    def pvh(cls, **fields: Unpack[ConfigFields]) -> DomainConfig:
        """Return a PVH config: hardware-virtualised, hardware-assisted paging, only a local APIC emulated."""
        return _made({"flags": CDF.hvm | CDF.hap, "emulation_flags": PVH_EMULATION}, fields)

    @classmethod
    def hvm(cls, **fields: Unpack[ConfigFields]) -> DomainConfig:
        """Return an HVM config: like PVH, but with the complete emulated PC."""
        return _made({"flags": CDF.hvm | CDF.hap, "emulation_flags": HVM_EMULATION}, fields)

    @classmethod
    def pv(cls, **fields: Unpack[ConfigFields]) -> DomainConfig:
        """Return a PV config."""
        return _made({}, fields)

    @property
    def is_hvm(self) -> bool:
        """Whether this is an HVM-type domain (HVM or PVH)."""
        return CDF.hvm in self.flags

    @property
    def guest_type(self) -> GuestType:
        """The kind of guest that the config creates."""
        return guest_type(hvm=self.is_hvm, emulation_flags=self.emulation_flags)

    def replace(self, **fields: Unpack[ConfigFields]) -> DomainConfig:
        """Return a copy with some fields changed."""
        return _made({name: getattr(self, name) for name in NAMES}, fields)


NAMES = tuple(field.name for field in fields(DomainConfig))

FIELDS: dict[str, tuple[range, type[int]]] = {
    "flags": (U32, CDF),
    "max_vcpus": (U32, int),
    "max_evtchn_port": (U32, int),
    "max_grant_frames": (S32, int),
    "max_maptrack_frames": (S32, int),
    "grant_opts": (U32, int),
    "iommu_opts": (U32, IOMMU),
    "vmtrace_size": (U32, int),
    "cpupool_id": (U32, int),
    "altp2m": (U16, ALTP2M),
    "altp2m_nr": (U16, int),
    "emulation_flags": (U32, EMU),
    "misc_flags": (U32, MISC),
    "ssidref": (U32, int),
    "domid": (range(LAST_DOMID + 1), int),
}
"""The range and the type of each number field (``xen/include/public/domctl.h``)."""


def _exact(name: str, value: object, room: range, kind: type[int]) -> int:
    """Return a field's value in the field's own type; raise `ConfigInvalid` if it does not fit.

    Anything with ``__index__`` is a number here (numpy's integers are), except a bool and a member of
    another enumeration, which are mistakes.
    """
    expected = "a whole number" if kind is int else f"{kind.__name__} or a whole number"
    of_another_kind = isinstance(value, Enum) and (kind is int or not isinstance(value, kind))
    if isinstance(value, bool) or of_another_kind:
        raise ConfigInvalid(f"{name} must be {expected}, not {value!r}")
    try:
        number = index(value)  # type: ignore[arg-type]  # the call finds out
    except TypeError:
        raise ConfigInvalid(f"{name} must be {expected}, not {value!r}") from None
    if number not in room:
        raise ConfigInvalid(f"{name}={number} does not fit: {room.start} to {room.stop - 1}")
    if kind is ALTP2M and number not in ALTP2M.__members__.values():
        return number  # the rules refuse it, by release
    return kind(number)


def _made(start: Mapping[str, object], changed: Mapping[str, object]) -> DomainConfig:
    """Return a config with these fields; raise `ConfigInvalid` for a name that is not a field."""
    for name in changed:
        if name not in NAMES:
            from difflib import get_close_matches  # only an error needs it

            near = get_close_matches(name, NAMES, 1)
            hint = f"did you mean {near[0]}?" if near else f"its fields are {', '.join(NAMES)}"
            raise ConfigInvalid(f"DomainConfig has no field {name}; {hint}")
    values: dict[str, Any] = {**start, **changed}
    return DomainConfig(**values)


@dataclass(frozen=True, kw_only=True, slots=True)
class CreateRequest:
    """The exact numbers for ``struct xen_domctl_createdomain``; fields that the release lacks are 0."""

    ssidref: int = 0
    flags: int = 0
    iommu_opts: int = 0
    max_vcpus: int = 1
    max_evtchn_port: int = UNLIMITED
    max_grant_frames: int = -1
    max_maptrack_frames: int = -1
    grant_opts: int = 1
    altp2m: int = 0
    altp2m_nr: int = 0
    vmtrace_size: int = 0
    cpupool_id: int = 0
    emulation_flags: int = 0
    misc_flags: int = 0
    domid: int = 0
