"""Check what Xen would answer to a create, and turn a config into Xen's request."""

from __future__ import annotations

from collections.abc import Iterator

from xenapic.apic.features import feature as apic_feature
from xenapic.errors import Problem
from xenapic.model.acceleration import PLAIN_MEMORY, PLAIN_MEMORY_CODE, PLAIN_MEMORY_SOURCE
from xenapic.model.conditions import Rule, Situation
from xenapic.model.config import CreateRequest, DomainConfig
from xenapic.model.flags import CDF, EMU, MISC, names
from xenapic.model.host import Host
from xenapic.model.releases import FIELD_SINCE
from xenapic.model.rules import ARCH, RULES

__all__ = ["check", "check_request", "predicted_errno", "to_request"]


# -- a request as Xen gets it -------------------------------------------------------------------------


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
    """Return the errno that Xen would answer; 0 if it would create the domain."""
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


# -- a config as people write it ----------------------------------------------------------------------


def check(config: DomainConfig, situation: Situation) -> tuple[Problem, ...]:
    """Return every reason why this host cannot create the config."""
    own = (*_missing_fields(config, situation.host), *_assistance(config, situation.host))
    return (*own, *check_request(to_request(config, situation.host), situation))


def to_request(config: DomainConfig, host: Host) -> CreateRequest:
    """Return the numbers for Xen, with defaults filled in and fields that the release lacks left at 0."""
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
"""Field, its flag, and the feature it controls."""


def _assisted_flags(config: DomainConfig, host: Host) -> MISC:
    """Return the flags for the two fields on 4.17-rc; None means what the host offers, as in libxl there."""
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
            rule=f"Xen {host.release.number_text} does not have this field, which came with {{}}.{{}}".format(
                *since
            ),
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
    """Return code, rule, remedy and source if something stands against an explicit choice, else None."""
    inherit = f"Leave {field} at None (the host's default)"
    if not host.interface.known:
        return (
            "apic-choice-unknown",
            f"it is unknown whether this Xen has a choice per domain: {host.interface.source}",
            f"{inherit}, or {host.interface.how}.",
            host.interface.source,
        )
    if not host.interface:
        fact = host.features[feature]
        return (
            "apic-choice-missing",
            f"this Xen has no choice per domain; '{apic_feature(feature).name}' is "
            f"{fact.answer.value} for every HVM-type domain of this host ({fact.source})",
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
            PLAIN_MEMORY_CODE,
            PLAIN_MEMORY,
            f"{inherit}, or boot Xen on a host without the feature.",
            PLAIN_MEMORY_SOURCE,
        )
    return None
