"""Every rule by which Xen refuses ``XEN_DOMCTL_createdomain`` on x86, in Xen's own order.

Xen answers most of them with a bare EINVAL; a release build logs no reason. Here
each is a row: the releases it holds for, when it is broken, the errno Xen gives,
what to do, and the function in Xen that has it. `check` returns every broken rule at once.

**Late** rules matter most. Xen tests them after the architecture part of the create has
run; on an Intel host an HVM-type create that fails there ends in ``Xen BUG at
common/domain.c`` and takes the host down (4.15 to 4.22, no fix on any branch).
They must never reach Xen, so they are strict: what may be wrong counts as wrong.

Read from the stable branches of 4.15 to 4.22 and compared with real hypervisors by
the test suite (``tests/xen``).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from xenapic.apic.features import feature as apic_feature
from xenapic.errors import Problem
from xenapic.model.acceleration import PLAIN_MEMORY, PLAIN_MEMORY_SOURCE
from xenapic.model.config import CreateRequest, DomainConfig
from xenapic.model.facts import Answer
from xenapic.model.flags import CDF, EMU, MISC, PHYSCAP, PHYSCAP_X86, names
from xenapic.model.guest import HVM_EMULATION, PVH_EMULATION
from xenapic.model.host import Host
from xenapic.model.info import NO_HVM
from xenapic.model.releases import FIELD_SINCE

__all__ = [
    "RULES",
    "Rule",
    "Situation",
    "check",
    "check_request",
    "predicted_errno",
    "to_request",
]

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


def _hvm(r: CreateRequest) -> bool:
    return bool(r.flags & CDF.hvm)


def _hap(r: CreateRequest) -> bool:
    return bool(r.flags & CDF.hap)


def _iommu(r: CreateRequest) -> bool:
    return bool(r.flags & CDF.iommu)


def _nested(r: CreateRequest) -> bool:
    return bool(r.flags & CDF.nested_virt)


def _altp2m(r: CreateRequest) -> bool:
    return bool(r.altp2m & 3)


def _emulation_ok(r: CreateRequest, pirq_optional: bool) -> bool:
    """``emulation_flags_ok`` (``xen/arch/x86/domain.c``) for a domU."""
    if not _hvm(r):
        return r.emulation_flags in (0, EMU.PIT)
    whole = {int(HVM_EMULATION)}
    if pirq_optional:
        whole.add(int(HVM_EMULATION) & ~int(EMU.USE_PIRQ))
    return r.emulation_flags == PVH_EMULATION or r.emulation_flags in whole


def _grant_version(r: CreateRequest) -> int:
    return r.grant_opts & GRANT_VERSION_MASK


def _highest_grant_version(s: Situation) -> int:
    return 2 if s.has(PHYSCAP.gnttab_v2) else 1 if s.has(PHYSCAP.gnttab_v1) else 0


def _frames(r: CreateRequest, s: Situation) -> tuple[int, int]:
    """Return grant and maptrack frames as Xen will take them: negative means the host's default."""
    limits = s.host.grant_limits
    grant = limits.frames if r.max_grant_frames < 0 else r.max_grant_frames
    maptrack = limits.maptrack_frames if r.max_maptrack_frames < 0 else r.max_maptrack_frames
    return grant, maptrack


def _pages_needed(r: CreateRequest, s: Situation) -> int:
    grant, maptrack = _frames(r, s)
    arrays = grant * (64 + 16) + maptrack * 8
    shadow = SHADOW_POOL_PAGES if _hvm(r) and not _hap(r) else 0
    return EARLY_PAGES + LATE_PAGES + shadow + arrays // PAGE_BYTES


def _free_pages(s: Situation) -> int:
    return s.host.physinfo.free_pages - s.host.physinfo.outstanding_pages


def _unknown_flags(r: CreateRequest, s: Situation) -> bool:
    return bool(r.flags & ~int(s.host.release.flags))


def _lacks_assistance(r: CreateRequest, s: Situation) -> bool:
    word = s.host.physinfo.arch_capabilities or PHYSCAP_X86(0)
    wanted = r.misc_flags >> 1 & 3
    return bool(wanted & ~int(word))


