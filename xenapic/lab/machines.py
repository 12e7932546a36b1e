"""The lab's machines: a table of emulated processors and what each offers Xen.

`xenapic.apic.processors` knows what a processor offers, by the same names.
"""

from __future__ import annotations

from dataclasses import dataclass

from xenapic.apic.processors import emulated
from xenapic.lab.errors import LabUsageError

LABELS = {
    "tpr_shadow": "TPR shadow",
    "virtualize_apic_accesses": "APIC accesses",
    "virtualize_x2apic_mode": "x2APIC mode",
    "apic_register_virtualization": "register virtualization",
    "virtual_interrupt_delivery": "virtual-interrupt delivery",
    "posted_interrupts": "posted interrupts",
    "tertiary_controls": "tertiary controls",
    "avic": "AVIC",
    "x2avic": "x2AVIC",
}
"""Short names of the features in which the machines differ, by `Feature.key`."""


BOCHS = (3, 0)
"""The version of Bochs that the table describes; in older versions some models differ."""


@dataclass(frozen=True)
class Machine:
    """One emulated machine; `name` is the emulator's own name for the processor model."""

    name: str
    emulator: str
    vendor: str
    offers: tuple[str, ...]
    notes: str = ""
    dom0_args: tuple[str, ...] = ()

    @property
    def since(self) -> tuple[int, int]:
        """The first version of Bochs that has this model; (0, 0) for those in every version."""
        return SINCE.get(self.name, (0, 0))


SINCE = {"sapphire_rapids": (2, 8), "arrow_lake": (3, 0)}


def _machine(
    name: str, notes: str = "", *, also: tuple[str, ...] = (), dom0_args: tuple[str, ...] = ()
) -> Machine:
    """Return a machine that offers what its processor offers in the preferred Bochs, and `also`."""
    row = emulated(name, BOCHS)
    offers = tuple(label for key, label in LABELS.items() if key in row.offers)
    vendor = {"VMX": "Intel", "SVM": "AMD"}[row.technology.value]
    return Machine(name, row.emulated_by, vendor, (*also, *offers), notes, dom0_args)


_SVM = ("SVM", "nested paging")
_ICE = ("clearcpuid=fsrm",)
_UNUSED = "Xen does not use x2APIC mode without register virtualization"
_PAGE = (
    "guests start only with Xen's apicv=0, or on a Xen built with --for-bochs: Bochs requires a page-aligned"
    " posted-interrupt descriptor, Xen aligns it to 64 bytes"
)
_POSTED = f"{_PAGE}; no posted interrupts in Bochs 2.7, where guests start"

MACHINES = {
    m.name: m
    for m in (
        _machine("epyc", "no AVIC; the fastest", also=_SVM),
        _machine("core2_penryn_t9600", "no EPT: HAP is refused"),
        _machine("corei5_lynnfield_750", f"no unrestricted guest; {_UNUSED}"),
        _machine("corei7_sandy_bridge_2600k", "x2APIC mode in Bochs 2.7 only"),
        _machine("corei7_ivy_bridge_3770k", _UNUSED),
        _machine("corei7_haswell_4770"),
        _machine("broadwell_ult"),
        _machine("corei7_skylake_x", _POSTED),
        _machine("corei7_icelake_u", _POSTED, dom0_args=_ICE),
        _machine("tigerlake", _POSTED, dom0_args=_ICE),
        _machine("corei3_cnl", _UNUSED),
        _machine("sapphire_rapids", f"{_PAGE}; not in Bochs 2.7", dom0_args=_ICE),
        _machine("arrow_lake", f"{_PAGE}; not in Bochs 2.7", dom0_args=_ICE),
        _machine("ryzen", "no AVIC", also=_SVM),
    )
}
DEFAULT_MACHINE = "epyc"


def machine(name: str) -> Machine:
    """Return the machine named `name`; raise `LabUsageError` with the known ones if there is none."""
    try:
        return MACHINES[name]
    except KeyError:
        known = ", ".join(MACHINES)
        raise LabUsageError(f"no machine {name!r} in the lab; there are: {known}") from None
