"""The machines the lab can be: a table of emulated processors and what each offers Xen.

What a machine offers was read from the VMCS of a domain on Debian's Xen 4.17.7 (see the
specification); it is what Xen makes of the emulated processor, not the emulator's claim.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import LabUsageError

TPR = "TPR shadow"
ACCESSES = "APIC accesses"
X2APIC = "x2APIC mode"
REGISTERS = "register virtualization"
DELIVERY = "virtual-interrupt delivery"
POSTED = "posted interrupts"

_FULL = (TPR, ACCESSES, X2APIC, REGISTERS, DELIVERY)


@dataclass(frozen=True)
class Machine:
    """One emulated machine; `name` is the emulator's own name for the processor model."""

    name: str
    emulator: str
    vendor: str
    offers: tuple[str, ...]
    notes: str = ""
    dom0_args: tuple[str, ...] = ()


_ICE = ("clearcpuid=fsrm",)
_UNALIGNED = "guests start only with Xen's apicv=0: Bochs wants an aligned posted-interrupt page"

MACHINES = {
    m.name: m
    for m in (
        Machine("epyc", "qemu", "AMD", ("SVM", "nested paging"), "no AVIC; the quickest"),
        Machine(
            "core2_penryn_t9600", "bochs", "Intel", (TPR, ACCESSES), "no EPT: HAP is refused"
        ),
        Machine(
            "corei5_lynnfield_750", "bochs", "Intel", (TPR, ACCESSES), "no unrestricted guest"
        ),
        Machine("corei7_sandy_bridge_2600k", "bochs", "Intel", (TPR, ACCESSES)),
        Machine("corei7_ivy_bridge_3770k", "bochs", "Intel", (TPR, ACCESSES)),
        Machine("corei7_haswell_4770", "bochs", "Intel", _FULL),
        Machine("broadwell_ult", "bochs", "Intel", _FULL),
        Machine("corei7_skylake_x", "bochs", "Intel", (*_FULL, POSTED), _UNALIGNED),
        Machine("corei7_icelake_u", "bochs", "Intel", (*_FULL, POSTED), _UNALIGNED, _ICE),
        Machine("tigerlake", "bochs", "Intel", (*_FULL, POSTED), _UNALIGNED, _ICE),
        Machine(
            "corei3_cnl", "bochs", "Intel", (TPR, ACCESSES, X2APIC),
            "x2APIC mode without register virtualization: Xen does not use it",
        ),
        Machine("ryzen", "bochs", "AMD", ("SVM", "nested paging"), "no AVIC"),
    )
}  # fmt: skip
DEFAULT_MACHINE = "epyc"


def machine(name: str) -> Machine:
    """The machine named `name`; `LabUsageError` lists the known ones otherwise."""
    try:
        return MACHINES[name]
    except KeyError:
        known = ", ".join(MACHINES)
        raise LabUsageError(f"no machine {name!r} in the lab; there are: {known}") from None