SANITISE = "sanitise_domain_config, xen/common/domain.c"
ARCH = "arch_sanitise_domain_config, xen/arch/x86/domain.c"
ARCH_CREATE = "arch_domain_create, xen/arch/x86/domain.c"
GRANT = "grant_table_init, xen/common/grant_table.c"
POOL = "sched_init_domain, xen/common/sched/core.c"

RULES: tuple[Rule, ...] = (
    Rule(
        "domid-in-use",
        "domid",
        lambda r, s: s.domid_in_use,
        "a domain of this number exists",
        "Use another number, or 0 for any free one.",
        "do_domctl, xen/common/domctl.c",
        errno=errno.EEXIST,
    ),
    Rule(
        "flags-unknown",
        "flags",
        _unknown_flags,
        "this release does not know all of these flags",
        "Leave out the flags that it lacks (vpmu came with 4.16, trap_unmapped_accesses with 4.21).",
        SANITISE,
    ),
    Rule(
        "grant-opts-unknown",
        "grant_opts",
        lambda r, s: bool(r.grant_opts & ~GRANT_VERSION_MASK),
        "only the low four bits, the grant table version, have a meaning",
        "Set grant_opts to 1 or 2.",
        SANITISE,
        since=(4, 16),
    ),
    Rule(
        "vcpus-none",
        "max_vcpus",
        lambda r, s: r.max_vcpus < 1,
        "a domain needs at least one vCPU",
        "Set max_vcpus to 1 or more.",
        SANITISE,
    ),
    Rule(
        "hap-without-hvm",
        "flags",
        lambda r, s: _hap(r) and not _hvm(r),
        "hardware-assisted paging (hap) is for HVM-type domains",
        "Drop hap, or add hvm.",
        SANITISE,
    ),
    Rule(
        "iommu-opts-unknown",
        "iommu_opts",
        lambda r, s: _iommu(r) and bool(r.iommu_opts & ~int(s.host.release.iommu_opts)),
        "only no_sharept is known",
        "Leave out the other bits.",
        SANITISE,
    ),
    Rule(
        "iommu-missing",
        "flags",
        lambda r, s: _iommu(r) and not s.has(PHYSCAP.directio),
        "iommu is asked for, and Xen uses none on this host (physinfo lacks directio)",
        "Drop iommu, or enable VT-d or AMD-Vi in the firmware and iommu= for Xen.",
        SANITISE,
    ),
    Rule(
        "iommu-opts-without-iommu",
        "iommu_opts",
        lambda r, s: not _iommu(r) and r.iommu_opts != 0,
        "IOMMU options are set without the iommu flag",
        "Add the iommu flag, or set iommu_opts to 0.",
        SANITISE,
    ),
    Rule(
        "vmtrace-missing",
        "vmtrace_size",
        lambda r, s: r.vmtrace_size != 0 and not s.has(PHYSCAP.vmtrace),
        "this host cannot trace guests with Intel Processor Trace (physinfo lacks vmtrace)",
        "Set vmtrace_size to 0, or use a host whose processor can trace in VMX operation.",
        SANITISE,
    ),
    Rule(
        "vpmu-missing",
        "flags",
        lambda r, s: bool(r.flags & CDF.vpmu) and not s.has(PHYSCAP.vpmu),
        "the vpmu flag needs physinfo's vpmu, which no Xen on x86 sets",
        "Drop vpmu; on x86 performance counters are switched on host-wide with Xen's option vpmu=.",
        SANITISE,
        since=(4, 16),
    ),
    Rule(
        "hvm-missing",
        "flags",
        lambda r, s: _hvm(r) and not s.has(PHYSCAP.hvm),
        str(NO_HVM),
        "Enable VT-x or AMD-V in the firmware, or use a PV domain.",
        ARCH,
    ),
    Rule(
        "pv-missing",
        "flags",
        lambda r, s: not _hvm(r) and not s.has(PHYSCAP.pv),
        "this Xen is built without PV support (physinfo lacks pv)",
        "Use a PVH domain.",
        ARCH,
    ),
    Rule(
        "vcpus-too-many",
        "max_vcpus",
        lambda r, s: r.max_vcpus > (HVM_MAX_VCPUS if _hvm(r) else PV_MAX_VCPUS),
        f"Xen takes at most {HVM_MAX_VCPUS} vCPUs for an HVM-type domain and {PV_MAX_VCPUS} for PV",
        "Ask for fewer vCPUs.",
        ARCH,
    ),
    Rule(
        "s3-integrity-missing",
        "flags",
        lambda r, s: bool(r.flags & CDF.s3_integrity) and s.host.tboot.answer is not Answer.YES,
        "s3_integrity needs a Xen built with tboot, and nothing says that this one is; since 4.17 it is off by default",
        "Drop s3_integrity.",
        ARCH,
        since=(4, 17),
    ),
    Rule(
        "hap-missing",
        "flags",
        lambda r, s: _hap(r) and not s.has(PHYSCAP.hap),
        "the processor has no EPT or NPT that Xen uses (physinfo lacks hap)",
        "Drop hap if Xen has shadow paging, use a PV domain, or boot Xen without hap=no.",
        ARCH,
    ),
    Rule(
        "shadow-missing",
        "flags",
        lambda r, s: _hvm(r) and not _hap(r) and not s.has(PHYSCAP.shadow),
        "an HVM-type domain without hap needs shadow paging, which this Xen is built without",
        "Add hap.",
        ARCH,
        since=(4, 22),
    ),
    Rule(
        "nested-virt-missing",
        "flags",
        lambda r, s: _nested(r) and s.host.nested_virt.answer is Answer.NO,
        "nested_virt is not available on this host",
        "Drop nested_virt. (SVM needs NPT, LBR virtualisation, NRIPS, flush by ASID and DecodeAssists; VMX needs EPT.)",
        ARCH,
        since=(4, 19),
    ),
    Rule(
        "nested-virt-without-hap",
        "flags",
        lambda r, s: _nested(r) and not _hap(r),
        "nested_virt needs hap",
        "Add hap, or drop nested_virt.",
        ARCH,
    ),
    Rule(
        "vmtrace-pv",
        "vmtrace_size",
        lambda r, s: r.vmtrace_size != 0 and not _hvm(r),
        "only HVM-type domains can be traced",
        "Set vmtrace_size to 0.",
        ARCH,
    ),
    Rule(
        "vmtrace-size",
        "vmtrace_size",
        lambda r, s: (
            r.vmtrace_size != 0
            and (not PAGE_BYTES <= r.vmtrace_size <= VMTRACE_MAX_BYTES or r.vmtrace_size.bit_count() != 1)
        ),
        "the trace buffer must be a power of two from 4 KiB to 64 MiB",
        "Choose such a size.",
        ARCH,
    ),
    Rule(
        "trap-unmapped-arm",
        "flags",
        lambda r, s: bool(r.flags & CDF.trap_unmapped_accesses),
        "trap_unmapped_accesses exists on Arm only",
        "Drop it.",
        ARCH,
        since=(4, 21),
    ),
    Rule(
        "misc-flags-unknown",
        "misc_flags",
        lambda r, s: bool(r.misc_flags & ~int(s.host.release.misc_flags)),
        "this Xen does not know all of these bits (released Xen knows MSR_RELAXED alone)",
        "Leave out the other bits.",
        ARCH,
    ),
    Rule(
        "assisted-pv",
        "misc_flags",
        lambda r, s: bool(r.misc_flags & (MISC.ASSISTED_XAPIC | MISC.ASSISTED_X2APIC)) and not _hvm(r),
        "a PV domain has no local APIC to assist",
        "Leave the assisted flags out, or create a PVH or HVM domain.",
        ARCH,
        needs_interface=True,
    ),
    Rule(
        "assisted-hardware",
        "misc_flags",
        _lacks_assistance,
        "the host does not offer this assistance (physinfo.arch_capabilities)",
        "Ask only for what xenapic host shows as offered.",
        ARCH,
        errno=errno.ENODEV,
        needs_interface=True,
    ),
    Rule(
        "altp2m-unknown",
        "altp2m",
        lambda r, s: bool(r.altp2m & ~3),
        "altp2m modes are 0 to 3",
        "Use one of disabled, mixed, external, limited.",
        ARCH,
        since=(4, 19),
    ),
    Rule(
        "altp2m-missing",
        "altp2m",
        lambda r, s: _altp2m(r) and s.host.altp2m.answer is Answer.NO,
        "this host does not do altp2m: it takes Intel EPT and the option altp2m on Xen's command line",
        "Leave altp2m disabled, or boot Xen with altp2m.",
        ARCH,
        since=(4, 21),
    ),
    Rule(
        "altp2m-without-hap",
        "altp2m",
        lambda r, s: _altp2m(r) and not _hap(r),
        "altp2m needs hap",
        "Add hap, or leave altp2m disabled.",
        ARCH,
        since=(4, 19),
    ),
    Rule(
        "altp2m-nested",
        "altp2m",
        lambda r, s: _altp2m(r) and _nested(r),
        "altp2m and nested_virt exclude each other",
        "Drop one of them.",
        ARCH,
        since=(4, 19),
    ),
    Rule(
        "altp2m-nr",
        "altp2m_nr",
        lambda r, s: _altp2m(r) and not 1 <= r.altp2m_nr <= MAX_NR_ALTP2M,
        f"with altp2m on, altp2m_nr must be 1 to {MAX_NR_ALTP2M}",
        "Set altp2m_nr, 10 being what older releases had.",
        ARCH,
        since=(4, 21),
    ),
    Rule(
        "altp2m-nr-unused",
        "altp2m_nr",
        lambda r, s: not _altp2m(r) and r.altp2m_nr != 0,
        "altp2m_nr must be 0 while altp2m is disabled",
        "Set it to 0, or choose an altp2m mode.",
        ARCH,
        since=(4, 21),
    ),
    Rule(
        "emulation-unknown",
        "emulation_flags",
        lambda r, s: bool(r.emulation_flags & ~int(s.host.release.emulation_flags)),
        "not all of these bits are emulators that Xen knows",
        "Leave out the unknown bits.",
        ARCH_CREATE,
    ),
    Rule(
        "emulation-combination",
        "emulation_flags",
        lambda r, s: not _emulation_ok(r, pirq_optional=False),
        "Xen takes exactly LAPIC (PVH) or everything but VPCI (HVM), and for PV nothing or PIT",
        "Start from DomainConfig.pvh, .hvm or .pv, which set it.",
        ARCH_CREATE,
        errno=errno.EOPNOTSUPP,
        until=(4, 19),
    ),
    Rule(
        "emulation-combination",
        "emulation_flags",
        lambda r, s: not _emulation_ok(r, pirq_optional=True),
        "Xen takes exactly LAPIC (PVH) or everything but VPCI, with or without USE_PIRQ (HVM), and for PV nothing or PIT",
        "Start from DomainConfig.pvh, .hvm or .pv, which set it.",
        ARCH_CREATE,
        errno=errno.EOPNOTSUPP,
        since=(4, 19),
    ),
    Rule(
        "shadow-missing",
        "flags",
        lambda r, s: _hvm(r) and not _hap(r) and not s.has(PHYSCAP.shadow),
        "an HVM-type domain without hap needs shadow paging, which this Xen is built without",
        "Add hap.",
        "shadow_domain_init, xen/arch/x86/mm/shadow/none.c",
        errno=errno.EOPNOTSUPP,
        until=(4, 22),
    ),
    Rule(
        "xsm-label",
        "ssidref",
        lambda r, s: (
            _hvm(r) and (s.host.flask.answer is Answer.YES or (r.ssidref != 0 and not s.host.flask.known))
        ),
        "Flask decides late whether it allows this label, and a refusal there takes an Intel host down",
        "Create HVM-type domains with xl on a Flask host, which knows the policy's labels; without Flask leave ssidref 0.",
        "xsm_domain_create, xen/common/domain.c",
        errno=None,
        late=True,
    ),
    Rule(
        "grant-version",
        "grant_opts",
        lambda r, s: not 1 <= _grant_version(r) <= _highest_grant_version(s),
        "the grant table version must be 1 or 2, and no higher than the host offers (physinfo gnttab_v1, gnttab_v2)",
        "Set grant_opts to 1.",
        GRANT,
        late=True,
        since=(4, 16),
    ),
    Rule(
        "grant-frames-none",
        "max_grant_frames",
        lambda r, s: _frames(r, s)[0] < 1,
        "a domain needs at least one grant frame",
        "Set it to 1 or more, or -1 for the host's default.",
        GRANT,
        late=True,
    ),
    Rule(
        "grant-frames-too-many",
        "max_grant_frames",
        lambda r, s: _frames(r, s)[0] > s.host.grant_limits.frames,
        "more grant frames than the host's limit (64, or Xen's option gnttab_max_frames=)",
        "Use -1 for the host's limit, or raise it at Xen's boot.",
        GRANT,
        late=True,
        until=(4, 18),
    ),
    Rule(
        "maptrack-frames-too-many",
        "max_maptrack_frames",
        lambda r, s: _frames(r, s)[1] > s.host.grant_limits.maptrack_frames,
        "more maptrack frames than the host's limit (1024, or Xen's option gnttab_max_maptrack_frames=)",
        "Use -1 for the host's limit, or raise it at Xen's boot.",
        GRANT,
        late=True,
        until=(4, 18),
    ),
    Rule(
        "grant-frames-caution",
        "max_grant_frames",
        lambda r, s: _frames(r, s)[0] > max(CAUTION_GRANT_FRAMES, s.host.grant_limits.frames),
        f"since 4.18 Xen checks no bound, and its late allocation of this size may fail; above {CAUTION_GRANT_FRAMES} "
        "(or the host's default, when that is higher) it is not tried",
        "Use a smaller number, or -1 for the host's default.",
        GRANT,
        errno=None,
        late=True,
        since=(4, 18),
    ),
    Rule(
        "maptrack-frames-caution",
        "max_maptrack_frames",
        lambda r, s: _frames(r, s)[1] > max(CAUTION_MAPTRACK_FRAMES, s.host.grant_limits.maptrack_frames),
        "since 4.18 Xen checks no bound, and its late allocation of this size may fail; above "
        f"{CAUTION_MAPTRACK_FRAMES} (or the host's default, when that is higher) it is not tried",
        "Use a smaller number, or -1 for the host's default.",
        GRANT,
        errno=None,
        late=True,
        since=(4, 18),
    ),
    Rule(
        "memory-headroom",
        "max_grant_frames",
        lambda r, s: _free_pages(s) < _pages_needed(r, s),
        "the host's free memory is so low that the create could fail halfway, which takes an Intel host down",
        "Free some memory (8 MiB are enough for default grant sizes), or ask for fewer grant frames.",
        "domain_create, xen/common/domain.c",
        errno=None,
        late=True,
    ),
    Rule(
        "cpupool-missing",
        "cpupool_id",
        lambda r, s: not s.cpupool_exists,
        "there is no CPU pool of this number",
        "Use 0, or one that 'xl cpupool-list' shows.",
        POOL,
        errno=errno.ESRCH,
        late=True,
        since=(4, 17),
    ),
    Rule(
        "cpupool-empty",
        "cpupool_id",
        lambda r, s: s.cpupool_exists and not s.cpupool_has_cpus,
        "this CPU pool has no CPUs",
        "Give the pool a CPU first, or use another pool.",
        POOL,
        errno=errno.ENODEV,
        late=True,
        since=(4, 17),
    ),
)
"""In the order in which Xen tests them: of several broken ones the first gives the errno."""


