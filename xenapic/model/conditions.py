"""The form of a rule about createdomain, its inputs, and the conditions that rules share."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace

from xenapic.frozen import dataclass
from xenapic.model.apicbits import ASKED, off_of, on_of
from xenapic.model.config import CreateRequest
from xenapic.model.facts import no
from xenapic.model.flags import CDF, EMU, MISC, PHYSCAP, PHYSCAP_X86
from xenapic.model.guest_types import HVM_EMULATION, PVH_EMULATION
from xenapic.model.host import Host
from xenapic.model.info import PhysInfo, unclaimed_pages
from xenapic.model.proposal import broken

__all__ = ["FIRST", "LEAKED_NUMBER", "LEAKS_NUMBERS", "NEVER", "Rule", "Situation"]

FIRST, NEVER = (4, 15), (9, 9)
LEAKS_NUMBERS = (4, 21)
"""The first release that keeps the number of a create that it refuses early (``domid_alloc``); no fix yet."""
LEAKED_NUMBER = (
    "an earlier create with this number was refused early: Xen 4.21 and 4.22 keep the number of such a "
    "create until the host reboots"
)
HVM_MAX_VCPUS = 128
PV_MAX_VCPUS = 8192
PAGE_BYTES = 4096
VMTRACE_MAX_BYTES = 64 << 20
MAX_NR_ALTP2M = 512
GRANT_VERSION_MASK = 0xF

CAUTION_GRANT_FRAMES = 1024
CAUTION_MAPTRACK_FRAMES = 65536
"""Since 4.18 Xen sets no limit of its own and allocates arrays of the requested sizes late.
Up to these numbers, the arrays take at most 64 KiB (contiguous) and 512 KiB."""

EARLY_PAGES = 2048
LATE_PAGES = 32
SHADOW_POOL_PAGES = 1024
"""Pages that must be free for a create. Xen allocates about 300 early (1100 with shadow paging) and
at most about 20 late, plus the grant arrays. Eight MiB is far above both."""


@dataclass(frozen=True)
class Situation:
    """The inputs of the rules besides the request: the host and the objects that the request names."""

    host: Host
    domid_in_use: bool = False
    cpupool_exists: bool = True
    cpupool_has_cpus: bool = True
    now: PhysInfo | None = None
    """What physinfo says now, where ``host`` was described some time ago."""

    @property
    def physinfo(self) -> PhysInfo:
        """The latest physinfo."""
        return self.now or self.host.physinfo

    def has(self, capability: PHYSCAP) -> bool:
        """Return True if physinfo reports a capability."""
        return capability in self.physinfo.capabilities

    def possibilities(self) -> dict[str, Situation]:
        """Return, for each fact that is not known about the host, the situation with the other answer.

        In this situation itself an unknown capability is absent, the grant limits are Xen's defaults, and
        nested virtualization and alternate p2m tables are available if they are unknown.
        """
        host = self.host
        found = {
            text: replace(self, host=_with_capability(host, capability))
            for capability, text in UNKNOWN_CAPABILITIES.items()
            if capability in host.unknown
        }
        limits = host.grant_limits
        if not (limits.frames_known and limits.maptrack_frames_known):
            frames = limits.frames if limits.frames_known else ANY_NUMBER
            maptrack = limits.maptrack_frames if limits.maptrack_frames_known else ANY_NUMBER
            raised = replace(limits, frames=frames, maptrack_frames=maptrack)
            found[UNKNOWN_LIMITS] = replace(self, host=replace(host, grant_limits=raised))
        if not host.nested_virt.known:
            found[UNKNOWN_NESTED] = replace(self, host=replace(host, nested_virt=no(host.nested_virt.source)))
        if not host.altp2m.known:
            found[UNKNOWN_ALTP2M] = replace(self, host=replace(host, altp2m=no(host.altp2m.source)))
        return found


ANY_NUMBER = (1 << 31) - 1
UNKNOWN_CAPABILITIES = {
    PHYSCAP.directio: "whether Xen uses an IOMMU (VT-d or AMD-Vi in the firmware, Xen's option iommu=)",
    PHYSCAP.shadow: "whether this Xen is built with shadow paging",
    PHYSCAP.vmtrace: "whether Xen offers vmtrace (Intel Processor Trace in VMX operation)",
}
UNKNOWN_LIMITS = "the host's grant limits (gnttab_max_frames= and gnttab_max_maptrack_frames= of Xen)"
UNKNOWN_NESTED = "whether the host offers nested virtualization"
UNKNOWN_ALTP2M = "whether the host offers alternate p2m tables"
"""What may be unknown about a host and decides a rule, in words."""


def _with_capability(host: Host, capability: PHYSCAP) -> Host:
    physinfo = replace(host.physinfo, capabilities=host.physinfo.capabilities | capability)
    return replace(host, physinfo=physinfo)


Test = Callable[[CreateRequest, Situation], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: when a request breaks it, and what to tell the user then."""

    code: str
    field: str
    broken: Test
    rule: str
    remedy: str
    source: str
    errno: int | None = errno.EINVAL
    or_errno: int | None = None
    """The other errno that Xen can answer while a fact about it is unknown."""
    late: bool = False
    since: tuple[int, int] = FIRST
    until: tuple[int, int] = NEVER
    """The first release that no longer has the rule."""
    needs_interface: bool = False
    """Whether the rule exists only together with the per-domain interface (4.17-rc)."""
    needs_bits: bool = False
    """Whether the rule exists only in a Xen with the proposed interface, which no release has."""
    pages: Callable[[CreateRequest, Situation], int] | None = None
    """How many pages must be free, for a rule about that: the only rules whose answer changes from one moment
    to the next."""


