"""What Xen's boot log says about a machine's interrupt hardware: its own x2APIC mode, the IOMMU.

Sources: ``x2apic_bsp_setup`` (``xen/arch/x86/apic.c``), ``apic_x2apic_probe`` (``genapic/x2apic.c``),
``generic_apic_probe`` (``genapic/probe.c``), ``iommu_setup`` (``xen/drivers/passthrough/iommu.c``),
``vtd_setup`` (``passthrough/vtd/iommu.c``) of 4.13 to 4.22; older releases print most of the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from xenapic.frozen import dataclass
from xenapic.model.evidence import REBOOT_FOR_LOG
from xenapic.model.facts import Fact, no, unknown, yes
from xenapic.parse.bootlog import BootLog

__all__ = ["MACHINE", "MachineFact", "machine_facts"]


@dataclass(frozen=True, slots=True)
class MachineFact:
    """A fact about the machine, and the lines that answer it."""

    key: str
    title: str
    yes: re.Pattern[str]
    no: re.Pattern[str]


def _fact(key: str, title: str, yes: str, no: str) -> MachineFact:
    return MachineFact(key, title, re.compile(yes), re.compile(no))


MACHINE = (
    _fact(
        "host_x2apic",
        "Xen runs the host's own APICs in x2APIC mode",
        r"x2APIC mode is already enabled by BIOS\.|(?:Switched to|Using) APIC driver x2apic_\w+"
        r"|x2APIC: Already enabled by BIOS: Ignoring cmdline disable\.",
        r"Not enabling x2APIC.*|.*Will not enable x2APIC\.",
    ),
    _fact(
        "x2apic_opt_out",
        "the firmware asks not to use x2APIC mode",
        r"Not enabling x2APIC \(upon firmware request\).*",
        r"x2APIC mode is already enabled by BIOS\.|(?:Switched to|Using) APIC driver x2apic_\w+",
    ),
    _fact("iommu", "Xen uses an IOMMU", "I/O virtualisation enabled", "I/O virtualisation disabled"),
    _fact(
        "interrupt_remapping",
        "Xen uses the IOMMU's interrupt remapping",
        r"(?:Intel VT-d )?Interrupt [Rr]emapping enabled\.?",
        r"(?:Intel VT-d Interrupt Remapping not enabled|Interrupt remapping disabled"
        r"|Failed to enable Interrupt Remapping.*|I/O virtualisation disabled)\.?",
    ),
    _fact(
        "vtd_posted_interrupts",
        "Xen uses VT-d's posted interrupts",
        r"Intel VT-d Posted Interrupt enabled\.",
        r"Intel VT-d Posted Interrupt (?:not enabled\.|is disabled .*)|I/O virtualisation disabled",
    ),
    _fact(
        "shared_page_tables",
        "the IOMMU shares the guests' page tables (EPT)",
        r"Intel VT-d Shared EPT tables enabled\.",
        r"Intel VT-d Shared EPT tables not enabled\.|I/O virtualisation disabled",
    ),
)
"""In the order of the report."""


def machine_facts(log: BootLog) -> Mapping[str, Fact]:
    """Return what a log says about each of `MACHINE`, by key; the last line that answers counts."""
    return {row.key: _answer(row, log) for row in MACHINE}


def _answer(row: MachineFact, log: BootLog) -> Fact:
    makers: tuple[tuple[re.Pattern[str], Callable[[str], Fact]], ...] = ((row.yes, yes), (row.no, no))
    for at in range(len(log.lines) - 1, -1, -1):
        for pattern, make in makers:
            if pattern.fullmatch(log.lines[at]):
                return make(log.place(at))
    return unknown(f"no line of {log.name} says it", REBOOT_FOR_LOG)