# -- a request, as Xen gets it ------------------------------------------------------------------------


def check_request(request: CreateRequest, situation: Situation) -> tuple[Problem, ...]:
    """Return every rule that the request breaks, in Xen's order."""
    release = situation.host.release
    return tuple(
        _problem(row, request)
        for row in RULES
        if row.since <= release.number < row.until
        and (release.per_domain_apic or not row.needs_interface)
        and row.broken(request, situation)
    )


def predicted_errno(problems: tuple[Problem, ...]) -> int:
    """Return the errno that Xen would answer, 0 when it would create the domain."""
    return next((problem.errno for problem in problems if problem.errno is not None), 0)


def _problem(row: Rule, request: CreateRequest) -> Problem:
    return Problem(
        code=row.code,
        field=row.field,
        value=_shown(row.field, getattr(request, row.field)),
        rule=row.rule,
        remedy=row.remedy,
        errno=row.errno,
        late=row.late,
        source=row.source,
    )


FLAG_FIELDS = {"flags": CDF, "emulation_flags": EMU, "misc_flags": MISC}


def _shown(field: str, value: int) -> object:
    kind = FLAG_FIELDS.get(field)
    return ("|".join(names(kind(value))) or "0") if kind else value


# -- a config, as people write it ---------------------------------------------------------------------


