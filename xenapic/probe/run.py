"""Run the probe guest in a domain, and return its measurements."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping
from pkgutil import get_data

from xenapic.apic.state import ApicState
from xenapic.errors import ConfigInvalid, ProbeFailed
from xenapic.live.domain import Domain
from xenapic.live.memory import PAGE
from xenapic.live.vcpu import FLAT_REGISTERS, set_first_vcpu
from xenapic.live.xen import Xen
from xenapic.model.config import DomainConfig
from xenapic.model.flags import DOMINF, EMU
from xenapic.policy.terms import Policy
from xenapic.probe.findings import Findings
from xenapic.probe.mailbox import HEAD_BYTES, Head, State, read_replies, write_commands
from xenapic.probe.script import SCRATCH, Script

__all__ = ["TIMEOUT", "probe_domain", "run_probe"]

GUEST = "guest/probe.bin"
GUEST_AT = 0x100000
PAGE_DIRECTORY = SCRATCH + PAGE
MAILBOX = PAGE_DIRECTORY + PAGE
MEMORY_KIB = 8192

TIMEOUT = 60.0
"""Limit for the guest in seconds; on real hardware it takes milliseconds."""
POLL_SECONDS = 0.02

LARGE_PAGE_SHIFT = 22
UNCACHED_AT = 0xFEC00000
PAGE_PRESENT, PAGE_RW, PAGE_PWT, PAGE_PCD, PAGE_ACCESSED, PAGE_DIRTY, PAGE_PSE = 1, 2, 8, 16, 32, 64, 128
CR0_PE, CR0_ET, CR0_NE, CR0_PG, CR4_PSE = 1 << 0, 1 << 4, 1 << 5, 1 << 31, 1 << 4

REGISTERS: Mapping[str, int] = {
    **FLAT_REGISTERS,
    "rip": GUEST_AT,
    "rbx": MAILBOX,
    # Paging is on from the start: without unrestricted guest, VMX cannot run a guest with paging off.
    "cr0": CR0_PE | CR0_ET | CR0_NE | CR0_PG,
    "cr3": PAGE_DIRECTORY,
    "cr4": CR4_PSE,
}


def run_probe(
    xen: Xen,
    config: DomainConfig,
    state: ApicState,
    timeout: float = TIMEOUT,
    policy: Policy | None = None,
) -> Findings:
    """Create a domain, run the probe guest in it with its APIC in ``state``, destroy the domain.

    ``config`` must be of an HVM type with a local APIC; the domain is created for ``policy``. ``timeout`` is
    in seconds. Raises the errors of `Xen.create_domain`, `CallFailed`, and `ProbeFailed` when the guest gives
    no usable answer.
    """
    if not config.is_hvm or EMU.LAPIC not in config.emulation_flags:
        raise ConfigInvalid("the probe guest needs an HVM-type domain with a local APIC")
    with xen.create_domain(config, policy) as domain:
        domain.set_max_vcpus(config.max_vcpus)
        return probe_domain(domain, state, timeout)


def probe_domain(
    domain: Domain,
    state: ApicState,
    timeout: float = TIMEOUT,
    pause: Callable[[float], None] | None = None,
    registers: frozenset[int] = frozenset(),
) -> Findings:
    """Run the probe guest in a new domain with vCPUs but no memory; the domain is shut down afterwards.

    ``timeout`` is in seconds. ``pause`` is called with the seconds between two looks at the guest, for a
    caller that has to work meanwhile. Only ``registers``, offsets in the page, are accessed; all if
    it is empty. Raises `CallFailed` and `ProbeFailed`.
    """
    script = Script(state, registers=registers)
    size = _load(domain, script)
    set_first_vcpu(domain, REGISTERS, state)
    domain.set_native_tsc()  # if RDTSC exits, its cost hides what is measured
    domain.unpause()
    _wait(domain, script, timeout, pause or time.sleep)
    answers = list(read_replies(domain.memory.read(MAILBOX, size), script.commands))
    findings = script.findings(answers)
    if not findings.calibration.clear:
        raise ProbeFailed(
            "the cost of an access does not tell whether it left the guest: plain memory costs "
            f"{findings.calibration.memory} TSC ticks, a known exit {findings.calibration.exit}; reading the "
            f"TSC takes {findings.calibration.overhead} of them"
        )
    return findings


def _load(domain: Domain, script: Script) -> int:
    """Give the domain memory and fill it; return the size of the list of commands."""
    listed = write_commands(script.commands, script.patience, script.eoi)
    guest = get_data(__package__, GUEST) or b""  # also from a zip file
    image = guest.ljust(SCRATCH - GUEST_AT, b"\0") + bytes(PAGE) + page_directory() + listed
    domain.set_max_mem(MEMORY_KIB)
    domain.memory.populate(GUEST_AT, len(image))
    domain.memory.write(GUEST_AT, image)
    return len(listed)


def page_directory() -> bytes:
    """Return a page directory of 4 MiB pages that maps memory one to one, the APICs uncached."""
    entry = PAGE_PRESENT | PAGE_RW | PAGE_ACCESSED | PAGE_DIRTY | PAGE_PSE
    entries = [page << LARGE_PAGE_SHIFT | entry for page in range(1 << 32 - LARGE_PAGE_SHIFT)]
    entries[UNCACHED_AT >> LARGE_PAGE_SHIFT] |= PAGE_PCD | PAGE_PWT
    return struct.pack(f"<{len(entries)}I", *entries)


def _wait(domain: Domain, script: Script, timeout: float, pause: Callable[[float], None]) -> None:
    """Wait until the guest is done; raise `ProbeFailed` when it fails, ends or takes too long."""
    deadline = time.monotonic() + timeout
    while True:
        # Before the memory is read, because a guest that is done shuts its domain down.
        info = domain.info()
        head = Head.from_bytes(domain.memory.read(MAILBOX, HEAD_BYTES))
        if head.state == State.DONE:
            return
        if head.state == State.BROKEN:
            what = f"exception {head.broken_vector}, stack {' '.join(map(hex, head.stack))}"
            raise ProbeFailed(f"the probe guest failed ({what}) {_where(head, script)}")
        if info.flags & (DOMINF.shutdown | DOMINF.dying):
            reason = f" ({info.shutdown_reason!r})" if info.shutdown_reason is not None else ""
            raise ProbeFailed(f"the probe guest's domain shut down{reason} {_where(head, script)}")
        if time.monotonic() > deadline:
            raise ProbeFailed(
                f"the probe guest gave no answer within {timeout:g} s; it stopped {_where(head, script)}"
            )
        pause(POLL_SECONDS)


def _where(head: Head, script: Script) -> str:
    commands, state = script.commands, script.state.value
    if head.state == State.FRESH:
        return f"before its first command (APIC {state})"
    if head.progress >= len(commands):
        return f"after its last command (APIC {state})"
    return f"at command {head.progress} of {len(commands)}: {commands[head.progress]} (APIC {state})"
