"""Put single faults into the change of Xen, and build each, to see whether the verification finds it.

    python tools/proposal_faults.py list
    python tools/proposal_faults.py build WORK [NAME...]     # WORK: a source tree of Xen that may be changed
    xenapic lab verify --xen fault-NAME --machines broadwell_ult

Each fault is built on the same tree, so only the files that it touches are compiled again.
"""

from __future__ import annotations

import argparse
import subprocess
from dataclasses import dataclass
from pathlib import Path

from xenapic.lab.added import add
from xenapic.lab.gather import Sources
from xenapic.lab.source import release_of
from xenapic.lab.xens import RELEASES
from xenapic.proposal.change import INTR, VIRIDIAN, VLAPIC, VMCS, VMX, X86
from xenapic.proposal.edit import changed
from xenapic.proposal.places import How, Place
from xenapic.proposal.series import apply, changed_files

MAKE = ("make", "-C", "xen", "XEN_TARGET_ARCH=x86_64")
ACCEL = f"{X86}apic-accel.c"


@dataclass(frozen=True)
class Fault:
    """A fault: what is put in place of a part of the change, and a machine on which it shows."""

    what: str
    file: str
    within: str
    expect: str
    put: str
    machine: str = "broadwell_ult"


FAULTS = {
    "cr8": Fault(
        "CR8 exits left off without TPR shadow",
        VMCS,
        "apic_accel_controls",
        "|= CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING;",
        "|= 0;",
    ),
    "page": Fault(
        "the page allocated and mapped when it is off",
        VMX,
        "vmx_alloc_vlapic_mapping",
        "!apic_accel(d, ACCESS_PAGE)",
        "!cpu_has_vmx_virtualize_apic_accesses",
    ),
    "reads": Fault(
        "the bitmap open for all reads without register virtualization",
        VMX,
        "vmx_vlapic_msr_changed",
        "apic_accel(v->domain, REGISTERS)",
        "cpu_has_vmx_apic_reg_virt",
    ),
    "writes": Fault(
        "the bitmap open for EOI and SELF_IPI without delivery",
        VMX,
        "vmx_vlapic_msr_changed",
        "apic_accel(v->domain, DELIVERY)",
        "cpu_has_vmx_virtual_intr_delivery",
    ),
    "state": Fault(
        "virtualize APIC accesses forgotten in the x2APIC state",
        VMX,
        "vmx_vlapic_msr_changed",
        "else if ( apic_accel(v->domain, ACCESS_PAGE) )",
        "else if ( apic_accel(v->domain, ACCESS_PAGE) && !vlapic_x2apic_mode(vlapic) )",
    ),
    "eoi": Fault(
        "delivery without the EOI-exit bitmap",
        VLAPIC,
        "vlapic_set_irq",
        "apic_accel(target->domain, DELIVERY)",
        "!apic_accel(target->domain, DELIVERY)",
    ),
    "pending": Fault(
        "pending interrupts judged by the host, not the domain",
        VLAPIC,
        "vlapic_ack_pending_irq",
        "apic_accel(v->domain, DELIVERY)",
        "(apic_accel_available() & XEN_X86_APIC_DELIVERY)",
    ),
    "inject": Fault(
        "injection where the processor delivers",
        INTR,
        "vmx_intr_assist",
        "else if ( apic_accel(v->domain, DELIVERY) &&",
        "else if ( apic_accel(v->domain, POSTED) &&",
    ),
    "needs": Fault(
        "a bit in force without what it needs",
        ACCEL,
        "apic_accel_init",
        "(possible & bit) && !(needed(bit) & ~possible)",
        "possible & bit",
    ),
    "errno": Fault(
        "EINVAL for what the host lacks",
        ACCEL,
        "apic_accel_check",
        "return -ENODEV;",
        "return -EINVAL;",
    ),
    "default": Fault(
        "x2APIC mode in force by default where it is alone",
        ACCEL,
        "apic_accel_default",
        "bits &= ~XEN_X86_APIC_X2APIC_MODE;",
        "bits &= ~0u;",
        "corei7_ivy_bridge_3770k",
    ),
    "back": Fault(
        "what is available read back, not what is in force",
        f"{X86}domctl.c",
        "arch_get_domain_info",
        "MASK_INSR(d->arch.hvm.apic_accel,",
        "MASK_INSR(apic_accel_available(),",
    ),
    "leaf": Fault(
        "the CPUID leaf by the host",
        f"{X86}traps.c",
        "cpuid_hypervisor_leaves",
        "if ( apic_accel(d, X2APIC_MODE) &&",
        "if ( cpu_has_vmx_virtualize_x2apic_mode &&",
    ),
    "viridian": Fault(
        "Viridian's hint by the host",
        VIRIDIAN,
        "cpuid_viridian_leaves",
        "!apic_accel(d, DELIVERY)",
        "!cpu_has_vmx_virtual_intr_delivery",
    ),
}


def build(work: Path, names: list[str]) -> None:
    """Build the change with each fault, and add it to the lab as ``fault-NAME``."""
    base = {path: (work / path).read_text() if (work / path).exists() else None for path in files()}
    release = RELEASES[release_of(work)]
    right = changed_files(apply(work))
    try:
        put(work, right)
        make(work, "olddefconfig")
        for name in names:
            fault = FAULTS[name]
            place = Place((fault.file,), fault.within, How.SWAP, (fault.expect,), fault.put)
            put(work, {**right, fault.file: changed(right[fault.file], place, fault.file)})
            make(work, "-j2")
            add(f"fault-{name}", Sources(hypervisor=work / "xen/xen", debian=release.suite))
            print(f"fault-{name}: {fault.what}", flush=True)
    finally:
        for path, text in base.items():
            if text is None:
                (work / path).unlink(missing_ok=True)
            else:
                (work / path).write_text(text)


def files() -> set[str]:
    """Return the files of the change, under every name that they have had."""
    from xenapic.proposal.change import PATCHES

    named = {file for patch in PATCHES for place in patch.places for file in place.file}
    return named | {added.path for patch in PATCHES for added in patch.adds}


def put(work: Path, texts: dict[str, str]) -> None:
    """Write the files whose text differs, so that nothing else is compiled again."""
    for path, text in texts.items():
        file = work / path
        if not file.exists() or file.read_text() != text:
            file.write_text(text)


def make(work: Path, *words: str) -> None:
    """Run make on the hypervisor."""
    subprocess.run([*MAKE, *words], cwd=work, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["list", "build"])
    parser.add_argument("work", nargs="?", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME")
    given = parser.parse_args()
    if given.command == "list":
        for name, fault in FAULTS.items():
            print(f"{name:<9} {fault.machine:<24} {fault.what}")
    elif given.work is None:
        parser.error("give a source tree that may be changed")
    else:
        build(given.work, given.names or list(FAULTS))


if __name__ == "__main__":
    main()
