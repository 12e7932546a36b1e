"""The processor features that run a guest's local APIC in hardware. Pure data.

Sources: Intel SDM volume 3C, "VM-execution control fields" and "APIC
virtualization and virtual interrupts"; AMD APM volume 2, section 15.29.
"""

from __future__ import annotations

from enum import Enum

from xenapic.errors import NameUnknown
from xenapic.frozen import dataclass

__all__ = ["CONTROL_FIELDS", "FEATURES", "ControlField", "Feature", "Technology", "feature"]


class Technology(Enum):
    """A processor's virtualisation extension."""

    VMX = "VMX"
    SVM = "SVM"


@dataclass(frozen=True, slots=True)
class ControlField:
    """One of the four words of VM-execution controls, with each name it goes by."""

    key: str
    """The name in `Controls` and in `ControlWords`."""
    name: str
    """The SDM's name, without "VM-execution controls"."""
    capability: str
    """The MSRs that say which of its bits the processor allows to be 1."""
    printed: str
    """The name in Xen's dump of a VMCS (``vmcs_dump_vcpu``)."""
    recorded: str
    """The key in recordings and in host reports."""
    digits: int = 8
    """The number of hexadecimal digits in the word."""
    activated_by: str | None = None
    """`Feature.key` of the control that must be 1 for the word to count; None if it always counts."""

    def text(self, word: int) -> str:
        """Return the word in hexadecimal, as Xen prints it."""
        return f"{word:0{self.digits}x}"


PIN = ControlField("pin_based", "pin-based", "MSR 0x481, 0x48D", "PinBased", "pin_based")
PRIMARY = ControlField("primary", "primary", "MSR 0x482, 0x48E", "CPUBased", "cpu_based")
SECONDARY = ControlField(
    "secondary", "secondary", "MSR 0x48B", "SecondaryExec", "secondary", activated_by="secondary_controls"
)
TERTIARY = ControlField(
    "tertiary", "tertiary", "MSR 0x492", "TertiaryExec", "tertiary", 16, activated_by="tertiary_controls"
)
CONTROL_FIELDS = {field.key: field for field in (PIN, PRIMARY, SECONDARY, TERTIARY)}
"""By `ControlField.key`, in the order in which Xen prints them."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One control (Intel) or CPUID feature (AMD)."""

    key: str
    """The name used in programs and in JSON."""
    name: str
    """The SDM's or APM's name."""
    technology: Technology
    field: str
    """The VM-execution control field, or the CPUID leaf and register."""
    bit: int
    capability: str
    """Where the processor reports the feature."""
    short: str
    """A name for narrow tables."""


SVM_LEAF = "CPUID 8000000A EDX"


def _vmx(key: str, name: str, field: ControlField, bit: int, short: str = "") -> Feature:
    return Feature(key, name, Technology.VMX, field.name, bit, field.capability, short or name)


def _svm(key: str, name: str, bit: int) -> Feature:
    return Feature(key, name, Technology.SVM, SVM_LEAF, bit, SVM_LEAF, name)


FEATURES = (
    _vmx("external_interrupt_exiting", "external-interrupt exiting", PIN, 0),
    _vmx("posted_interrupts", "process posted interrupts", PIN, 7, "posted"),
    _vmx("cr8_load_exiting", "CR8-load exiting", PRIMARY, 19, "CR8-load exits"),
    _vmx("cr8_store_exiting", "CR8-store exiting", PRIMARY, 20, "CR8-store exits"),
    _vmx("tpr_shadow", "use TPR shadow", PRIMARY, 21, "TPR shadow"),
    _vmx("msr_bitmaps", "use MSR bitmaps", PRIMARY, 28),
    _vmx("tertiary_controls", "activate tertiary controls", PRIMARY, 17),
    _vmx("secondary_controls", "activate secondary controls", PRIMARY, 31),
    _vmx("virtualize_apic_accesses", "virtualize APIC accesses", SECONDARY, 0, "APIC accesses"),
    _vmx("virtualize_x2apic_mode", "virtualize x2APIC mode", SECONDARY, 4, "x2APIC mode"),
    _vmx("apic_register_virtualization", "APIC-register virtualization", SECONDARY, 8, "registers"),
    _vmx("virtual_interrupt_delivery", "virtual-interrupt delivery", SECONDARY, 9, "delivery"),
    _vmx("ipi_virtualization", "IPI virtualization", TERTIARY, 4),
    _svm("avic", "AVIC", 13),
    _svm("x2avic", "x2AVIC", 18),
)
"""Every feature that affects APIC acceleration, in the order of display."""


def feature(key: str) -> Feature:
    """Return the feature with this key; raise `NameUnknown` when there is none."""
    for row in FEATURES:
        if row.key == key:
            return row
    raise NameUnknown.among("feature", key, [row.key for row in FEATURES])
