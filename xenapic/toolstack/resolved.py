"""What is wanted with libxl's defaults, which depend on the host; nothing is refused here."""

from __future__ import annotations

from xenapic.model.flags import PHYSCAP
from xenapic.model.guest_types import GuestType
from xenapic.model.releases import XenRelease
from xenapic.toolstack.wanted import ULONG_MAX, HostFacts, Wanted, unsigned32

__all__ = ["MIB", "Resolved"]

MIB = 1024
VIDEO_MIB = {None: 8, "cirrus": 8, "stdvga": 16, "qxl": 128}
"""The least video memory of qemu-xen in MiB."""


class Resolved:
    """What is wanted, with libxl's defaults; computed once."""

    def __init__(self, wanted: Wanted, host: HostFacts, release: XenRelease) -> None:
        self.wanted, self.host, self.release = wanted, host, release
        self.pv = wanted.type is GuestType.PV
        self.hvm = wanted.type is GuestType.HVM
        self.hap = self.has(PHYSCAP.hap) if wanted.hap is None else wanted.hap
        self.pool = _pool(wanted.pool, host)
        start = wanted.passthrough
        self.passthrough = ("enabled" if wanted.devices else "disabled") if start == "default" else start
        self.shared_not = self._why_not_shared()
        self.altp2m_hvm = self.hvm and bool(wanted.altp2m_hvm)
        self.altp2m = wanted.altp2m or int(self.altp2m_hvm and release.has_field("altp2m"))
        self.populate_on_demand = not self.pv and wanted.memory_kib < wanted.max_memory_kib
        self.device_model = wanted.device_model or self._device_model()
        self.bios = wanted.bios or ("seabios" if self.device_model == "qemu-xen" else "rombios")

    def has(self, capability: PHYSCAP) -> bool:
        """Return True if physinfo has a capability."""
        return bool(self.host.capabilities & capability)

    def _why_not_shared(self) -> str:
        if self.pv:
            return "not valid for PV domain"
        if not self.has(PHYSCAP.iommu_hap_pt_share):
            return "not supported on this platform"
        return "" if self.hap else "only valid for HAP guests"

    def _device_model(self) -> str:
        old = self.hvm and bool(self.wanted.stubdomain) and self.release.number < (4, 21)
        return "qemu-xen-traditional" if old else "qemu-xen"

    @property
    def page_tables(self) -> str:
        """How an IOMMU is used: ``disabled``, ``sync_pt`` or ``share_pt``."""
        if self.passthrough == "enabled":
            return "sync_pt" if self.shared_not else "share_pt"
        return self.passthrough

    @property
    def grant_version(self) -> int:
        """The highest version of the grant table."""
        if self.wanted.max_grant_version != -1:
            return self.wanted.max_grant_version
        return 2 if self.has(PHYSCAP.gnttab_v2) else 1 if self.has(PHYSCAP.gnttab_v1) else 0

    @property
    def wants_altp2m(self) -> bool:
        """Whether libxl's own rules see alternate p2m tables."""
        return not self.pv and (self.altp2m_hvm or self.wanted.altp2m != 0)

    @property
    def least_video_kib(self) -> int:
        """The video memory that the device model needs."""
        if self.device_model == "qemu-xen-traditional":
            return 8 * MIB if self.wanted.vga == "stdvga" else 0
        return VIDEO_MIB.get(self.wanted.vga, 0) * MIB


def _pool(pool: str | None, host: HostFacts) -> int | None:
    """Return the number of a CPU pool given by name or number; None when there is no such pool."""
    if pool is None:
        return 0 if 0 in host.pools.values() else None
    if pool.isascii() and pool.isdigit():
        number = unsigned32(min(int(pool[-40:]), ULONG_MAX))
        return number if number in host.pools.values() else None
    return host.pools.get(pool)
