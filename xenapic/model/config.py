"""What is asked of ``XEN_DOMCTL_createdomain``: the config people write, the request Xen gets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from xenapic.errors import ConfigInvalid
from xenapic.model.flags import ALTP2M, CDF, EMU, IOMMU, MISC
from xenapic.model.guest_types import HVM_EMULATION, PVH_EMULATION, GuestType, guest_type

__all__ = ["CreateRequest", "DomainConfig"]

U32 = range(1 << 32)
S32 = range(-(1 << 31), 1 << 31)
U16 = range(1 << 16)
LAST_DOMID = 0x7FEF
"""``DOMID_FIRST_RESERVED`` - 1."""
UNLIMITED = 0xFFFFFFFF


@dataclass(frozen=True, kw_only=True)
class DomainConfig:
    """A domain to create. Start from `pvh`, `hvm` or `pv`, each of which takes any field by name.

    Every field of ``struct xen_domctl_createdomain`` is here under its own name
    (``xen/include/public/domctl.h``), the arch part flattened. A field that the
    running release does not have must keep its default.

    Raises `ConfigInvalid` for a value that does not fit its field.
    """

    flags: CDF = CDF(0)
    max_vcpus: int = 1
    """vCPUs the domain may have; Xen takes 1 to 128 for HVM types, to 8192 for PV."""
    max_evtchn_port: int = UNLIMITED
    """Highest event channel port; 0xffffffff for no limit of its own."""
    max_grant_frames: int = -1
    """Size limit of the grant table in frames of 4 KiB; -1 for the host's default."""
    max_maptrack_frames: int = -1
    """Size limit of the grant mapping table in frames of 4 KiB; -1 for the host's default."""
    grant_opts: int | None = None
    """Low four bits: highest grant table version. None: version 1 where that can be said. Since 4.16."""
    iommu_opts: IOMMU = IOMMU(0)
    vmtrace_size: int = 0
    """Bytes of processor trace per vCPU: 0, or a power of two from 4096 to 64 MiB."""
    cpupool_id: int = 0
    """CPU pool. Since 4.17."""
    altp2m: ALTP2M | int = ALTP2M.disabled
    """Alternate p2m mode. Since 4.19."""
    altp2m_nr: int = 0
    """Number of alternate p2m tables, 0 for Xen's own. Since 4.21."""
    emulation_flags: EMU = EMU(0)
    misc_flags: MISC = MISC(0)
    """Sent as it is, with what the two ``assisted`` fields add."""
    ssidref: int = 0
    """XSM security label."""
    handle: UUID | None = None
    """UUID the domain gets when it is handed over (`Domain.release`); None lets xenapic mark it."""
    domid: int = 0
    """Number to take; 0 for any free one."""
    assisted_xapic: bool | None = None
    """Virtualize APIC accesses: True, False, or None for the host's default. A choice only 4.17-rc has."""
    assisted_x2apic: bool | None = None
    """Virtualize x2APIC mode: True, False, or None for the host's default. A choice only 4.17-rc has."""

    def __post_init__(self) -> None:
        for name, room in FIELD_RANGE.items():
            value = getattr(self, name)
            if value is None and name == "grant_opts":
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise ConfigInvalid(f"{name} must be a whole number, not {value!r}")
            if value not in room:
                raise ConfigInvalid(f"{name}={value} does not fit: {room.start} to {room.stop - 1}")
        for name in ("assisted_xapic", "assisted_x2apic"):
            if getattr(self, name) not in (True, False, None):
                raise ConfigInvalid(f"{name} must be True, False or None, not {getattr(self, name)!r}")
        if self.handle is not None and not isinstance(self.handle, UUID):
            raise ConfigInvalid(f"handle must be a uuid.UUID, not {self.handle!r}")

    @classmethod
    def pvh(cls, **fields: Any) -> DomainConfig:
        """Return a PVH config: hardware-virtualised, hardware-assisted paging, only a local APIC emulated."""
        return cls(**{"flags": CDF.hvm | CDF.hap, "emulation_flags": PVH_EMULATION, **fields})

    @classmethod
    def hvm(cls, **fields: Any) -> DomainConfig:
        """Return an HVM config: as PVH, with the whole emulated platform."""
        return cls(**{"flags": CDF.hvm | CDF.hap, "emulation_flags": HVM_EMULATION, **fields})

    @classmethod
    def pv(cls, **fields: Any) -> DomainConfig:
        """Return a PV config."""
        return cls(**fields)

    @property
    def is_hvm(self) -> bool:
        """Whether this is an HVM-type domain (HVM or PVH)."""
        return CDF.hvm in self.flags

    @property
    def guest_type(self) -> GuestType:
        """The kind of guest that the config makes."""
        return guest_type(hvm=self.is_hvm, emulation_flags=self.emulation_flags)

    def replace(self, **fields: Any) -> DomainConfig:
        """Return a copy with some fields changed."""
        return replace(self, **fields)


FIELD_RANGE = {
    "flags": U32,
    "max_vcpus": U32,
    "max_evtchn_port": U32,
    "max_grant_frames": S32,
    "max_maptrack_frames": S32,
    "grant_opts": U32,
    "iommu_opts": U32,
    "vmtrace_size": U32,
    "cpupool_id": U32,
    "altp2m": U16,
    "altp2m_nr": U16,
    "emulation_flags": U32,
    "misc_flags": U32,
    "ssidref": U32,
    "domid": range(LAST_DOMID + 1),
}
"""What each field can hold (``xen/include/public/domctl.h``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CreateRequest:
    """The exact numbers that go into ``struct xen_domctl_createdomain``; fields the release lacks are 0."""

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