HVM, HAP, WITH_IOMMU, NESTED = int(CDF.hvm), int(CDF.hap), int(CDF.iommu), int(CDF.nested_virt)
"""As plain numbers: an operation with an `enum.IntFlag` costs as much as the rest of a rule."""


def is_hvm(r: CreateRequest) -> bool:
    return bool(r.flags & HVM)


def has_hap(r: CreateRequest) -> bool:
    return bool(r.flags & HAP)


def has_iommu(r: CreateRequest) -> bool:
    return bool(r.flags & WITH_IOMMU)


def is_nested(r: CreateRequest) -> bool:
    return bool(r.flags & NESTED)


def has_altp2m(r: CreateRequest) -> bool:
    return bool(r.altp2m & 3)


def emulation_ok(r: CreateRequest, pirq_optional: bool) -> bool:
    """Return the answer of ``emulation_flags_ok`` (``xen/arch/x86/domain.c``) for a domU."""
    if not is_hvm(r):
        return r.emulation_flags in (0, EMU.PIT)
    hvm = {int(HVM_EMULATION)}
    if pirq_optional:
        hvm.add(int(HVM_EMULATION) & ~int(EMU.USE_PIRQ))
    return r.emulation_flags == PVH_EMULATION or r.emulation_flags in hvm


def grant_version(r: CreateRequest) -> int:
    return r.grant_opts & GRANT_VERSION_MASK


def highest_grant_version(s: Situation) -> int:
    return 2 if s.has(PHYSCAP.gnttab_v2) else 1 if s.has(PHYSCAP.gnttab_v1) else 0


def frames(r: CreateRequest, s: Situation) -> tuple[int, int]:
    """Return the grant and maptrack frames that Xen will use; a negative number means the host's default."""
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
    return unclaimed_pages(s.physinfo)


def undecided(r: CreateRequest, s: Situation) -> bool:
    """Return True if the answer depends on the per-domain interface and it is unknown whether Xen has it."""
    assisted = int(MISC.ASSISTED_XAPIC | MISC.ASSISTED_X2APIC)
    known = int(MISC.MSR_RELAXED) | assisted
    return (
        not s.host.interface.known
        and is_hvm(r)
        and bool(r.misc_flags & assisted)
        and not r.misc_flags & ~known
    )


def unknown_flags(r: CreateRequest, s: Situation) -> bool:
    return bool(r.flags & ~int(s.host.release.flags))


def unknown_misc_flags(r: CreateRequest, s: Situation) -> bool:
    known = int(s.host.release.misc_flags) | (ASKED if s.host.per_control else 0)
    return bool(r.misc_flags & ~known) and not undecided(r, s)


def breaks_bits(code: str) -> Test:
    """Return the condition of one of the proposal's rules."""

    def test(r: CreateRequest, s: Situation) -> bool:
        offer = s.host.offer
        if offer is None or not r.misc_flags & ASKED:
            return False
        on, off = on_of(r.misc_flags), off_of(r.misc_flags)
        rules = broken(offer.available, on, off, hvm=is_hvm(r), nested=is_nested(r))
        return any(row.code == code for row in rules)

    return test


def lacks_assistance(r: CreateRequest, s: Situation) -> bool:
    word = s.physinfo.arch_capabilities or PHYSCAP_X86(0)
    wanted = r.misc_flags >> 1 & 3
    return bool(wanted & ~int(word))
