"""APIC acceleration in Xen: ask, plan, create, see, verify.

    import xenapic

    with xenapic.open() as xen:
        host = xen.host()
        config = xenapic.DomainConfig.pvh(max_vcpus=2)
        for problem in xen.check(config):
            print(problem)
        with xen.create_domain(config) as domain:
            print(domain.info())

Names are loaded when they are first used, so importing costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xenapic.apic.controls import Controls
    from xenapic.apic.state import ApicState
    from xenapic.domain import Domain, HvmRecord, hvm_records
    from xenapic.errors import (
        CallFailed,
        ConfigInvalid,
        ConfigRefused,
        DomainNotFound,
        HandleClosed,
        LibraryNotFound,
        MeasureFailed,
        NoPrivilege,
        NoXen,
        PolicyInvalid,
        PolicyRefused,
        ProbeFailed,
        Problem,
        RecordingInvalid,
        ReleaseMismatch,
        ReleaseUnknown,
        ReportInvalid,
        TraceBusy,
        Unavailable,
        XenApicError,
    )
    from xenapic.model.config import DomainConfig
    from xenapic.model.flags import ALTP2M, CDF, DOMINF, EMU, IOMMU, MISC, PHYSCAP, PHYSCAP_X86, Shutdown
    from xenapic.model.host import Answer, Fact, Host
    from xenapic.model.info import DomainInfo, PhysInfo, Version
    from xenapic.model.measured import ControlWords, Measurement, VcpuControls
    from xenapic.model.named import named_host
    from xenapic.model.owner import Owner
    from xenapic.model.report import host_from_report
    from xenapic.model.ring import Origin, RingLine
    from xenapic.policy.plan import Plan, Reason, Refusal, plan
    from xenapic.policy.pool import PoolPlan, plan_pool
    from xenapic.policy.terms import Aspect, GuestType, Policy, Want
    from xenapic.probe.exits import ExitCounter, ExitReport, count_exits
    from xenapic.xen import Console, Xen, open

__all__ = [
    "ALTP2M",
    "Answer",
    "ApicState",
    "Aspect",
    "CallFailed",
    "CDF",
    "ConfigInvalid",
    "ConfigRefused",
    "Console",
    "Controls",
    "ControlWords",
    "count_exits",
    "Domain",
    "DomainConfig",
    "DomainInfo",
    "DomainNotFound",
    "DOMINF",
    "EMU",
    "ExitCounter",
    "ExitReport",
    "Fact",
    "GuestType",
    "HandleClosed",
    "Host",
    "host_from_report",
    "hvm_records",
    "HvmRecord",
    "IOMMU",
    "LibraryNotFound",
    "MeasureFailed",
    "Measurement",
    "MISC",
    "named_host",
    "NoPrivilege",
    "NoXen",
    "open",
    "Origin",
    "Owner",
    "PHYSCAP",
    "PHYSCAP_X86",
    "PhysInfo",
    "Plan",
    "plan",
    "plan_pool",
    "Policy",
    "PolicyInvalid",
    "PolicyRefused",
    "PoolPlan",
    "ProbeFailed",
    "Problem",
    "Reason",
    "RecordingInvalid",
    "Refusal",
    "ReleaseMismatch",
    "ReleaseUnknown",
    "ReportInvalid",
    "RingLine",
    "Shutdown",
    "TraceBusy",
    "Unavailable",
    "VcpuControls",
    "Version",
    "Want",
    "Xen",
    "XenApicError",
]

_HOMES = {
    "xenapic.apic.controls": ("Controls",),
    "xenapic.apic.state": ("ApicState",),
    "xenapic.domain": ("Domain", "HvmRecord", "hvm_records"),
    "xenapic.errors": (
        "CallFailed",
        "ConfigInvalid",
        "ConfigRefused",
        "DomainNotFound",
        "HandleClosed",
        "LibraryNotFound",
        "MeasureFailed",
        "NoPrivilege",
        "NoXen",
        "PolicyInvalid",
        "PolicyRefused",
        "ProbeFailed",
        "Problem",
        "RecordingInvalid",
        "ReleaseMismatch",
        "ReleaseUnknown",
        "ReportInvalid",
        "TraceBusy",
        "Unavailable",
        "XenApicError",
    ),
    "xenapic.model.config": ("DomainConfig",),
    "xenapic.model.flags": (
        "ALTP2M",
        "CDF",
        "DOMINF",
        "EMU",
        "IOMMU",
        "MISC",
        "PHYSCAP",
        "PHYSCAP_X86",
        "Shutdown",
    ),
    "xenapic.model.host": ("Answer", "Fact", "Host"),
    "xenapic.model.info": ("DomainInfo", "PhysInfo", "Version"),
    "xenapic.model.named": ("named_host",),
    "xenapic.model.measured": ("ControlWords", "Measurement", "VcpuControls"),
    "xenapic.model.owner": ("Owner",),
    "xenapic.model.report": ("host_from_report",),
    "xenapic.model.ring": ("Origin", "RingLine"),
    "xenapic.policy.plan": ("Plan", "Reason", "Refusal", "plan"),
    "xenapic.policy.pool": ("PoolPlan", "plan_pool"),
    "xenapic.policy.terms": ("Aspect", "GuestType", "Policy", "Want"),
    "xenapic.probe.exits": ("ExitCounter", "ExitReport", "count_exits"),
    "xenapic.xen": ("Console", "Xen", "open"),
}
"""Where each name of `__all__` lives; it is imported from there when first used."""


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'xenapic' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