def check(config: DomainConfig, situation: Situation) -> tuple[Problem, ...]:
    """Return every reason why the config cannot be created on this host, all at once."""
    own = (*_missing_fields(config, situation.host), *_assistance(config, situation.host))
    return (*own, *check_request(to_request(config, situation.host), situation))


def to_request(config: DomainConfig, host: Host) -> CreateRequest:
    """Return the numbers for Xen: defaults filled in, fields the release lacks left 0."""
    has = host.release.has_field
    grant_opts = 1 if config.grant_opts is None else config.grant_opts
    return CreateRequest(
        ssidref=config.ssidref,
        flags=int(config.flags),
        iommu_opts=int(config.iommu_opts),
        max_vcpus=config.max_vcpus,
        max_evtchn_port=config.max_evtchn_port,
        max_grant_frames=config.max_grant_frames,
        max_maptrack_frames=config.max_maptrack_frames,
        grant_opts=grant_opts if has("grant_opts") else 0,
        altp2m=int(config.altp2m) if has("altp2m") else 0,
        altp2m_nr=config.altp2m_nr if has("altp2m_nr") else 0,
        vmtrace_size=config.vmtrace_size,
        cpupool_id=config.cpupool_id if has("cpupool_id") else 0,
        emulation_flags=int(config.emulation_flags),
        misc_flags=int(config.misc_flags | _assisted_flags(config, host)),
        domid=config.domid,
    )


