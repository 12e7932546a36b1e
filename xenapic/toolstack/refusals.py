"""What libxl refuses before it sends a request: rows in libxl's own order; the first that holds counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from xenapic.errors import ToolstackRefused
from xenapic.frozen import dataclass
from xenapic.model.flags import PHYSCAP
from xenapic.model.guest_types import GuestType
from xenapic.model.releases import XenRelease
from xenapic.toolstack.resolved import MIB, Resolved
from xenapic.toolstack.wanted import DEFAULT_KIB

__all__ = ["REFUSALS", "Refusal", "refusals_of", "refuse"]

FIRST, NEVER = (4, 15), (9, 9)
CONFIG = "libxl__domain_config_setdefault, tools/libs/light/libxl_create.c"
BUILD = "libxl__domain_build_info_setdefault, tools/libs/light/libxl_create.c"
X86 = "libxl__arch_passthrough_mode_setdefault, tools/libs/light/libxl_x86.c"
INVALID, FAIL = 6, 3
"""``-ERROR_INVAL`` and ``-ERROR_FAIL``, as xl's exit status."""

MAX_VCPU_BITS = 1024
"""``HVM_MAX_VCPUS`` (128), with which libxl compares the size of the map in bytes."""
GRANT_VERSION_MASK = 0xF


