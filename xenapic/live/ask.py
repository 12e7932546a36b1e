"""Ask a running Xen what the host can do, and turn its answers into values."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING

from xenapic.errors import CallFailed, NoPrivilege, XenApicError
from xenapic.live.create import Order, destroy_by_mark, send
from xenapic.live.owned import destroy_marked
from xenapic.live.owners import this_process
from xenapic.live.rows import DOMAIN_INFO, PHYSINFO
from xenapic.model.apicbits import KNOWN, asked_word
from xenapic.model.config import CreateRequest
from xenapic.model.flags import CDF, EMU, MISC, PHYSCAP
from xenapic.model.host import Host, describe
from xenapic.model.info import DomainInfo, PhysInfo, Version
from xenapic.model.measured import Measurement
from xenapic.model.releases import DEVELOPMENT
from xenapic.model.rows import Rows, from_row
from xenapic.parse.bootlog import BootLog, parse

if TYPE_CHECKING:
    from xenapic.abi.handle import Handle

__all__ = [
    "ask_boot_log",
    "ask_domain",
    "ask_domains",
    "ask_host",
    "ask_physinfo",
    "ask_version",
    "probe_controls",
    "probe_interface",
]


def ask_version(handle: Handle) -> Version:
    """Return which Xen this is."""
    major, minor = handle.host.version()
    return Version(
        major=major,
        minor=minor,
        extra=handle.host.extraversion(),
        capabilities=tuple(handle.host.capabilities().split()),
        changeset=handle.host.changeset(),
        commandline=handle.host.commandline(),
        as_release=handle.library.proof.as_release if handle.library.proof else "",
    )


def ask_physinfo(handle: Handle) -> PhysInfo:
    """Return processors, memory and capabilities."""
    return from_row(PhysInfo, handle.host.physinfo(), 0, PHYSINFO)


def ask_domain(handle: Handle, domid: int) -> DomainInfo:
    """Return what Xen says about one domain; raise `DomainNotFound`."""
    return from_row(DomainInfo, handle.domains.info(domid), 0, DOMAIN_INFO)


def ask_domains(handle: Handle) -> Rows[DomainInfo]:
    """Return all domains, as one hypercall saw them."""
    rows, count = handle.domains.snapshot()
    return Rows(DomainInfo, rows, count, DOMAIN_INFO)


def ask_boot_log(handle: Handle, commandline: str) -> BootLog:
    """Read Xen's console ring, and parse what it says about Xen's start; the ring is not cleared."""
    try:
        ring = handle.console.read()
    except (CallFailed, NoPrivilege) as error:
        return BootLog(trusted=True, doubt=f"Xen's log cannot be read: {error}")
    return parse(ring.data, ring.start, commandline)


def ask_host(
    handle: Handle,
    version: Version,
    log: BootLog,
    probe: bool = False,
    measured: Measurement | None = None,
    before: Host | None = None,
) -> Host:
    """Return the host as Xen, its command line and its boot log describe it.

    With ``probe``, and if nothing else says whether the per-domain interface exists, one create that cannot
    succeed finds out (`probe_interface`). ``measured`` outweighs every other source. The facts of ``before``,
    an earlier answer with the same log, are used again if Xen's capabilities are still the same.
    """
    physinfo = ask_physinfo(handle)
    settled = before is not None and (before.interface.known or not probe)
    if before is not None and settled and _same_facts(before, physinfo, measured):
        return replace(before, physinfo=physinfo)
    host = describe(version, physinfo, log, measured=measured)
    if probe and not host.interface.known:
        number = probe_interface(handle, physinfo)
        host = describe(version, physinfo, log, probe=number, measured=measured)
    return host


def _same_facts(before: Host, now: PhysInfo, measured: Measurement | None) -> bool:
    """Return True if at most the amounts of memory have changed."""
    then = before.physinfo
    return (
        before.measured is measured
        and now.capabilities == then.capabilities
        and now.arch_capabilities == then.arch_capabilities
        and now.hw_cap == then.hw_cap
    )


def probe_controls(handle: Handle, physinfo: PhysInfo) -> bool:
    """Return True if Xen knows the proposed interface although it offers nothing; costs a refused create.

    Every control is asked for at once, which only a host with all of them serves. Such a host says so in
    physinfo and is not asked; everywhere else Xen refuses the request early, before any architecture code:
    with ENODEV if it knows the bits, with EINVAL if not.
    """
    if physinfo.arch_capabilities is None or physinfo.arch_capabilities or physinfo.no_guest is not None:
        return False
    hap = CDF.hap if PHYSCAP.hap in physinfo.capabilities else CDF(0)
    request = CreateRequest(
        flags=CDF.hvm | hap, emulation_flags=EMU.LAPIC, misc_flags=asked_word(KNOWN), max_grant_frames=4
    )
    mark = this_process().to_bytes()
    try:
        domid = send(handle, Order.made(handle, request), mark)
    except CallFailed as error:
        destroy_by_mark(handle, mark)  # a create can work and report an error
        return error.errno == errno.ENODEV
    destroy_marked(handle, domid, mark)
    return False


def probe_interface(handle: Handle, physinfo: PhysInfo) -> int | None:
    """Request an assisted flag without hardware for it; return Xen's errno, or None if that is not possible.

    This is the only create that is meant to fail. It is safe: the only release that may know the flag
    refuses it in ``arch_sanitise_domain_config``, before any architecture code runs. ENODEV means that the
    interface exists and the hardware does not; EINVAL means that the flag is unknown.
    """
    ready = PHYSCAP.hvm | PHYSCAP.hap
    if (
        str(handle.library.release) != DEVELOPMENT.number_text
        or physinfo.arch_capabilities  # the two first bits, or the proposal's: both say it
        or physinfo.capabilities & ready != ready
    ):
        return None
    request = CreateRequest(
        flags=CDF.hvm | CDF.hap, emulation_flags=EMU.LAPIC, misc_flags=MISC.ASSISTED_XAPIC
    )
    mark = this_process().to_bytes()
    try:
        domid = send(handle, Order.made(handle, request), mark)
    except XenApicError as error:
        destroy_by_mark(handle, mark)  # a create can work and report an error
        if not isinstance(error, CallFailed):
            raise
        return error.errno if error.errno in (errno.ENODEV, errno.EINVAL) else None
    # No known Xen accepts the flag without reporting it.
    try:
        destroy_marked(handle, domid, mark)
    except XenApicError:  # once more, for an error that passes
        destroy_by_mark(handle, mark)
    return None
