"""APIC acceleration in Xen: ask, plan, create, see, verify.

    import xenapic

    with xenapic.open() as xen:
        host = xen.host()
        config = xenapic.DomainConfig.pvh(max_vcpus=2)
        for problem in xen.check(config):
            print(problem)
        with xen.create_domain(config) as domain:
            print(domain.info())

Names load on first use, so `import xenapic` is cheap.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in `typing`, which costs 4 ms to import
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

HOMES = {
    "xenapic.apic.controls": ("Controls", "ControlWords"),
    "xenapic.apic.features": ("Technology",),
    "xenapic.apic.processors": ("PROCESSORS", "Processor", "processor"),
    "xenapic.apic.state": ("ApicState",),
    "xenapic.live.console": ("Console",),
    "xenapic.live.domain": ("Domain",),
    "xenapic.live.guest": ("Guest",),
    "xenapic.live.guestconsole": ("GuestConsole",),
    "xenapic.live.images": ("Module",),
    "xenapic.parse.hvm_context": ("HvmRecord", "hvm_records"),
    "xenapic.errors": (
        "CallFailed",
        "CloseFailed",
        "ConfigInvalid",
        "ConfigRefused",
        "DocumentInvalid",
        "DomainNotFound",
        "FileUnreadable",
        "GuestFailed",
        "HandleClosed",
        "HostUnknown",
        "ImageInvalid",
        "LibraryNotFound",
        "LogInvalid",
        "MeasureFailed",
        "HeadersUnusable",
        "LayoutUnproven",
        "NameUnknown",
        "NoPrivilege",
        "NoXen",
        "PolicyInvalid",
        "PolicyRefused",
        "ProbeFailed",
        "Problem",
        "ReleaseMismatch",
        "ReleaseUnknown",
        "ToolstackRefused",
        "TraceBusy",
        "Unavailable",
        "XenApicError",
    ),
    "xenapic.model.config": ("DomainConfig",),
    "xenapic.model.cpuinfo": ("host_from_cpuinfo",),
    "xenapic.model.create": ("Creation", "Dependency"),
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
    "xenapic.model.logged": ("LoggedHost", "host_from_info", "host_from_log"),
    "xenapic.model.measured": ("Measurement", "VcpuControls"),
    "xenapic.model.owner": ("Owner",),
    "xenapic.model.releases": ("XEN_RELEASES", "XenRelease", "xen_release"),
    "xenapic.documents": ("from_json", "to_json"),
    "xenapic.parse.hostinfo": ("HostInfo", "parse_host_info"),
    "xenapic.parse.ring": ("Origin", "RingLine"),
    "xenapic.policy.creation": ("check",),
    "xenapic.policy.cautions": ("Caution", "CautionCode"),
    "xenapic.policy.plan": ("Plan", "Refusal", "plan"),
    "xenapic.policy.pool": ("PoolPlan", "plan_pool"),
    "xenapic.policy.read": (
        "ReadPolicy",
        "Syntax",
        "from_mapping",
        "from_toml",
        "from_xl_cfg",
        "read_policy",
    ),
    "xenapic.model.rehost": ("host_under",),
    "xenapic.policy.reasons": ("Code", "Reason"),
    "xenapic.policy.remedies": ("Remedy", "RemedyKind"),
    "xenapic.policy.terms": ("EFFECTS", "Aspect", "Effect", "Policy", "Want"),
    "xenapic.toolstack.check": ("FileCheck", "check_file"),
    "xenapic.toolstack.request": ("DerivedRequest", "derive_request"),
    "xenapic.exits.counter": ("ExitCounter", "count_exits"),
    "xenapic.exits.report": ("ExitReport",),
    "xenapic.live.xen": ("Xen", "open"),
}
"""Every public name, under the module it is imported from on first use.

This is the only list: ``__init__.pyi``, which type checkers read, is written from it (``make stubs``)."""


_HOME_OF = {name: home for home, names in HOMES.items() for name in names}

__all__ = sorted(_HOME_OF.keys() - {"open"})  # noqa: PLE0605  (`from xenapic import *` keeps Python's own open)


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'xenapic' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