def _video_message(r: Resolved) -> str:
    if r.device_model == "qemu-xen-traditional":
        return "videoram must be at least 8 MB for STDVGA on QEMU_XEN_TRADITIONAL"
    if r.wanted.vga == "qxl":
        return "128 Mib videoram is the minimum for qxl default"
    card = "STDVGA" if r.wanted.vga == "stdvga" else "CIRRUS"
    return f"videoram must be at least {r.least_video_kib // MIB} MB for {card} on QEMU_XEN"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rule of libxl: when it refuses, and what it says then."""

    holds: Callable[[Resolved], bool]
    message: str
    """``{}`` is the text of `detail`."""
    keys: tuple[str, ...]
    because: str
    source: str = CONFIG
    status: int = INVALID
    detail: Callable[[Resolved], str] = lambda r: ""
    since: tuple[int, int] = FIRST
    until: tuple[int, int] = NEVER
    needs_interface: bool = False
    """Holds only for 4.17-rc."""


REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        lambda r: r.pool is None,
        "Illegal pool specified: {}",
        ("pool",),
        "the host has no such CPU pool",
        detail=lambda r: "(null)" if r.wanted.pool is None else r.wanted.pool,
    ),
    Refusal(
        lambda r: not r.pv and not r.has(PHYSCAP.hap) and not r.has(PHYSCAP.shadow),
        "neither hap nor shadow paging available",
        (),
        "physinfo of this host has neither hap nor shadow, whatever hap= says",
        "libxl__domain_create_info_setdefault, tools/libs/light/libxl_create.c",
    ),
    Refusal(
        lambda r: r.passthrough != "disabled" and not r.has(PHYSCAP.directio),
        "passthrough not supported on this platform",
        ("passthrough", "pci", "dtdev"),
        "Xen uses no IOMMU on this host (physinfo lacks directio)",
    ),
    Refusal(
        lambda r: r.passthrough == "disabled" and r.wanted.devices > 0,
        "passthrough disabled but devices are specified",
        ("passthrough", "pci", "dtdev"),
        'passthrough="disabled" with devices to pass through',
    ),
    Refusal(
        lambda r: r.passthrough != "disabled" and r.wanted.type is GuestType.PVH,
        "passthrough not yet supported for x86 PVH guests",
        ("passthrough", "pci", "dtdev", "type"),
        "a PVH guest can have no devices",
        X86,
    ),
    Refusal(
        lambda r: r.passthrough == "share_pt" and bool(r.shared_not),
        'passthrough="share_pt" {}',
        ("passthrough",),
        "the IOMMU cannot share the guest's page tables",
        X86,
        detail=lambda r: r.shared_not,
    ),
    Refusal(
        lambda r: r.passthrough != "disabled" and r.populate_on_demand,
        "IOMMU required for device passthrough but not supported together with PoD",
        ("passthrough", "pci", "dtdev", "memory", "maxmem"),
        "memory below maxmem means populate-on-demand, which excludes an IOMMU",
    ),
    Refusal(
        lambda r: r.populate_on_demand and r.wanted.vnuma_nodes > 0,
        "Cannot enable PoD and vNUMA at the same time",
        ("vnuma", "memory", "maxmem"),
        "memory below maxmem means populate-on-demand, which excludes virtual NUMA",
    ),
    Refusal(
        lambda r: r.pv and r.wanted.vnuma_nodes > 0,
        "PV vNUMA is not yet supported",
        ("vnuma", "type"),
        "a PV guest can have no virtual NUMA",
    ),
    Refusal(
        lambda r: r.hvm and r.device_model == "qemu-xen-traditional" and r.bios != "rombios",
        "qemu-xen-traditional requires bios=rombios.",
        ("bios", "firmware", "device_model_version", "device_model_stubdomain_override"),
        "the old device model has only rombios",
        BUILD,
        until=(4, 21),
    ),
    Refusal(
        lambda r: r.hvm and r.device_model == "qemu-xen" and r.bios == "rombios",
        "qemu-xen does not support bios=rombios.",
        ("bios", "firmware", "device_model_version"),
        "rombios is for the old device model",
        BUILD,
    ),
    Refusal(
        lambda r: r.hvm and r.wanted.kernel is None and r.wanted.direct_boot,
        "direct boot parameters specified but kernel missing",
        ("kernel", "ramdisk", "cmdline", "root", "extra"),
        "an HVM guest with a ramdisk or a command line needs a kernel",
        BUILD,
    ),
    Refusal(
        lambda r: r.wanted.vcpu_bits > MAX_VCPU_BITS,
        "avail_vcpus bitmap contains too many VCPUS",
        ("vcpus",),
        f"libxl takes at most {MAX_VCPU_BITS} vCPUs that are online at the start",
        BUILD,
        FAIL,
    ),
    Refusal(
        lambda r: r.pv and not (r.wanted.assisted_xapic is r.wanted.assisted_x2apic is None),
        "Interrupt Controller Virtualization not supported for PV",
        ("assisted_xapic", "assisted_x2apic"),
        "a PV guest has no local APIC to assist",
        "libxl__arch_domain_build_info_setdefault, tools/libs/light/libxl_x86.c",
        needs_interface=True,
    ),
    Refusal(
        lambda r: r.hvm and r.wanted.video_kib != DEFAULT_KIB and r.wanted.video_kib < r.least_video_kib,
        "{}",
        ("videoram", "vga", "stdvga"),
        "the video memory is too small for this card",
        BUILD,
        detail=_video_message,
    ),
    Refusal(
        lambda r: r.hvm and r.device_model == "qemu-xen-traditional" and r.wanted.vga == "qxl",
        "qemu upstream required for qxl vga",
        ("vga", "device_model_version"),
        "the old device model has no qxl",
        BUILD,
        until=(4, 21),
    ),
    Refusal(
        lambda r: (
            r.hvm
            and bool(r.wanted.usb_version or (r.wanted.spice and r.wanted.usb_redirection))
            and r.wanted.usb
        ),
        "usbversion and/or usbredirection cannot be enabled with usb and/or usbdevice parameters.",
        ("usbversion", "spiceusbredirection", "usb", "usbdevice"),
        "the two ways to USB exclude each other",
        BUILD,
    ),
    Refusal(
        lambda r: r.wanted.max_grant_version != -1 and bool(r.wanted.max_grant_version & ~GRANT_VERSION_MASK),
        "max grant version {} out of range",
        ("max_grant_version",),
        "the version has four bits; libxl returns a positive number here, and xl ends with status 0",
        BUILD,
        0,
        detail=lambda r: str(r.wanted.max_grant_version),
        since=(4, 16),
    ),
    Refusal(
        lambda r: r.wants_altp2m and bool(r.wanted.nested),
        "nestedhvm and altp2mhvm cannot be used together",
        ("nestedhvm", "altp2m", "altp2mhvm"),
        "the two exclude each other",
    ),
    Refusal(
        lambda r: r.wants_altp2m and r.populate_on_demand,
        "Cannot enable PoD and ALTP2M at the same time",
        ("altp2m", "altp2mhvm", "memory", "maxmem"),
        "memory below maxmem means populate-on-demand, which excludes altp2m",
    ),
    Refusal(
        lambda r: bool(r.wanted.vpmu) and not r.has(PHYSCAP.vpmu),
        "vPMU not supported on this platform",
        ("vpmu",),
        "physinfo of this host lacks vpmu, which no Xen on x86 sets",
        since=(4, 16),
    ),
    Refusal(
        lambda r: bool(r.wanted.trap_unmapped),
        "trap_unmapped_accesses is not supported on x86",
        ("trap_unmapped_accesses",),
        "it is Arm's",
        "libxl__arch_domain_prepare_config, tools/libs/light/libxl_x86.c",
        FAIL,
        since=(4, 21),
    ),
)
"""In libxl's order."""


@cache
def refusals_of(release: XenRelease) -> tuple[Refusal, ...]:
    """Return the rules of a release's libxl, in its order."""
    return tuple(
        row
        for row in REFUSALS
        if row.since <= release.number < row.until and (release.per_domain_apic or not row.needs_interface)
    )


def refuse(r: Resolved) -> None:
    """Raise `ToolstackRefused` for the first rule that holds."""
    for row in refusals_of(r.release):
        if row.holds(r):
            message = row.message.format(row.detail(r))
            raise ToolstackRefused(message, "libxl", row.status, row.keys, row.because, row.source)
