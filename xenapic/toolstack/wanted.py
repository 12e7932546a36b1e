"""What a toolstack's parser has understood of a configuration, as far as it decides the create request."""

from __future__ import annotations

from dataclasses import field

from xenapic.frozen import dataclass
from xenapic.model.guest_types import GuestType

__all__ = ["DEFAULT_KIB", "ULONG_MAX", "HostFacts", "Wanted", "signed32", "unsigned32"]

ULONG_MAX = (1 << 64) - 1
DEFAULT_KIB = ULONG_MAX
"""``LIBXL_MEMKB_DEFAULT``: no size was given."""


@dataclass(kw_only=True)
class Wanted:
    """The part of ``libxl_domain_config`` that libxl looks at before and for ``xc_domain_create``.

    None means libxl's default. Numbers are as libxl holds them: cut to the width of their field.
    """

    type: GuestType = GuestType.PV
    hap: bool | None = None
    oos: bool | None = None
    pool: str | None = None
    nested: bool | None = None
    passthrough: str = "default"
    devices: int = 0
    """PCI and device tree devices to pass through."""
    vpmu: bool | None = None
    vcpu_bits: int = 0
    """Size of ``avail_vcpus``; 0 when libxl makes it itself."""
    max_vcpus: int = 0
    hard_affinity: list[int | None] = field(default_factory=list)
    """Masks of CPUs that ``cpus`` names; None where it is not known."""
    event_channels: int = 0
    max_grant_frames: int = -1
    max_maptrack_frames: int = -1
    max_grant_version: int = -1
    vmtrace_kib: int = 0
    memory_kib: int = DEFAULT_KIB
    max_memory_kib: int = DEFAULT_KIB
    vnuma_nodes: int = 0
    altp2m: int = 0
    altp2m_hvm: bool | None = None
    """``altp2mhvm``, which only an HVM guest has."""
    altp2m_count: int | None = None
    hvm_pirq: bool | None = None
    msr_relaxed: bool | None = None
    trap_unmapped: bool | None = None
    assisted_xapic: bool | None = None
    assisted_x2apic: bool | None = None
    device_model: str | None = None
    stubdomain: bool | None = None
    bios: str | None = None
    kernel: str | None = None
    direct_boot: bool = False
    """A ramdisk or a command line is given."""
    vga: str | None = None
    video_kib: int = DEFAULT_KIB
    spice: bool | None = None
    usb_redirection: int = 0
    usb_version: int = 0
    usb: bool = False
    """``usb`` is true, or ``usbdevice`` is given."""
    labelled: str | None = None
    """A security label: ``init_seclabel`` or ``seclabel``."""
    stubdomain_label: str | None = None


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What libxl asks of the host before it sends a request."""

    capabilities: int
    """``physinfo.capabilities``."""
    arch_capabilities: int = 0
    """``physinfo.arch_capabilities``; only 4.17-rc has any."""
    pools: dict[str, int]
    """CPU pools: number by name."""
    cpus: int | None = None
    """CPUs that are online; None when it is not known."""
    nodes: int | None = None
    """NUMA nodes; None when it is not known."""


def unsigned32(number: int) -> int:
    """Return a number cut to an unsigned field of 32 bits."""
    return number & 0xFFFFFFFF


def signed32(number: int) -> int:
    """Return a number cut to a signed field of 32 bits."""
    return (number + (1 << 31)) % (1 << 32) - (1 << 31)
