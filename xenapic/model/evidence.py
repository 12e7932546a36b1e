"""How each fact of a host follows from what Xen reports: physinfo, boot log, command line, measurement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from errno import EINVAL, ENODEV

from xenapic.apic.controls import CONTROLS, ControlWords, effective
from xenapic.apic.features import CONTROL_FIELDS, PRIMARY, Feature, Technology
from xenapic.apic.state import ApicState
from xenapic.model.facts import Answer, Fact, no, unknown, yes
from xenapic.model.flags import PHYSCAP, PHYSCAP_X86
from xenapic.model.info import PhysInfo, Version
from xenapic.model.measured import Measurement
from xenapic.model.releases import DEVELOPMENT
from xenapic.parse.bootlog import BootLog
from xenapic.parse.commandline import CommandLine

__all__ = ["BY_APICV", "IN_LOG", "Evidence"]


@dataclass(frozen=True)
class Evidence:
    """What the facts are worked out from."""

    version: Version
    physinfo: PhysInfo
    log: BootLog
    options: CommandLine
    technology: Technology | None
    measured: Measurement | None


LOG = "Xen's boot log"
ARCH_CAPS = "physinfo.arch_capabilities"
MEASURE = "measure it on a throw-away domain: Xen.measure(), xenapic host --measure"
NOT_WHOLE = (
    "Xen's log no longer holds its start (it wrapped or was cleared), so a guest may have written any of it"
)
REBOOT_FOR_LOG = "read Xen's log soon after boot (raise conring_size= if it wraps before)"


# -- APIC features ----------------------------------------------------------------------------------

IN_LOG = {
    "virtualize_apic_accesses": "APIC MMIO access virtualisation",
    "tpr_shadow": "APIC TPR shadow",
    "apic_register_virtualization": "APIC Register Virtualization",
    "virtual_interrupt_delivery": "Virtual Interrupt Delivery",
    "posted_interrupts": "Posted Interrupt Processing",
    "msr_bitmaps": "MSR direct-access bitmap",
}
"""How ``vmx_display_features`` (``xen/arch/x86/hvm/vmx/vmcs.c``) words a feature; 4.15 to 4.22 alike."""

BY_APICV = (
    "apic_register_virtualization",
    "virtual_interrupt_delivery",
    "virtualize_x2apic_mode",
    "posted_interrupts",
)
"""What ``apicv=0`` switches off (``vmx_init_vmcs_config``); posted interrupts need interrupt delivery."""

NEEDS_TPR_SHADOW = BY_APICV
"""What Xen takes only together with the TPR shadow."""

FIXED = {
    "external_interrupt_exiting": yes("every Xen requires it of VMX (vmx_init_vmcs_config)"),
    "ipi_virtualization": no("no Xen up to 4.22 uses it (vmx_init_vmcs_config)"),
    "avic": no("no Xen up to 4.22 uses it"),
    "x2avic": no("no Xen up to 4.22 uses it"),
}


def feature(row: Feature, evidence: Evidence) -> Fact:
    """Return the first rule's answer; the rules stand in the order of their weight."""
    rules: tuple[Callable[[str, Evidence], Fact | None], ...] = (
        _measured,
        _no_guest,
        _fixed,
        _arch_capabilities,
        _apicv_off,
        _logged,
        _follows,
    )
    if row.technology is not evidence.technology and evidence.technology is not None:
        return no(
            f"the processor has {evidence.technology.value}, not {row.technology.value} (physinfo.hw_cap)"
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
"""How to say a state, in the order in which a control is looked for."""


def _measured(key: str, evidence: Evidence) -> Fact | None:
    """The truth: what the processor is told for a guest. Xen uses a control if any state has it."""
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


def _arch_capabilities(key: str, evidence: Evidence) -> Fact | None:
    """4.17-rc reports two bits; no other release sets any, so 0 says nothing."""
    word = evidence.physinfo.arch_capabilities
    if not word:
        return None
    if key == "virtualize_apic_accesses":
        return (yes if PHYSCAP_X86.ASSISTED_XAPIC in word else no)(ARCH_CAPS)
    if key == "virtualize_x2apic_mode":
        return (yes if PHYSCAP_X86.ASSISTED_X2APIC in word else no)(ARCH_CAPS)
    return None


def _apicv_off(key: str, evidence: Evidence) -> Fact | None:
    if key in BY_APICV and evidence.options.boolean("apicv") is False and not evidence.options.cut:
        return no("option apicv= on Xen's command line switches it off")
    return None


def _logged(key: str, evidence: Evidence) -> Fact | None:
    line = IN_LOG.get(key)
    if line is None or evidence.log.technology is not Technology.VMX:
        return None
    if line in evidence.log.features:
        return yes(f"{LOG}: '{line}'")
    return no(f"{LOG}: its feature list lacks '{line}'")


def _follows(key: str, evidence: Evidence) -> Fact | None:
    """What Xen's own rules make of the facts above."""
    shadow = _logged("tpr_shadow", evidence)
    if shadow is None:
        return None
    if key in ("cr8_load_exiting", "cr8_store_exiting"):
        rule = "Xen drops CR8 exits when, and only when, it uses the TPR shadow"
        return (no if shadow else yes)(f"{rule} ({shadow.source})")
    if key in NEEDS_TPR_SHADOW and not shadow:
        return no(f"Xen uses it only together with the TPR shadow ({shadow.source})")
    if key == "secondary_controls" and any(
        _logged(other, evidence)
        for other in (
            "virtualize_apic_accesses",
            "apic_register_virtualization",
            "virtual_interrupt_delivery",
        )
    ):
        return yes(f"a secondary control is in use ({LOG})")
    return None


def _not_known(key: str, evidence: Evidence) -> Fact:
    how = MEASURE
    if evidence.measured and evidence.measured.why_not:
        how = f"it cannot be measured on this host: {evidence.measured.why_not}"
    if not evidence.log.trusted:
        return unknown("dom0 can write into Xen's log (console_to_ring), so it is not believed", how)
    if key != "virtualize_x2apic_mode" and not evidence.log.whole:
        return unknown(NOT_WHOLE, f"{how}; {REBOOT_FOR_LOG}")
    return unknown("Xen neither logs nor reports it", how)


# -- the per-domain interface -------------------------------------------------------------------------


def interface(version: Version, physinfo: PhysInfo, probe: int | None) -> Fact:
    """Tell whether createdomain takes the assisted flags (only 4.17.0-rc1 to rc3 did)."""
    if version.release != DEVELOPMENT.number_text:
        return no(f"Xen {version.release} never had it (it was in 4.17.0-rc1 to rc3 only)")
    if physinfo.arch_capabilities:
        return yes(f"{ARCH_CAPS} = {int(physinfo.arch_capabilities):#x}; only the interface sets it")
    if probe == ENODEV:
        return yes(
            "a create with an assisted flag was answered ENODEV: the interface is there, the hardware is not"
        )
    if probe == EINVAL:
        return no("a create with an assisted flag was answered EINVAL: the flag is unknown to this Xen")
    point = version.extra.removeprefix(".").split(".")[0].split("-")[0]
    if point.isdigit() and "-rc" not in version.extra:
        return no(f"Xen calls itself {version}; it was taken out before 4.17.0")
    return unknown(
        f"{ARCH_CAPS} is 0 on {version}: no interface, or no hardware for it",
        "ask with the safe probe: Xen.host(probe=True), xenapic host --probe",
    )


def offered(bit: PHYSCAP_X86, interface: Fact, physinfo: PhysInfo) -> Fact:
    if interface.answer is Answer.NO:
        return no(interface.source)
    if not interface.known:
        return unknown(interface.source, interface.how)
    word = physinfo.arch_capabilities or PHYSCAP_X86(0)
    return (yes if bit in word else no)(f"{ARCH_CAPS} = {int(word):#x}")


def tboot(log: BootLog) -> Fact:
    if log.says("TBOOT: found shared page"):
        return yes(LOG)
    return unknown(
        "Xen does not tell whether it was built with CONFIG_TBOOT", "look into its build configuration"
    )


def flask(log: BootLog) -> Fact:
    if log.says("Flask:"):
        return yes(LOG)
    if log.whole:
        return no(f"{LOG} names no Flask")
    return unknown(NOT_WHOLE, REBOOT_FOR_LOG)


NESTED_SVM = (
    "Last Branch Record (LBR) Virtualisation",
    "Next-RIP Saved on #VMEXIT",
    "TLB flush by ASID",
    "DecodeAssists",
)
"""What ``start_nested_svm`` (``xen/arch/x86/hvm/svm/nestedsvm.c``, since 4.19) asks for, as logged."""


def nested_virt(evidence: Evidence) -> Fact:
    if PHYSCAP.hap not in evidence.physinfo.capabilities:
        return no("it needs hap, which physinfo lacks")
    if evidence.technology is Technology.VMX:
        return yes("VMX with hap (physinfo)")
    if evidence.log.technology is not Technology.SVM:
        return unknown(NOT_WHOLE, REBOOT_FOR_LOG)
    lacking = [line for line in NESTED_SVM if line not in evidence.log.features]
    if lacking:
        return no(f"{LOG}: the processor lacks {', '.join(lacking)}")
    return yes(f"{LOG}: {', '.join(NESTED_SVM)}")


def altp2m(evidence: Evidence) -> Fact:
    if evidence.technology is not Technology.VMX or PHYSCAP.hap not in evidence.physinfo.capabilities:
        return no("it needs Intel's EPT (physinfo)")
    if evidence.options.flag("altp2m"):
        return yes("option altp2m on Xen's command line")
    if evidence.options.cut:
        return unknown("Xen tells only a part of its command line", "look at the boot loader's configuration")
    return no("Xen's command line lacks altp2m")
