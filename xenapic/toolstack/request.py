"""From the text of a configuration to the create request of one release, with what was not looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from xenapic.errors import HostUnknown, PolicyInvalid, ToolstackRefused
from xenapic.frozen import dataclass
from xenapic.model.config import CreateRequest
from xenapic.model.guest_types import GuestType
from xenapic.model.releases import XenRelease, xen_release
from xenapic.parse.domainxml import looks_like_xml
from xenapic.toolstack import libvirt, libxl, xl
from xenapic.toolstack.keys import known
from xenapic.toolstack.kinds import Evidence, Syntax
from xenapic.toolstack.wanted import HostFacts, Wanted

__all__ = ["NAMES", "DerivedRequest", "Evidence", "Syntax", "derive_request", "release_of"]

EXECUTED = ((4, 17), (4, 20))
"""The releases whose real xl was run on a real Xen, and what it sent recorded."""
USUAL_CAPABILITIES = 0x30B
"""hvm, pv, hap, gnttab_v1, gnttab_v2."""
POOLS = {"Pool-0": 0}


@dataclass(frozen=True, kw_only=True)
class DerivedRequest:
    """What a toolstack sends to Xen for a configuration."""

    release: XenRelease
    evidence: Evidence
    syntax: Syntax
    guest_type: GuestType
    fields: Mapping[str, int]
    """The fields of ``struct xen_domctl_createdomain`` that the release has, by libxenctrl's names."""
    more: tuple[Mapping[str, int], ...] = ()
    """The requests that follow once the guest is built: its stub domain's."""
    warnings: tuple[str, ...] = ()
    """What the toolstack warns of."""
    considered: tuple[str, ...] = ()
    """The keys of the configuration that were looked at."""
    not_considered: tuple[str, ...] = ()
    """The other keys, which say nothing about the request, and were not checked."""
    unknown: tuple[str, ...] = ()
    """The keys among those that the toolstack does not know either: it ignores them silently."""

    @property
    def request(self) -> CreateRequest:
        """The numbers in the form that `xenapic.model.create` checks."""
        return to_create_request(self.fields)


NAMES = {
    "arch.emulation_flags": "emulation_flags",
    "arch.misc_flags": "misc_flags",
    "altp2m_opts": "altp2m",
    "altp2m.opts": "altp2m",
    "altp2m.nr": "altp2m_nr",
}
"""libxenctrl's names, and those of `CreateRequest` where they differ."""


def to_create_request(fields: Mapping[str, int]) -> CreateRequest:
    """Return a request from libxenctrl's fields; fields that the release lacks are 0."""
    absent = {"grant_opts": 0} if "grant_opts" not in fields else {}
    return CreateRequest(**absent, **{NAMES.get(name, name): value for name, value in fields.items()})


def release_of(xen: str | XenRelease) -> XenRelease:
    """Return the row of a release, given as that row or as any version of `xen_release`."""
    if isinstance(xen, XenRelease):
        return xen
    return xen_release(xen)


def derive_request(  # noqa: PLR0913  (the facts of a host, which are keyword-only)
    text: str,
    xen: str | XenRelease = "4.17",
    capabilities: int = USUAL_CAPABILITIES,
    xl_conf: str = "",
    pools: Mapping[str, int] = POOLS,
    extra: Iterable[str] = (),
    *,
    arch_capabilities: int = 0,
    cpus: int | None = None,
    nodes: int | None = None,
) -> DerivedRequest:
    """Return the create request that a toolstack sends for the text of an xl.cfg or of a libvirt domain XML.

    ``capabilities`` are the host's (``physinfo.capabilities``), ``xl_conf`` the text of its xl.conf,
    ``pools`` the numbers of its CPU pools by name, ``extra`` the lines ``key=value`` that ``xl create FILE``
    is given after the file. ``cpus`` and ``nodes`` are how many the host has; what depends on them is not
    refused when they are not known. Assumed are autoballoon="off", a qemu that is installed, and XSM off.

    Raises `ToolstackRefused` where xl, libvirt or libxl ends before Xen is asked, `NameUnknown` for a
    release that is not known, and `HostUnknown` for one whose toolstacks are not modelled. Source:
    ``tools/xl/xl_parse.c`` and ``tools/libs/light/libxl_create.c`` of each release; for 4.17 and 4.20
    (Debian's builds) compared with recordings of what the real xl sent. For XML ``src/libxl/libxl_conf.c``
    of libvirt 11.3.
    """
    release = release_of(xen)
    if not release.create_rules:
        raise HostUnknown(
            f"what the toolstacks of Xen {release.name} make of a configuration is not modelled"
        )
    host = HostFacts(
        capabilities=capabilities,
        arch_capabilities=arch_capabilities,
        pools=dict(pools),
        cpus=cpus,
        nodes=nodes,
    )
    if looks_like_xml(text):
        if [*extra]:
            raise PolicyInvalid("settings after the file are for an xl.cfg, not for libvirt's XML")
        return _from_libvirt(text, host, release)
    defaults = xl.global_defaults(xl_conf, release)
    wanted, get = xl.parse(_with_extra(text, extra), release, defaults, host)
    fields = libxl.request(wanted, host, release)
    keys = known(release)
    return DerivedRequest(
        release=release,
        evidence=evidence_of(release),
        syntax=Syntax.XL_CFG,
        guest_type=wanted.type,
        fields=fields,
        more=more_requests(wanted, fields, release),
        warnings=(*get.warnings, *_label_warnings(wanted)),
        considered=tuple(name for name in get.settings if keys.get(name)),
        not_considered=tuple(name for name in get.settings if not keys.get(name)),
        unknown=tuple(name for name in get.settings if name not in keys),
    )


def _from_libvirt(text: str, host: HostFacts, release: XenRelease) -> DerivedRequest:
    wanted, root = libvirt.parse(text)
    try:
        fields = libxl.request(wanted, host, release)
    except ToolstackRefused as error:
        raise ToolstackRefused(
            error.message,
            error.tool,
            libvirt.STATUS,
            libvirt.paths_of(error.keys),
            error.because,
            error.source,
        ) from None
    found = tuple(libvirt.paths(root))
    return DerivedRequest(
        release=release,
        evidence=Evidence.SOURCE,
        syntax=Syntax.LIBVIRT,
        guest_type=wanted.type,
        fields=fields,
        considered=tuple(path for path in found if path in libvirt.PATHS),
        not_considered=tuple(path for path in found if path not in libvirt.PATHS),
    )


def evidence_of(release: XenRelease) -> Evidence:
    """Return how it is known what a release's toolstack does."""
    run = release.number in EXECUTED and not release.per_domain_apic
    return Evidence.EXECUTED if run else Evidence.SOURCE


def more_requests(wanted: Wanted, fields: dict[str, int], release: XenRelease) -> tuple[dict[str, int], ...]:
    """Return the request for the stub domain of an HVM guest that has one."""
    stub = wanted.type is GuestType.HVM and wanted.stubdomain
    return (libxl.stub_request(fields, release),) if stub else ()


def _with_extra(text: str, extra: Iterable[str]) -> str:
    """Append the command line's settings as ``xl create`` does."""
    lines = [*extra]
    for line in lines:
        if "=" not in line:
            raise PolicyInvalid(f"a setting after the file is key=value, not {line!r}")
    return "\n".join([text, *lines, "", ""]) if lines else text


def _label_warnings(wanted: Wanted) -> list[str]:
    labels = {"init_seclabel": wanted.labelled, "device_model_stubdomain_seclabel": wanted.stubdomain_label}
    return [f"XSM Disabled: {name} not supported" for name, label in labels.items() if label is not None]
