"""The machines the lab can be: a table of emulated processors and what each offers Xen.

What a machine offers is in `xenapic.apic.processors`, by the same names.
"""

from __future__ import annotations

from dataclasses import dataclass

from xenapic.apic.processors import PROCESSORS
from xenapic.lab.errors import LabUsageError

LABELS = {
    "tpr_shadow": "TPR shadow",
    "virtualize_apic_accesses": "APIC accesses",
    "virtualize_x2apic_mode": "x2APIC mode",
    "apic_register_virtualization": "register virtualization",
    "virtual_interrupt_delivery": "virtual-interrupt delivery",
    "posted_interrupts": "posted interrupts",
    "avic": "AVIC",
    "x2avic": "x2AVIC",
}
"""Short names of the features in which the machines differ, by `Feature.key`."""


@dataclass(frozen=True)
class Machine:
    """One emulated machine; `name` is the emulator's own name for the processor model."""

    name: str
    emulator: str
    vendor: str
    offers: tuple[str, ...]
    notes: str = ""
    dom0_args: tuple[str, ...] = ()


def _machine(
    name: str, notes: str = "", *, also: tuple[str, ...] = (), dom0_args: tuple[str, ...] = ()
) -> Machine:
    """A machine offering what its processor does with every release of the emulator, and `also`."""
    rows = [row for row in PROCESSORS.values() if row.name.partition("@")[0] == name]
    offers = tuple(label for key, label in LABELS.items() if all(key in row.offers for row in rows))
    vendor = {"VMX": "Intel", "SVM": "AMD"}[rows[0].technology.value]
    return Machine(name, rows[0].emulated_by, vendor, (*also, *offers), notes, dom0_args)


_SVM = ("SVM", "nested paging")
_ICE = ("clearcpuid=fsrm",)
_UNUSED = "Xen does not use x2APIC mode without register virtualization"
_POSTED = (
    "posted interrupts too since Bochs 2.8; there guests start only with Xen's apicv=0:"
    " Bochs wants an aligned posted-interrupt page"
)

MACHINES = {
    m.name: m
    for m in (
        _machine("epyc", "no AVIC; the quickest", also=_SVM),
        _machine("core2_penryn_t9600", "no EPT: HAP is refused"),
        _machine("corei5_lynnfield_750", f"no unrestricted guest; {_UNUSED}"),
        _machine("corei7_sandy_bridge_2600k", f"x2APIC mode too before Bochs 2.8; {_UNUSED}"),
        _machine("corei7_ivy_bridge_3770k", _UNUSED),
        _machine("corei7_haswell_4770"),
        _machine("broadwell_ult"),
        _machine("corei7_skylake_x", _POSTED),
        _machine("corei7_icelake_u", _POSTED, dom0_args=_ICE),
        _machine("tigerlake", _POSTED, dom0_args=_ICE),
        _machine("corei3_cnl", _UNUSED),
        _machine("ryzen", "no AVIC", also=_SVM),
    )
}
DEFAULT_MACHINE = "epyc"


def machine(name: str) -> Machine:
    """The machine named `name`; `LabUsageError` lists the known ones otherwise."""
    try:
        return MACHINES[name]
    except KeyError:
        known = ", ".join(MACHINES)
        raise LabUsageError(f"no machine {name!r} in the lab; there are: {known}") from None
