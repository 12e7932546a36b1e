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
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "xenapic.apic.controls": ("Controls", "ControlWords"),
    "xenapic.apic.processors": ("PROCESSORS", "processor"),
    "xenapic.apic.state": ("ApicState",),
    "xenapic.live.domain": ("Domain", "HvmRecord", "hvm_records"),
    "xenapic.errors": (
        "CallFailed",
        "ConfigInvalid",
        "ConfigRefused",
        "DocumentInvalid",
        "DomainNotFound",
        "HandleClosed",
        "LibraryNotFound",
        "MeasureFailed",
        "NameUnknown",
        "NoPrivilege",
        "NoXen",
        "PolicyInvalid",
        "PolicyRefused",
        "ProbeFailed",
        "Problem",
        "ReleaseMismatch",
        "ReleaseUnknown",
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
    "xenapic.model.guest_types": ("GuestType",),
    "xenapic.model.facts": ("Answer", "Fact"),
    "xenapic.model.host": ("Host",),
    "xenapic.model.info": ("DomainInfo", "PhysInfo", "Version"),
    "xenapic.model.named": ("named_host",),
    "xenapic.model.measured": ("Measurement", "VcpuControls"),
    "xenapic.model.owner": ("Owner",),
    "xenapic.model.releases": ("XEN_RELEASES", "xen_release"),
    "xenapic.documents": ("from_json", "to_json"),
    "xenapic.parse.ring": ("Origin", "RingLine"),
    "xenapic.policy.plan": ("Plan", "Reason", "Refusal", "plan"),
    "xenapic.policy.pool": ("PoolPlan", "plan_pool"),
    "xenapic.policy.terms": ("Aspect", "Policy", "Want"),
    "xenapic.exits.counter": ("ExitCounter", "ExitReport", "count_exits"),
    "xenapic.live.xen": ("Console", "Xen", "open"),
}
"""The public names, each under the module it is imported from when it is first used.

The one list of them: ``__init__.pyi``, which type checkers read, is written from it (``make stubs``)."""


_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF.keys() - {"open"})  # noqa: PLE0605  (`from xenapic import *` keeps Python's own open)


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'xenapic' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
