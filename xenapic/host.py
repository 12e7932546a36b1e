"""Ask a running Xen what the host can do."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from xenapic.errors import CallFailed
from xenapic.model.bootlog import parse
from xenapic.model.flags import CDF, EMU, MISC, PHYSCAP, PHYSCAP_X86
from xenapic.model.host import Host, describe
from xenapic.model.info import PhysInfo, Version
from xenapic.model.measured import Measurement
from xenapic.model.releases import DEVELOPMENT

if TYPE_CHECKING:
    from xenapic.abi.handle import Handle

__all__ = ["ask_host", "ask_physinfo", "ask_version", "probe_interface"]


def ask_version(handle: Handle) -> Version:
    """Ask which Xen this is."""
    major, minor = handle.version()
    return Version(
        major=major,
        minor=minor,
        extra=handle.extraversion(),
        capabilities=tuple(handle.capabilities().split()),
        changeset=handle.changeset(),
        commandline=handle.commandline(),
    )


def ask_physinfo(handle: Handle) -> PhysInfo:
    """Ask for processors, memory and capabilities."""
    raw = handle.physinfo()
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


def ask_host(handle: Handle, probe: bool = False, measured: Measurement | None = None) -> Host:
    """Gather what Xen, its command line and its log say; the log is read, never cleared.

    With ``probe`` the per-domain interface is asked for by a create that cannot
    succeed, if nothing else tells (`probe_interface`). ``measured`` outweighs every other source.
    """
    version, physinfo = ask_version(handle), ask_physinfo(handle)
    ring = handle.read_console()
    log = parse(ring.data, ring.start, version.commandline)
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
    config = handle.new_createdomain()
    config.flags = CDF.hvm | CDF.hap
    config.max_vcpus = 1
    config.max_evtchn_port = 0xFFFFFFFF
    config.max_grant_frames = config.max_maptrack_frames = -1
    config.grant_opts = 1
    config.arch.emulation_flags = EMU.LAPIC
    config.arch.misc_flags = MISC.ASSISTED_XAPIC
    try:
        domid = handle.domain_create(0, config)
    except CallFailed as error:
        return error.errno if error.errno in (errno.ENODEV, errno.EINVAL) else None
    handle.domain_destroy(domid)  # a Xen that takes the flag without reporting it: not one we know
    return None
