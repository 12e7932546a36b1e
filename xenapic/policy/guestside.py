"""What a guest sees of its host: the IDs of its APICs, what CPUID tells it, what its own guests may use.

Sources: xen/arch/x86/hvm/vlapic.c, xen/arch/x86/traps.c (``cpuid_hypervisor_leaves``),
xen/arch/x86/hvm/viridian/viridian.c, xen/arch/x86/hvm/vmx/vvmx.c, tools/libacpi/build.c and
tools/libs/light/libxl_x86.c. What is not marked with a release is the same in 4.15 to 4.22.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum

from xenapic.apic.controls import Controls
from xenapic.apic.features import Technology
from xenapic.errors import PolicyInvalid
from xenapic.frozen import dataclass
from xenapic.model.acceleration import DELIVERY, HvmLeaf, cpuid_leaf, domain_choice, viridian_hints
from xenapic.model.conditions import HVM_MAX_VCPUS
from xenapic.model.create import assistance_by_default
from xenapic.model.defects import DEFECTS
from xenapic.model.facts import Answer, Fact, no, unknown, yes
from xenapic.model.host import Host
from xenapic.model.releases import XenRelease
from xenapic.model.viridian import DEFAULT_GROUPS, GROUPS
from xenapic.policy.outlook import possible_hosts
from xenapic.policy.suggest import no_such
from xenapic.policy.terms import Aspect

__all__ = [
    "ApicIds",
    "Change",
    "Hint",
    "Moved",
    "apic_ids",
    "moved",
    "nested",
    "told",
    "viridian_groups",
]


# -- the IDs of the APICs ----------------------------------------------------------------------------

HIGHEST_XAPIC_ID = 254
"""In xAPIC mode, 255 addresses all (SDM volume 3A, "Determining IPI Destination")."""


@dataclass(frozen=True, slots=True)
class ApicIds:
    """The IDs of the local APICs of an HVM-type guest."""

    vcpus: int
    highest: int
    """The ID of the last vCPU; vCPU n has 2n (``vlapic_init``)."""
    x2apic_needed: bool
    """Whether some ID does not fit into xAPIC mode; then the MADT would need x2APIC entries."""
    logical: tuple[int, ...]
    """The x2APIC logical ID (LDR) of each vCPU."""


def apic_ids(vcpus: int, release: XenRelease) -> ApicIds:
    """Return the APIC IDs of a guest; raise `PolicyInvalid` for a number of vCPUs that Xen does not allow."""
    if not 1 <= vcpus <= HVM_MAX_VCPUS:
        raise PolicyInvalid(f"{vcpus} vCPUs: an HVM-type guest has 1 to {HVM_MAX_VCPUS}")
    ids = [2 * vcpu for vcpu in range(vcpus)]
    (defect,) = (row for row in DEFECTS if row.code == "x2apic-ldr-from-vcpu")
    basis = range(vcpus) if release.name in defect.releases else ids
    logical = tuple(each >> 4 << 16 | 1 << (each & 0xF) for each in basis)
    return ApicIds(vcpus, ids[-1], ids[-1] > HIGHEST_XAPIC_ID, logical)


# -- what CPUID tells --------------------------------------------------------------------------------


def viridian_groups(words: Iterable[str]) -> frozenset[str]:
    """Return the groups that a ``viridian=`` list of xl.cfg enables; raise `PolicyInvalid` for a bad list."""
    enabled: set[str] = set()
    for word in words:
        name = word.strip()
        if name in ("all", "1"):
            enabled |= set(GROUPS if name == "all" else DEFAULT_GROUPS)
        elif name == "defaults":
            enabled |= set(DEFAULT_GROUPS)
        elif name.removeprefix("!") not in GROUPS:
            known = ["all", "defaults", *GROUPS]
            raise PolicyInvalid(no_such("viridian group", name.removeprefix("!"), known))
        elif name.startswith("!"):
            enabled.discard(name[1:])
        else:
            enabled.add(name)
    if enabled and "base" not in enabled:
        raise PolicyInvalid("viridian: libxl refuses a list without the group base, which all others need")
    return frozenset(enabled | ({"synic", "time_ref_count"} if "stimer" in enabled else set()))


@dataclass(frozen=True, slots=True)
class Hint:
    """One thing that a guest can read or use, and whether it is there."""

    name: str
    where: str
    """Where the guest reads it."""
    fact: Fact
    meaning: str
    """What it means for the guest's APIC if the answer is yes."""


BY_APIC = "Linux takes MSIs, and FreeBSD sends IPIs, through the APIC instead of event channels"
"""What a guest makes of the leaf: Linux, arch/x86/pci/xen.c; FreeBSD, sys/x86/xen/xen_apic.c."""


def told(host: Host, viridian: frozenset[str] = frozenset()) -> tuple[Hint, ...]:
    """Return what CPUID tells an HVM-type guest about its APIC, with the host's default flags."""
    base = "40000100H" if viridian else "40000000H"
    leaf = f"CPUID leaf {base} + 4, EAX"
    hints = [
        Hint(
            "APIC_ACCESS_VIRT",
            f"{leaf} bit 0",
            _each(host, lambda controls: HvmLeaf.APIC_ACCESS_VIRT in _leaf(host, controls)),
            f"in xAPIC mode fewer accesses leave the guest: {BY_APIC}",
        ),
        Hint(
            "X2APIC_VIRT",
            f"{leaf} bit 1",
            _each(host, lambda controls: HvmLeaf.X2APIC_VIRT in _leaf(host, controls)),
            f"in x2APIC mode fewer accesses leave the guest: {BY_APIC}",
        ),
    ]
    return (*hints, *_viridian_hints(host, viridian)) if viridian else tuple(hints)


