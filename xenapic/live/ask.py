"""Ask a running Xen: what the host can do, and what its answers about domains mean."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING
from uuid import UUID

from xenapic.errors import CallFailed
from xenapic.live.create import send
from xenapic.live.owners import this_process
from xenapic.model.config import CreateRequest
from xenapic.model.flags import (
    CDF,
    DOMINF,
    EMU,
    MISC,
    PHYSCAP,
    PHYSCAP_X86,
    DOMINF_shutdownmask,
    DOMINF_shutdownshift,
    Shutdown,
)
from xenapic.model.host import Host, describe
from xenapic.model.info import DomainInfo, PhysInfo, Version
from xenapic.model.measured import Measurement
from xenapic.model.releases import DEVELOPMENT
from xenapic.parse.bootlog import BootLog, parse

if TYPE_CHECKING:
    from xenapic._xenctrl.libxenctrl import DomainInfoStruct
    from xenapic.abi.handle import Handle

__all__ = ["ask_boot_log", "ask_host", "ask_physinfo", "ask_version", "probe_interface", "to_domain_info"]


def ask_version(handle: Handle) -> Version:
    """Ask which Xen this is."""
    major, minor = handle.host.version()
    return Version(
        major=major,
        minor=minor,
        extra=handle.host.extraversion(),
        capabilities=tuple(handle.host.capabilities().split()),
        changeset=handle.host.changeset(),
        commandline=handle.host.commandline(),
    )


def ask_physinfo(handle: Handle) -> PhysInfo:
    """Ask for processors, memory and capabilities."""
    raw = handle.host.physinfo()
    word = getattr(raw, "arch_capabilities", None)
    return PhysInfo(
        threads_per_core=raw.threads_per_core,
        cores_per_socket=raw.cores_per_socket,
        nr_cpus=raw.nr_cpus,
        max_cpu_id=raw.max_cpu_id,
        nr_nodes=raw.nr_nodes,
        max_node_id=raw.max_node_id,
        cpu_khz=raw.cpu_khz,
        capabilities=PHYSCAP(raw.capabilities),
        arch_capabilities=None if word is None else PHYSCAP_X86(word),
        total_pages=raw.total_pages,
        free_pages=raw.free_pages,
        scrub_pages=raw.scrub_pages,
        outstanding_pages=raw.outstanding_pages,
        max_mfn=raw.max_mfn,
        hw_cap=tuple(raw.hw_cap),
    )


def ask_boot_log(handle: Handle, commandline: str) -> BootLog:
    """Read Xen's console ring, and parse what it says about Xen's start; the ring is not cleared."""
    ring = handle.console.read()
    return parse(ring.data, ring.start, commandline)


def ask_host(handle: Handle, log: BootLog, probe: bool = False, measured: Measurement | None = None) -> Host:
    """Return the host as Xen, its command line and its boot log describe it.

    With ``probe`` the per-domain interface is asked for by a create that cannot
    succeed, if nothing else tells (`probe_interface`). ``measured`` outweighs every other source.
    """
    version, physinfo = ask_version(handle), ask_physinfo(handle)
    host = describe(version, physinfo, log, measured=measured)
    if probe and not host.interface.known:
        number = probe_interface(handle, physinfo)
        host = describe(version, physinfo, log, probe=number, measured=measured)
    return host


def probe_interface(handle: Handle, physinfo: PhysInfo) -> int | None:
    """Ask for an assisted flag where no hardware backs it; return Xen's errno, None if it cannot be asked.

    The one create that is sent to fail. It is safe: on the only release that may
    know the flag it is refused in ``arch_sanitise_domain_config``, before any
    architecture code has run. ENODEV: the interface is there, the hardware is
    not. EINVAL: the flag is unknown.
    """
    ready = PHYSCAP.hvm | PHYSCAP.hap
    if (
        str(handle.library.release) != DEVELOPMENT.number_text
        or physinfo.arch_capabilities
        or physinfo.capabilities & ready != ready
    ):
        return None
    request = CreateRequest(
        flags=CDF.hvm | CDF.hap, emulation_flags=EMU.LAPIC, misc_flags=MISC.ASSISTED_XAPIC
    )
    try:
        domid = send(handle, request, this_process().to_handle())
    except CallFailed as error:
        return error.errno if error.errno in (errno.ENODEV, errno.EINVAL) else None
    handle.domains.destroy(domid)  # a Xen that takes the flag without reporting it: not one we know
    return None


DOMINF_BITS = (1 << DOMINF_shutdownshift) - 1


def to_domain_info(raw: DomainInfoStruct) -> DomainInfo:
    """Turn ``struct xen_domctl_getdomaininfo`` into a value."""
    flags = DOMINF(raw.flags & DOMINF_BITS)
    reason: Shutdown | int | None = None
    if DOMINF.shutdown in flags:
        number = raw.flags >> DOMINF_shutdownshift & DOMINF_shutdownmask
        reason = Shutdown(number) if number in Shutdown._value2member_map_ else number
    last_vcpu = raw.max_vcpu_id
    return DomainInfo(
        domid=raw.domain,
        flags=flags,
        shutdown_reason=reason,
        tot_pages=raw.tot_pages,
        max_pages=raw.max_pages,
        outstanding_pages=raw.outstanding_pages,
        shr_pages=raw.shr_pages,
        paged_pages=raw.paged_pages,
        shared_info_frame=raw.shared_info_frame,
        cpu_time=raw.cpu_time,
        nr_online_vcpus=raw.nr_online_vcpus,
        max_vcpu_id=-1 if last_vcpu == XEN_INVALID_MAX_VCPU_ID else last_vcpu,
        ssidref=raw.ssidref,
        handle=UUID(bytes=bytes(raw.handle)),
        cpupool=raw.cpupool,
        gpaddr_bits=getattr(raw, "gpaddr_bits", None),
        emulation_flags=EMU(raw.arch_config.emulation_flags),
        misc_flags=MISC(raw.arch_config.misc_flags),
    )


XEN_INVALID_MAX_VCPU_ID = 0xFFFFFFFF
"""``XEN_INVALID_MAX_VCPU_ID`` (``xen/include/public/domctl.h``): the domain has no vCPUs yet."""