ASSISTED = (
    ("assisted_xapic", MISC.ASSISTED_XAPIC, "virtualize_apic_accesses"),
    ("assisted_x2apic", MISC.ASSISTED_X2APIC, "virtualize_x2apic_mode"),
)
"""Field, its flag, and the feature it switches."""


def _assisted_flags(config: DomainConfig, host: Host) -> MISC:
    """What the two fields mean on 4.17-rc; None is what libxl made of it there: what the host offers."""
    word = MISC(0)
    if not host.interface:
        return word
    for field, flag, _feature in ASSISTED:
        wanted = getattr(config, field)
        default = config.is_hvm and bool(getattr(host, field))
        if default if wanted is None else wanted:
            word |= flag
    return word


def _missing_fields(config: DomainConfig, host: Host) -> Iterator[Problem]:
    neutral = DomainConfig()
    for field, since in FIELD_SINCE.items():
        value = getattr(config, field)
        if host.release.has_field(field) or value == getattr(neutral, field):
            continue
        yield Problem(
            code="field-missing",
            field=field,
            value=value,
            rule=f"Xen {host.release.number_text} does not have this field; the first that has it is "
            "{}.{}".format(*since),
            remedy="Leave it at its default.",
            errno=None,
            late=False,
            source="xen/include/public/domctl.h",
        )


