"""How the facts of a host that are not APIC features follow from what Xen reports."""

from __future__ import annotations

from errno import EINVAL, ENODEV

from xenapic.apic.features import Technology
from xenapic.model.apicbits import FIRST_BITS, offer_of
from xenapic.model.evidence import ARCH_CAPS, REBOOT_FOR_LOG, Evidence
from xenapic.model.facts import Answer, Fact, no, unknown, yes
from xenapic.model.flags import PHYSCAP, PHYSCAP_X86
from xenapic.model.info import PhysInfo, Version
from xenapic.model.releases import DEVELOPMENT, XenRelease
from xenapic.parse.bootlog import BootLog
from xenapic.parse.flagnames import names

__all__ = [
    "NESTED_SINCE",
    "altp2m",
    "flask",
    "interface",
    "interface_of",
    "nested_virt",
    "offered",
    "offered_by",
    "per_control",
    "tboot",
]

FIND_VERSION = "find out its version"
NESTED_SINCE = (4, 19)
"""The first release that checks the processor before it offers nested virtualization."""
NESTED_SVM = (
    "Last Branch Record (LBR) Virtualisation",
    "Next-RIP Saved on #VMEXIT",
    "TLB flush by ASID",
    "DecodeAssists",
)
"""What ``start_nested_svm`` requires since 4.19 (``xen/arch/x86/hvm/svm/nestedsvm.c``), as logged."""


def interface(version: Version, physinfo: PhysInfo, probe: int | None) -> Fact:
    """Return whether createdomain accepts the assisted flags; only 4.17.0-rc1 to rc3 did."""
    if not version.known:
        return unknown("it is not known which Xen this is", FIND_VERSION)
    if version.release != DEVELOPMENT.number_text:
        return no(f"Xen {version.release} never had it (it was in 4.17.0-rc1 to rc3 only)")
    word = int(physinfo.arch_capabilities or 0)
    if word & FIRST_BITS:
        return yes(f"{ARCH_CAPS} = {word:#x}, which only the interface sets")
    if offer_of(word) is not None:
        return no(f"{ARCH_CAPS} = {word:#x}: this Xen has one bit per control instead")
    return PROBED[probe] if probe in PROBED else _by_name(version, physinfo)


NO_OFFER = no("no released Xen has it")


def per_control(version: Version, physinfo: PhysInfo) -> Fact:
    """Return whether each domain can choose each control, as the proposal has it."""
    word = physinfo.arch_capabilities
    offer = offer_of(word)
    if word is None:
        return NO_OFFER
    if offer is None:
        return no(f"{ARCH_CAPS} = {int(word):#x}, which offers no control to a domain")
    parts = (("available", offer.available), ("default", offer.default))
    listed = ", ".join(f"{word} {'|'.join(names(bits)) or 'none'}" for word, bits in parts)
    return yes(f"{ARCH_CAPS} = {int(word):#x}: {listed}")


def interface_of(release: XenRelease) -> Fact:
    """Return whether createdomain of a release accepts the assisted flags."""
    if release.per_domain_apic:
        return yes(f"Xen {release.name} lets a domain choose")
    return no(f"Xen {release.name} does not have it (only 4.17.0-rc1 to rc3 had it)")


def offered_by(interface: Fact, feature: Fact) -> Fact:
    """Return whether a domain can ask for assistance: a Xen with the interface offers what it uses."""
    return feature if interface else interface


PROBED = {
    ENODEV: yes(
        "Xen answered ENODEV to a create with an assisted flag: it knows the flag, the hardware is missing"
    ),
    EINVAL: no("Xen answered EINVAL to a create with an assisted flag: it does not know the flag"),
}
"""What each answer to the safe probe means."""


def _by_name(version: Version, physinfo: PhysInfo) -> Fact:
    """Return what a 4.17's own name says about the interface."""
    point = version.extra.removeprefix(".").split(".")[0].split("-")[0]
    if point.isdigit() and "-rc" not in version.extra:
        return no(f"this Xen calls itself {version}, and the interface was removed before 4.17.0")
    if physinfo.arch_capabilities is None:
        return unknown(f"Xen {version} can be one that had it (4.17.0-rc1 to rc3)", "ask the running host")
    return unknown(
        f"{ARCH_CAPS} is 0 on {version}: no interface, or no hardware for it",
        "ask with the safe probe: Xen.host(probe=True), xenapic host --probe",
    )


def offered(bit: PHYSCAP_X86, interface: Fact, physinfo: PhysInfo) -> Fact:
    """Return whether a domain can ask for one kind of assistance."""
    if interface.answer is Answer.NO:
        return no(interface.source)
    if not interface.known:
        return unknown(interface.source, interface.how)
    word = physinfo.arch_capabilities or PHYSCAP_X86(0)
    return (yes if bit in word else no)(f"{ARCH_CAPS} = {int(word):#x}")


def tboot(log: BootLog) -> Fact:
    """Return whether Xen has tboot support."""
    if log.says("TBOOT: found shared page"):
        return yes(log.name)
    return unknown(
        "Xen does not report whether it was built with CONFIG_TBOOT", "look at its build configuration"
    )


def flask(log: BootLog) -> Fact:
    """Return whether Xen runs the Flask security module."""
    if log.says("Flask:"):
        return yes(log.name)
    if log.whole:
        return no(f"{log.name} does not mention Flask")
    return unknown(log.doubt, REBOOT_FOR_LOG)


def nested_virt(evidence: Evidence) -> Fact:
    """Return whether a guest can use VMX or SVM itself."""
    source = evidence.capabilities_from
    if PHYSCAP.hap not in evidence.physinfo.capabilities:
        return no(f"it needs hap, which {source} lacks")
    if evidence.technology is Technology.VMX:
        return yes(f"VMX with hap ({source})")
    if (0, 0) < evidence.version.number < NESTED_SINCE:
        return yes(f"SVM with hap ({source}); Xen {evidence.version.release} requires nothing else")
    return _nested_svm(evidence.log, evidence.version)


def _nested_svm(log: BootLog, version: Version) -> Fact:
    """Return what a boot log says about the requirements of nested virtualization on SVM."""
    if log.technology is not Technology.SVM:
        return unknown(log.doubt, REBOOT_FOR_LOG)
    lacking = [item for item in NESTED_SVM if item not in log.features]
    if not lacking:
        return yes(f"{log.name}: {', '.join(NESTED_SVM)}")
    if log.gap:
        return unknown(f"the feature list in {log.name} is incomplete: {log.gap}", REBOOT_FOR_LOG)
    if not version.known:
        return unknown("it is not known which Xen this is; 4.19 and later require more", FIND_VERSION)
    return no(f"{log.name}: the processor lacks {', '.join(lacking)}")


def altp2m(evidence: Evidence) -> Fact:
    """Return whether alternate p2m tables are available."""
    source = evidence.capabilities_from
    if evidence.technology is not Technology.VMX or PHYSCAP.hap not in evidence.physinfo.capabilities:
        return no(f"it needs Intel's EPT ({source})")
    if evidence.options.flag("altp2m"):
        return yes("option altp2m on Xen's command line")
    if evidence.options.cut:
        return unknown("Xen reports only part of its command line", "look at the boot loader's configuration")
    if not evidence.log.options_complete:
        return unknown(
            "Xen's command line lacks altp2m, but Xen may be built with the option, which only its log shows",
            REBOOT_FOR_LOG,
        )
    return no("Xen's command line lacks altp2m")
