"""What a rule about createdomain is, what it is asked against, and the conditions that rules share."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from xenapic.model.config import CreateRequest
from xenapic.model.flags import CDF, EMU, PHYSCAP, PHYSCAP_X86
from xenapic.model.guest_types import HVM_EMULATION, PVH_EMULATION
from xenapic.model.host import Host

__all__ = ["FIRST", "NEVER", "Rule", "Situation"]

FIRST, NEVER = (4, 15), (9, 9)
HVM_MAX_VCPUS = 128
PV_MAX_VCPUS = 8192
PAGE_BYTES = 4096
VMTRACE_MAX_BYTES = 64 << 20
MAX_NR_ALTP2M = 512
GRANT_VERSION_MASK = 0xF

CAUTION_GRANT_FRAMES = 1024
CAUTION_MAPTRACK_FRAMES = 65536
"""Since 4.18 Xen sets no bound of its own: the arrays that these sizes ask for are then
allocated late. Up to here they are at most 64 KiB (contiguous) and 512 KiB."""

EARLY_PAGES = 2048
LATE_PAGES = 32
SHADOW_POOL_PAGES = 1024
"""Pages that must be free for a create: Xen takes some 300 early (1100 with shadow paging),
at most some 20 late plus the grant arrays. Eight MiB is far above both."""


@dataclass(frozen=True)
class Situation:
    """What the rules are asked against: the host, and what stands in the way of this one request."""

    host: Host
    domid_in_use: bool = False
    cpupool_exists: bool = True
    cpupool_has_cpus: bool = True

    def has(self, capability: PHYSCAP) -> bool:
        """Tell whether physinfo reports a capability."""
        return capability in self.host.physinfo.capabilities


Test = Callable[[CreateRequest, Situation], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """A row: when a request breaks it, and what to say then."""

    code: str
    field: str
    broken: Test
    rule: str
    remedy: str
    source: str
    errno: int | None = errno.EINVAL
    late: bool = False
    since: tuple[int, int] = FIRST
    until: tuple[int, int] = NEVER
    """First release that no longer has the rule."""
    needs_interface: bool = False
    """Holds only where the per-domain interface is (4.17-rc)."""


def is_hvm(r: CreateRequest) -> bool:
    return bool(r.flags & CDF.hvm)


def has_hap(r: CreateRequest) -> bool:
    return bool(r.flags & CDF.hap)


def has_iommu(r: CreateRequest) -> bool:
    return bool(r.flags & CDF.iommu)


def is_nested(r: CreateRequest) -> bool:
    return bool(r.flags & CDF.nested_virt)


def has_altp2m(r: CreateRequest) -> bool:
    return bool(r.altp2m & 3)


def emulation_ok(r: CreateRequest, pirq_optional: bool) -> bool:
    """``emulation_flags_ok`` (``xen/arch/x86/domain.c``) for a domU."""
    if not is_hvm(r):
        return r.emulation_flags in (0, EMU.PIT)
    whole = {int(HVM_EMULATION)}
    if pirq_optional:
        whole.add(int(HVM_EMULATION) & ~int(EMU.USE_PIRQ))
    return r.emulation_flags == PVH_EMULATION or r.emulation_flags in whole


def grant_version(r: CreateRequest) -> int:
    return r.grant_opts & GRANT_VERSION_MASK


def highest_grant_version(s: Situation) -> int:
    return 2 if s.has(PHYSCAP.gnttab_v2) else 1 if s.has(PHYSCAP.gnttab_v1) else 0


def frames(r: CreateRequest, s: Situation) -> tuple[int, int]:
    """Return grant and maptrack frames as Xen will take them: negative means the host's default."""
    limits = s.host.grant_limits
    grant = limits.frames if r.max_grant_frames < 0 else r.max_grant_frames
    maptrack = limits.maptrack_frames if r.max_maptrack_frames < 0 else r.max_maptrack_frames
    return grant, maptrack


def pages_needed(r: CreateRequest, s: Situation) -> int:
    grant, maptrack = frames(r, s)
    arrays = grant * (64 + 16) + maptrack * 8
    shadow = SHADOW_POOL_PAGES if is_hvm(r) and not has_hap(r) else 0
    return EARLY_PAGES + LATE_PAGES + shadow + arrays // PAGE_BYTES


def free_pages(s: Situation) -> int:
    return s.host.physinfo.free_pages - s.host.physinfo.outstanding_pages


def unknown_flags(r: CreateRequest, s: Situation) -> bool:
    return bool(r.flags & ~int(s.host.release.flags))


def lacks_assistance(r: CreateRequest, s: Situation) -> bool:
    word = s.host.physinfo.arch_capabilities or PHYSCAP_X86(0)
    wanted = r.misc_flags >> 1 & 3
    return bool(wanted & ~int(word))