def _viridian_hints(host: Host, groups: frozenset[str]) -> list[Hint]:
    always, missing = yes("group base is enabled"), no("the group is not enabled")
    in_hardware = _each(host, lambda controls: bool(controls.secondary & DELIVERY))
    assist = _inverse(in_hardware, "virtual-interrupt delivery") if "apic_assist" in groups else missing
    return [
        Hint(
            "AccessIntrCtrlRegs",
            "CPUID leaf 40000003H, EAX bit 4",
            always,
            "Viridian's MSRs for EOI, ICR and TPR (40000070H to 40000072H) exist",
        ),
        Hint(
            "MSR_BASED_APIC",
            "CPUID leaf 40000004H, EAX bit 3, once the guest has set its OS ID",
            _each(host, lambda controls: viridian_hints(controls).msr_based_apic),
            "Windows uses these MSRs instead of the APIC page; each access is an exit",
        ),
        Hint(
            "SYNTHETIC_CLUSTER_IPI",
            "CPUID leaf 40000004H, EAX bit 10, once the guest has set its OS ID",
            yes("group hcall_ipi is enabled") if "hcall_ipi" in groups else missing,
            "one hypercall sends an IPI to many vCPUs; each write of the ICR is an exit, so this still helps",
        ),
        Hint(
            "APIC_OVERLAY",
            "CPUID leaf 40000006H, EAX bit 0",
            _each(host, lambda controls: viridian_hints(controls).apic_overlay),
            "the processor handles accesses to the APIC page",
        ),
        Hint(
            "apic_assist",
            "the VP assist page (MSR 40000073H)",
            assist,
            "a guest can leave out an EOI; where interrupts are delivered in hardware, Xen never sets it",
        ),
    ]


def _leaf(host: Host, controls: Controls) -> HvmLeaf:
    flags = int(assistance_by_default(host, hvm=True)) if host.interface else 0
    return cpuid_leaf(host.release, controls, domain_choice(host.release, controls, flags))


def _each(host: Host, holds: Callable[[Controls], bool]) -> Fact:
    """Return whether something holds for the host's controls; unknown if that depends on unknown ones."""
    if host.technology is None:
        return no("no HVM-type guest runs on this host")
    vmx = host.technology is Technology.VMX
    answers = {holds(controls) for controls in (possible_hosts(host) if vmx else (Controls(),))}
    if len(answers) > 1:
        open_ = [key for key, fact in host.features.items() if fact.answer is Answer.UNKNOWN]
        return unknown(f"it depends on {', '.join(open_)}", "xenapic host --measure")
    source = f"what Xen {host.release.name} uses on this host" if vmx else "Xen uses no AVIC"
    return yes(source) if answers.pop() else no(source)


def _inverse(fact: Fact, what: str) -> Fact:
    if not fact.known:
        return fact
    return no(f"{what} is in use") if fact else yes(f"{what} is not in use")


# -- guests of the guest -----------------------------------------------------------------------------

OFFERED = (Aspect.TPR_SHADOW, Aspect.APIC_ACCESSES)
"""What ``nvmx_msr_read_intercept`` lets a guest hypervisor set, where the processor has it."""


def nested(host: Host) -> dict[Aspect, Fact]:
    """Return for each aspect whether a hypervisor in a guest with ``nested_virt`` may use it."""
    if host.nested_virt.answer is Answer.NO:
        return dict.fromkeys(Aspect, no(f"no nested virtualization: {host.nested_virt.source}"))
    if host.technology is not Technology.VMX:
        return dict.fromkeys(Aspect, no("Xen's nested SVM offers no AVIC"))
    never = no("nvmx_msr_read_intercept (vvmx.c) offers it in no release up to 4.22")
    return {aspect: host.features[aspect.value] if aspect in OFFERED else never for aspect in Aspect}


# -- moving ------------------------------------------------------------------------------------------


class Change(Enum):
    """What happens to something that a guest was told when it booted."""

    SAME = "same"
    LOST = "lost"
    """The guest was told yes, and it is no longer so."""
    GAINED = "gained"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Moved:
    """A hint on the host where the guest booted, and on the host that it moves to."""

    before: Hint
    after: Hint

    @property
    def change(self) -> Change:
        """What changes for the guest; Xen computes CPUID anew, but a guest reads most of it only at boot."""
        if not (self.before.fact.known and self.after.fact.known):
            return Change.UNKNOWN
        if self.before.fact.answer is self.after.fact.answer:
            return Change.SAME
        return Change.LOST if self.before.fact else Change.GAINED


def moved(source: Host, target: Host, viridian: frozenset[str] = frozenset()) -> tuple[Moved, ...]:
    """Return what a running guest was told on one host, against what holds on another."""
    pairs = zip(told(source, viridian), told(target, viridian), strict=True)
    return tuple(Moved(before, after) for before, after in pairs)