def _assistance(config: DomainConfig, host: Host) -> Iterator[Problem]:
    for field, _flag, feature in ASSISTED:
        wanted = getattr(config, field)
        if wanted is None:
            continue
        problem = _assistance_problem(field, wanted, feature, config, host)
        if problem is not None:
            code, rule, remedy, source = problem
            yield Problem(code, field, wanted, rule, remedy, None, False, source)


def _assistance_problem(
    field: str, wanted: bool, feature: str, config: DomainConfig, host: Host
) -> tuple[str, str, str, str] | None:
    """Return code, rule, remedy and source of what stands against an explicit choice."""
    inherit = f"Leave {field} at None, the host's default"
    if not host.interface.known:
        return (
            "apic-choice-unknown",
            f"whether this Xen lets a domain choose is unknown: {host.interface.source}",
            f"{inherit}, or {host.interface.how}.",
            host.interface.source,
        )
    if not host.interface:
        fact = host.features[feature]
        return (
            "apic-choice-missing",
            f"this Xen has no choice per domain; for every HVM-type domain of this host the answer to "
            f"'{apic_feature(feature).name}' is {fact.answer.value} ({fact.source})",
            f"{inherit}.",
            host.interface.source,
        )
    if not config.is_hvm:
        return (
            "apic-choice-pv",
            "a PV domain has no local APIC to assist",
            f"{inherit}, or create a PVH or HVM domain.",
            ARCH,
        )
    offered = getattr(host, field)
    if wanted and not offered:
        return (
            "apic-choice-hardware",
            f"the host does not offer it ({offered.source})",
            f"{inherit}, or use a host that offers it.",
            offered.source,
        )
    if not wanted and offered and field == "assisted_xapic":
        return (
            "apic-defect-memory",
            PLAIN_MEMORY,
            f"{inherit}, or boot Xen on a host without the feature.",
            PLAIN_MEMORY_SOURCE,
        )
    return None
