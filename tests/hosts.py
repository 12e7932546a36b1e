"""Invented hosts for tests; no Xen is needed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from xenapic.apic.features import Technology
from xenapic.model.conditions import Situation
from xenapic.model.flags import DOMINF, EMU, MISC, PHYSCAP, PHYSCAP_X86
from xenapic.model.host import Host, describe
from xenapic.model.info import DomainInfo, PhysInfo, Version
from xenapic.model.measured import Measurement
from xenapic.parse.bootlog import BootLog, parse

VMX = (0, 1 << 5, 0, 0, 0, 0, 0, 0)
SVM = (0, 0, 0, 1 << 2, 0, 0, 0, 0)

INTEL_LOG = b"""(XEN) Xen version 4.17.7 (Debian)
(XEN) VMX: Supported advanced features:
(XEN)  - APIC MMIO access virtualisation
(XEN)  - APIC TPR shadow
(XEN)  - MSR direct-access bitmap
(XEN)  - APIC Register Virtualization
(XEN)  - Virtual Interrupt Delivery
(XEN) HVM: VMX enabled
"""


def physinfo(**changes: Any) -> PhysInfo:
    values: dict[str, Any] = dict(
        threads_per_core=1,
        cores_per_socket=1,
        nr_cpus=1,
        max_cpu_id=0,
        nr_nodes=1,
        max_node_id=0,
        cpu_khz=1_000_000,
        capabilities=PHYSCAP.hvm | PHYSCAP.pv | PHYSCAP.hap | PHYSCAP.gnttab_v1 | PHYSCAP.gnttab_v2,
        arch_capabilities=PHYSCAP_X86(0),
        total_pages=100_000,
        free_pages=50_000,
        scrub_pages=0,
        outstanding_pages=0,
        max_mfn=100_000,
        hw_cap=VMX,
    )
    return PhysInfo(**{**values, **changes})


def domain_info(**changes: Any) -> DomainInfo:
    values: dict[str, Any] = dict(
        domid=7,
        flags=DOMINF.hvm_guest,
        shutdown_reason=None,
        tot_pages=0,
        max_pages=0,
        outstanding_pages=0,
        shr_pages=0,
        paged_pages=0,
        shared_info_frame=0,
        cpu_time=0,
        nr_online_vcpus=1,
        max_vcpu_id=0,
        ssidref=0,
        handle=UUID(int=1),
        cpupool=0,
        gpaddr_bits=None,
        emulation_flags=EMU.LAPIC,
        misc_flags=MISC(0),
    )
    return DomainInfo(**{**values, **changes})


def version(release: str = "4.17", extra: str = ".7", commandline: str = "") -> Version:
    major, minor = release.split(".")
    return Version(int(major), int(minor), extra, ("hvm-3.0-x86_64",), "", commandline)


def host(
    release: str = "4.17",
    extra: str = ".7",
    commandline: str = "",
    log: bytes = INTEL_LOG,
    start: int = 0,
    probe: int | None = None,
    measured: Measurement | None = None,
    **phys: Any,
) -> Host:
    read: BootLog = parse(log, start, commandline)
    return describe(version(release, extra, commandline), physinfo(**phys), read, probe, measured)


def development(capabilities: int, arch_capabilities: int, technology: Technology = Technology.VMX) -> Host:
    """A 4.17-rc host; the interface is set explicitly, because arch_capabilities may be 0."""
    made = host(
        extra="-rc",
        capabilities=PHYSCAP(capabilities),
        arch_capabilities=PHYSCAP_X86(arch_capabilities),
        hw_cap=VMX if technology is Technology.VMX else SVM,
        probe=19 if not arch_capabilities else None,
    )
    assert made.release.name == "4.17-rc"
    return made


def situation(made: Host | None = None, **changes: Any) -> Situation:
    return replace(Situation(made or host()), **changes)
