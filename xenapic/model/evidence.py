"""How each APIC feature of a host follows from what Xen reports: physinfo, boot log, options, measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cached_property

from xenapic.apic.controls import CONTROLS, ControlWords, effective
from xenapic.apic.features import CONTROL_FIELDS, PRIMARY, Feature, Technology
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.model.apicbits import FIRST_BITS, offer_of
from xenapic.model.consequences import consequences
from xenapic.model.facts import Fact, no, unknown, yes
from xenapic.model.flags import PHYSCAP_X86
from xenapic.model.info import PhysInfo, Version
from xenapic.model.measured import Measurement
from xenapic.model.proposal import BIT
from xenapic.model.releases import activates_tertiary, chooses_alike
from xenapic.parse.bootlog import BootLog
from xenapic.parse.commandline import CommandLine

__all__ = ["APICV_OFF", "BY_APICV", "FIXED", "IN_LOG", "Evidence", "feature"]


@dataclass(frozen=True)
class Evidence:
    """The inputs of the rules for facts."""

    version: Version
    physinfo: PhysInfo
    log: BootLog
    measured: Measurement | None = None
    capabilities_from: str = field(default="physinfo")
    """What to call the source of ``physinfo.capabilities``."""
    technology_from: str = field(default="physinfo.hw_cap")
    """What to call the source of the technology."""

    @property
    def technology(self) -> Technology | None:
        """The extension that the processor offers to Xen."""
        return self.physinfo.technology

    @cached_property
    def options(self) -> CommandLine:
        """Xen's options: those it was built with, then those of the boot loader, as Xen reads them."""
        return CommandLine(self.version.commandline, self.log.built_in)

    @cached_property
    def direct(self) -> Mapping[str, Fact]:
        """The facts about controls that a source states, by `Feature.key`."""
        facts = {}
        for key in CONTROLS:
            for rule in (_arch_capabilities, _apicv_off, _logged):
                fact = rule(key, self)
                if fact is not None:
                    facts[key] = fact
                    break
        return facts

    @cached_property
    def implied(self) -> Mapping[str, bool]:
        """What the direct facts imply about the other controls by Xen's rules, by `Feature.key`."""
        if not chooses_alike(self.version.number):
            return {}
        known = tuple((key, bool(fact)) for key, fact in self.direct.items())
        apicv = False if _apicv_is_off(self) else None
        tertiary = activates_tertiary(self.version.number, self.version.extra)
        return consequences(known, apicv, tertiary)


ARCH_CAPS = "physinfo.arch_capabilities"
MEASURE = "measure it on a throw-away domain: Xen.measure(), xenapic host --measure"
REBOOT_FOR_LOG = "read Xen's log soon after boot (raise conring_size= if it wraps before)"


IN_LOG = {
    "virtualize_apic_accesses": "APIC MMIO access virtualisation",
    "tpr_shadow": "APIC TPR shadow",
    "apic_register_virtualization": "APIC Register Virtualization",
    "virtual_interrupt_delivery": "Virtual Interrupt Delivery",
    "posted_interrupts": "Posted Interrupt Processing",
    "msr_bitmaps": "MSR direct-access bitmap",
}
"""The item for a feature in Xen's boot log (``vmx_display_features``, ``xen/arch/x86/hvm/vmx/vmcs.c``)."""

BY_APICV = (
    "apic_register_virtualization",
    "virtual_interrupt_delivery",
    "virtualize_x2apic_mode",
    "posted_interrupts",
)
"""What ``apicv=0`` turns off (``vmx_init_vmcs_config``); posted interrupts need interrupt delivery.
Xen also uses these only together with the TPR shadow."""

APICV_OFF = no("option apicv= on Xen's command line turns it off")

FIXED = {
    "external_interrupt_exiting": yes("every Xen requires it of VMX (vmx_init_vmcs_config)"),
    "ipi_virtualization": no("no Xen up to 4.22 uses it (vmx_init_vmcs_config)"),
    "avic": no("no Xen up to 4.22 uses it"),
    "x2avic": no("no Xen up to 4.22 uses it"),
}


def feature(row: Feature, evidence: Evidence) -> Fact:
    """Return the answer of the first rule that has one; the strongest evidence comes first."""
    rules: tuple[Callable[[str, Evidence], Fact | None], ...] = (
        _measured,
        _no_guest,
        _fixed,
        _direct,
        _follows,
    )
    technology = evidence.technology
    if technology is not None and row.technology is not technology:
        return no(
            f"the processor has {technology.value}, not {row.technology.value} ({evidence.technology_from})"
        )
    for rule in rules:
        fact = rule(row.key, evidence)
        if fact is not None:
            return fact
    return _not_known(row.key, evidence)


MODES = {
    ApicState.XAPIC: "in xAPIC mode",
    ApicState.X2APIC: "in x2APIC mode",
    ApicState.RELOCATED: "in xAPIC mode at another base",
    ApicState.DISABLED: "with its APIC disabled",
}
"""A state in words, in the order of the search for a control."""


