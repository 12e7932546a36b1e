"""libxl: from what is wanted to the create request.

Follows ``libxl__domain_make`` (``tools/libs/light/libxl_create.c``), ``libxl__spawn_stub_dm``
(``libxl_dm.c``) and ``libxl__arch_domain_prepare_config`` (``libxl_x86.c``).
"""

from __future__ import annotations

from xenapic.model.flags import CDF, EMU, IOMMU, MISC, PHYSCAP_X86
from xenapic.model.guest_types import HVM_EMULATION, PVH_EMULATION, GuestType
from xenapic.model.releases import XenRelease
from xenapic.toolstack.refusals import refuse
from xenapic.toolstack.resolved import Resolved
from xenapic.toolstack.wanted import HostFacts, Wanted, unsigned32

__all__ = ["request", "stub_request"]

SECINITSID_DOMU, SECINITSID_DOMDM = 12, 13
EVENT_CHANNELS = 1023
LEGACY_ALTP2M_COUNT = 10
PAGE_BYTES = 4096


def request(wanted: Wanted, host: HostFacts, release: XenRelease) -> dict[str, int]:
    """Return the fields that libxl hands to ``xc_domain_create``; raise `ToolstackRefused`."""
    r = Resolved(wanted, host, release)
    refuse(r)
    assert r.pool is not None
    fields = {
        "ssidref": SECINITSID_DOMU,
        "flags": int(_flags(r)),
        "iommu_opts": int(IOMMU.no_sharept) if r.page_tables == "sync_pt" else 0,
        "max_vcpus": unsigned32(wanted.max_vcpus or 1),
        "max_evtchn_port": wanted.event_channels or EVENT_CHANNELS,
        "max_grant_frames": wanted.max_grant_frames,
        "max_maptrack_frames": wanted.max_maptrack_frames,
        "grant_opts": r.grant_version,
        **_altp2m_fields(r.altp2m, _altp2m_count(r), release),
        "vmtrace_size": _vmtrace_size(wanted.vmtrace_kib),
        "cpupool_id": r.pool,
        "arch.emulation_flags": int(_emulation(r)),
        "arch.misc_flags": int(_misc(r)),
    }
    return _of_release(fields, release)


def stub_request(guest: dict[str, int], release: XenRelease) -> dict[str, int]:
    """Return the request for the stub domain of a guest's device model: PV, one vCPU, its grant limits."""
    fields = {
        "ssidref": SECINITSID_DOMDM,
        "flags": 0,
        "iommu_opts": 0,
        "max_vcpus": 1,
        "max_evtchn_port": EVENT_CHANNELS,
        "max_grant_frames": guest["max_grant_frames"],
        "max_maptrack_frames": guest["max_maptrack_frames"],
        "grant_opts": guest.get("grant_opts", 0),
        **_altp2m_fields(0, 0, release),
        "vmtrace_size": 0,
        "cpupool_id": 0,
        "arch.emulation_flags": 0,
        "arch.misc_flags": 0,
    }
    return _of_release(fields, release)


def _of_release(fields: dict[str, int], release: XenRelease) -> dict[str, int]:
    return {name: value for name, value in fields.items() if release.has_field(name)}


def _altp2m_fields(mode: int, count: int, release: XenRelease) -> dict[str, int]:
    if release.has_field("altp2m_nr"):
        return {"altp2m.opts": mode, "altp2m.nr": count}
    return {"altp2m_opts": mode} if release.has_field("altp2m") else {}


def _altp2m_count(r: Resolved) -> int:
    if r.wanted.altp2m_count is not None:
        return r.wanted.altp2m_count
    return LEGACY_ALTP2M_COUNT if r.hvm and r.altp2m else 0


def _flags(r: Resolved) -> CDF:
    flags = CDF(0)
    if not r.pv:
        flags |= CDF.hvm
        flags |= CDF.hap if r.hap else CDF(0)
        flags |= CDF.oos_off if r.wanted.oos is False else CDF(0)
        flags |= CDF.nested_virt if r.wanted.nested else CDF(0)
    flags |= CDF.vpmu if r.wanted.vpmu else CDF(0)
    return flags | (CDF.iommu if r.page_tables != "disabled" else CDF(0))


def _vmtrace_size(kib: int) -> int:
    """Round up to pages, in 32 bits: sizes near 4 GiB become 0."""
    return unsigned32((unsigned32(kib << 10) + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1))


def _emulation(r: Resolved) -> EMU:
    if not r.hvm:
        return PVH_EMULATION if r.wanted.type is GuestType.PVH else EMU(0)
    optional = r.release.number >= (4, 19) and not r.wanted.hvm_pirq
    return HVM_EMULATION & ~EMU.USE_PIRQ if optional else HVM_EMULATION


def _misc(r: Resolved) -> MISC:
    flags = MISC.MSR_RELAXED if r.wanted.msr_relaxed else MISC(0)
    if not r.release.per_domain_apic or r.pv:
        return flags
    for wanted, offered, flag in (
        (r.wanted.assisted_xapic, PHYSCAP_X86.ASSISTED_XAPIC, MISC.ASSISTED_XAPIC),
        (r.wanted.assisted_x2apic, PHYSCAP_X86.ASSISTED_X2APIC, MISC.ASSISTED_X2APIC),
    ):
        if bool(r.host.arch_capabilities & offered) if wanted is None else wanted:
            flags |= flag
    return flags
