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
    from xenapic.domain import Domain, HvmRecord, hvm_records
    from xenapic.errors import (
        CallFailed,
        ConfigInvalid,
        ConfigRefused,
        DomainNotFound,
        HandleClosed,
        LibraryNotFound,
        NoPrivilege,
        NoXen,
        ReleaseMismatch,
        ReleaseUnknown,
        Unavailable,
        XenApicError,
    )
    from xenapic.model.config import DomainConfig
    from xenapic.model.flags import ALTP2M, CDF, DOMINF, EMU, IOMMU, MISC, PHYSCAP, PHYSCAP_X86, Shutdown
    from xenapic.model.host import Answer, Fact, Host
    from xenapic.model.info import DomainInfo, PhysInfo, Version
    from xenapic.model.owner import Owner
    from xenapic.model.ring import Origin, RingLine
    from xenapic.model.rules import Problem
    from xenapic.xen import Console, Xen, open

HOMES = {
    "xenapic.domain": ("Domain", "HvmRecord", "hvm_records"),
    "xenapic.errors": (
        "CallFailed",
        "ConfigInvalid",
        "ConfigRefused",
        "DomainNotFound",
        "HandleClosed",
        "LibraryNotFound",
        "NoPrivilege",
        "NoXen",
        "ReleaseMismatch",
        "ReleaseUnknown",
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
    "xenapic.model.owner": ("Owner",),
    "xenapic.model.ring": ("Origin", "RingLine"),
    "xenapic.model.rules": ("Problem",),
    "xenapic.xen": ("Console", "Xen", "open"),
}
_HOME = {name: home for home, names in HOMES.items() for name in names}

__all__ = [  # noqa: PLE0604 (all of _HOME's keys are strings)
    *_HOME,
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'xenapic' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