def _measured(key: str, evidence: Evidence) -> Fact | None:
    """Answer from the controls of a real guest: Xen uses a control if any state of the APIC has it."""
    states = evidence.measured.states if evidence.measured else {}
    if key not in CONTROLS or not states:
        return None
    for state in MODES:
        if state in states and effective(states[state].controls).has(key):
            return yes(_from_vmcs(key, state, states[state]))
    state = ApicState.X2APIC if key == "virtualize_x2apic_mode" else ApicState.XAPIC
    return no(_from_vmcs(key, state, states[state]))


def _from_vmcs(key: str, state: ApicState, words: ControlWords) -> str:
    field = CONTROL_FIELDS[CONTROLS[key][0]]
    if field.activated_by and not words.controls.has(field.activated_by):
        field = PRIMARY
    word = f"{field.printed}={words.texts()[field.key]}"
    return f"measured: {word} in the VMCS of a throw-away domain {MODES[state]}"


def _no_guest(_key: str, evidence: Evidence) -> Fact | None:
    why = evidence.physinfo.no_guest
    return no(str(why)) if why else None


def _fixed(key: str, _evidence: Evidence) -> Fact | None:
    return FIXED.get(key)


def _direct(key: str, evidence: Evidence) -> Fact | None:
    return evidence.direct.get(key)


def _arch_capabilities(key: str, evidence: Evidence) -> Fact | None:
    """Answer from the two bits that 4.17-rc reports, or from those of the proposal; 0 says nothing."""
    word = evidence.physinfo.arch_capabilities
    offer = offer_of(word)
    if offer is not None and key in BIT:
        return (yes if BIT[key] in offer.default else no)(f"{ARCH_CAPS} = {int(word or 0):#x}, default")
    if not word or not word & FIRST_BITS:
        return None
    if key == "virtualize_apic_accesses":
        return (yes if PHYSCAP_X86.ASSISTED_XAPIC in word else no)(ARCH_CAPS)
    if key == "virtualize_x2apic_mode":
        return (yes if PHYSCAP_X86.ASSISTED_X2APIC in word else no)(ARCH_CAPS)
    return None


def _apicv_is_off(evidence: Evidence) -> bool:
    return evidence.options.boolean("apicv") is False and not evidence.options.cut


def _apicv_off(key: str, evidence: Evidence) -> Fact | None:
    if key in BY_APICV and _apicv_is_off(evidence):
        return APICV_OFF
    return None


def _logged(key: str, evidence: Evidence) -> Fact | None:
    item, log = IN_LOG.get(key), evidence.log
    if item is None or log.technology is not Technology.VMX:
        return None
    if item in log.features:
        return yes(log.source(item))
    return None if log.gap else no(f"{log.listed}: its feature list lacks '{item}'")


def _follows(key: str, evidence: Evidence) -> Fact | None:
    """Answer with what Xen's own rules imply, and name the facts behind it."""
    answer = evidence.implied.get(key)
    return None if answer is None else (yes if answer else no)(_why(key, answer, evidence))


def _why(key: str, answer: bool, evidence: Evidence) -> str:
    shadow = evidence.direct.get("tpr_shadow")
    assistants = [
        evidence.direct.get(name) for name in ("apic_register_virtualization", "virtual_interrupt_delivery")
    ]
    if key in ("cr8_load_exiting", "cr8_store_exiting") and shadow is not None:
        return f"Xen drops CR8 exits when, and only when, it uses the TPR shadow ({shadow.source})"
    if key in BY_APICV and shadow is not None and not shadow:
        return f"Xen uses it only together with the TPR shadow ({shadow.source})"
    if key == "virtualize_x2apic_mode" and all(fact is not None and not fact for fact in assistants):
        return (
            "Xen uses it only together with register virtualization or virtual-interrupt delivery "
            f"({evidence.log.listed}, lacks both)"
            if evidence.log.list_lines
            else f"({evidence.log.name} lacks both)"
        )
    if key == "secondary_controls" and answer:
        return f"a secondary control is in use ({evidence.log.listed})"
    if key == "tertiary_controls" and not answer:
        return f"Xen {evidence.version} never activates them"
    return f"this follows from {evidence.log.listed}, by Xen's rules (vmx_init_vmcs_config)"


def _not_known(key: str, evidence: Evidence) -> Fact:
    log = evidence.log
    how = MEASURE
    if evidence.measured and evidence.measured.why_not:
        how = f"it cannot be measured on this host: {evidence.measured.why_not}"
    if log.technology is Technology.VMX and log.gap:
        return unknown(f"the feature list in {log.name} is incomplete: {log.gap}", how)
    if not log.trusted:
        return unknown(log.doubt, how)
    if not chooses_alike(evidence.version.number):
        return unknown(f"how Xen {evidence.version.release} chooses its controls is not modelled", how)
    if key != "virtualize_x2apic_mode" and not log.whole and log.technology is None:
        return unknown(log.doubt, f"{how}; {REBOOT_FOR_LOG}")
    return unknown("Xen neither logs nor reports it", how)
