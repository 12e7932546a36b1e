"""Put single faults into the change of Xen, build each, and see whether the verification finds it.

    python tools/proposal_faults.py list
    python tools/proposal_faults.py build WORK [NAME...]     # WORK: a source tree of Xen that may be changed
    python tools/proposal_faults.py run [NAME...]            # right: the Xen without a fault

Each fault is built on the same tree, so only the files that it touches are compiled again. What a run finds
goes into docs/data/proposal-faults.json, which the documentation shows: for each fault the part of the
verification that finds it, on the least machine that shows it. The Xen without a fault (one-bit) goes through
the same parts, and must agree.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from xenapic.lab.added import add
from xenapic.lab.gather import Sources
from xenapic.lab.source import release_of
from xenapic.lab.xens import RELEASES
from xenapic.proposal.change import INTR, VIRIDIAN, VLAPIC, VMCS, VMX, X86
from xenapic.proposal.edit import changed
from xenapic.proposal.places import How, Place
from xenapic.proposal.series import apply, changed_files
from xenapic.verify.check import Verdict
from xenapic.verify.matrix import Cell, Result, run_cells

SEEN = Path(__file__).parents[1] / "docs" / "data" / "proposal-faults.json"
RIGHT = "one-bit"
"""The Xen without a fault: ``xenapic lab build one-bit --from debian:4.17 --proposal``."""
LIMIT = 300.0
"""For one machine, in seconds of the emulator's processor time: a fault may let Xen hang."""
MAKE = ("make", "-C", "xen", "XEN_TARGET_ARCH=x86_64")
ACCEL = f"{X86}apic-accel.c"


BROADWELL, IVY_BRIDGE, PENRYN = "broadwell_ult", "corei7_ivy_bridge_3770k", "core2_penryn_t9600"
"""With five controls; with x2APIC mode alone; with neither."""


@dataclass(frozen=True)
class Fault:
    """A fault: what is put in place of a part of the change, and the part of a verification that finds it."""

    what: str
    file: str
    within: str
    expect: str
    put: str
    select: str
    machine: str = BROADWELL


FAULTS = {
    "cr8": Fault(
        "CR8 exits left off without TPR shadow",
        VMCS,
        "apic_accel_controls",
        "|= CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING;",
        "|= 0;",
        "vmcs,xapic,-TPR_SHADOW",
        PENRYN,
    ),
    "page": Fault(
        "the page allocated and mapped when it is off",
        VMX,
        "vmx_alloc_vlapic_mapping",
        "!apic_accel(d, ACCESS_PAGE)",
        "!cpu_has_vmx_virtualize_apic_accesses",
        "access,xapic,-ACCESS_PAGE",
        PENRYN,
    ),
    "reads": Fault(
        "the bitmap open for all reads without register virtualization",
        VMX,
        "vmx_vlapic_msr_changed",
        "apic_accel(v->domain, REGISTERS)",
        "cpu_has_vmx_apic_reg_virt",
        "access,x2apic,-REGISTERS",
    ),
    "writes": Fault(
        "the bitmap open for EOI and SELF_IPI without delivery",
        VMX,
        "vmx_vlapic_msr_changed",
        "apic_accel(v->domain, DELIVERY)",
        "cpu_has_vmx_virtual_intr_delivery",
        "access,x2apic,-DELIVERY",
    ),
    "state": Fault(
        "virtualize APIC accesses forgotten in the x2APIC state",
        VMX,
        "vmx_vlapic_msr_changed",
        "else if ( apic_accel(v->domain, ACCESS_PAGE) )",
        "else if ( apic_accel(v->domain, ACCESS_PAGE) && !vlapic_x2apic_mode(vlapic) )",
        "vmcs,x2apic,default",
        PENRYN,
    ),
    "eoi": Fault(
        "delivery without the EOI-exit bitmap",
        VLAPIC,
        "vlapic_set_irq",
        "apic_accel(target->domain, DELIVERY)",
        "!apic_accel(target->domain, DELIVERY)",
        "interrupt,xapic,default",
    ),
    "pending": Fault(
        "pending interrupts judged by the host, not the domain",
        VLAPIC,
        "vlapic_ack_pending_irq",
        "apic_accel(v->domain, DELIVERY)",
        "(apic_accel_available() & XEN_X86_APIC_DELIVERY)",
        "interrupt,xapic,-DELIVERY",
    ),
    "inject": Fault(
        "injection where the processor delivers",
        INTR,
        "vmx_intr_assist",
        "else if ( apic_accel(v->domain, DELIVERY) &&",
        "else if ( apic_accel(v->domain, POSTED) &&",
        "interrupt,xapic,default",
    ),
    "needs": Fault(
        "a bit in force without what it needs",
        ACCEL,
        "apic_accel_init",
        "(possible & bit) && !(needed(bit) & ~possible)",
        "possible & bit",
        "create,-TPR_SHADOW",
    ),
    "errno": Fault(
        "EINVAL for what the host lacks",
        ACCEL,
        "apic_accel_check",
        "return -ENODEV;",
        "return -EINVAL;",
        "create,+REGISTERS",
        PENRYN,
    ),
    "default": Fault(
        "x2APIC mode in force by default where it is alone",
        ACCEL,
        "apic_accel_default",
        "bits &= ~XEN_X86_APIC_X2APIC_MODE;",
        "bits &= ~0u;",
        "log,default",
        IVY_BRIDGE,
    ),
    "back": Fault(
        "what is available read back, not what is in force",
        f"{X86}domctl.c",
        "arch_get_domain_info",
        "MASK_INSR(d->arch.hvm.apic_accel,",
        "MASK_INSR(apic_accel_available(),",
        "create,-ACCESS_PAGE",
        PENRYN,
    ),
    "leaf": Fault(
        "the CPUID leaf by the host",
        f"{X86}traps.c",
        "cpuid_hypervisor_leaves",
        "if ( apic_accel(d, X2APIC_MODE) &&",
        "if ( cpu_has_vmx_virtualize_x2apic_mode &&",
        "cpuid,xapic,-X2APIC_MODE",
    ),
    "viridian": Fault(
        "Viridian's hint by the host",
        VIRIDIAN,
        "cpuid_viridian_leaves",
        "!apic_accel(d, DELIVERY)",
        "!cpu_has_vmx_virtual_intr_delivery",
        "cpuid,xapic,-DELIVERY",
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


# -- runs --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """A part of a verification on a machine, of the Xen with a fault; without a fault if it has no name."""

    machine: str
    select: str
    fault: str = ""

    @property
    def xen(self) -> str:
        """The name of the Xen in the lab."""
        return f"fault-{self.fault}" if self.fault else RIGHT

    def row(self, result: Result) -> dict[str, Any]:
        """Return what is kept of a result."""
        if not self.fault:
            return {"machine": self.machine, **right(result)}
        return {"fault": self.fault, **place(FAULTS[self.fault]), "machine": self.machine, **found_by(result)}

    def passed(self, result: Result) -> bool:
        """Return True if the verification told what it must: the fault, or that there is none."""
        if not self.fault:
            return result.ok
        return result.report is None or bool(result.report.of(Verdict.DISAGREES))


def trials(name: str) -> list[Trial]:
    """Return what is run for a fault; for "right" the parts of all faults, those of a machine together."""
    if name != "right":
        return [Trial(FAULTS[name].machine, FAULTS[name].select, name)]
    parts: dict[str, dict[str, None]] = {}
    for fault in FAULTS.values():
        parts.setdefault(fault.machine, {}).update(dict.fromkeys(fault.select.split(",")))
    return [Trial(machine, ",".join(words)) for machine, words in parts.items()]


def run(names: Sequence[str], output: Path) -> bool:
    """Verify each fault, and keep what found it; return True if each was found, and the right Xen agreed."""
    ok = True
    for trial in (trial for name in names for trial in trials(name)):
        (result,) = run_cells([Cell(trial.machine, trial.xen)], 1, lambda result: None, trial.select, LIMIT)
        today = datetime.now(timezone.utc).date().isoformat()
        row = {**trial.row(result), "select": trial.select, "date": today}
        keep(output, "faults" if trial.fault else "right", row)
        print(f"{trial.xen} on {trial.machine}: {json.dumps(row)}", flush=True)
        ok = trial.passed(result) and ok
    return ok


def place(fault: Fault) -> dict[str, Any]:
    """Return what a fault is, and where."""
    return {"what": fault.what, "file": fault.file, "function": fault.within}


def right(result: Result) -> dict[str, Any]:
    """Return what the Xen without a fault showed."""
    if result.recording is None or result.report is None:
        return {"agree": 0, "compared": 0, "error": result.error}
    report = result.report
    return {"xen": result.recording.xen, "agree": report.agree, "compared": report.compared, "error": ""}


def found_by(result: Result) -> dict[str, Any]:
    """Return what found a fault: the first value that differs, and how many do; or that nothing answered."""
    if result.report is None:
        return {"differ": 0, "compared": 0, "first": None, "error": result.error}
    wrong = result.report.of(Verdict.DISAGREES)
    first = wrong[0] if wrong else None
    return {
        "differ": len(wrong),
        "compared": result.report.compared,
        "first": first
        and {"topic": first.topic, "where": first.where, "predicted": first.predicted, "found": first.found},
        "error": "",
    }


def keep(output: Path, part: str, row: dict[str, Any]) -> None:
    """Put a row into the file, in place of an earlier one of the same fault or machine."""
    seen = json.loads(output.read_text()) if output.exists() else {"right": [], "faults": []}
    key = "machine" if part == "right" else "fault"
    rows = [*(old for old in seen[part] if old[key] != row[key]), row]
    order = list(FAULTS)
    rows.sort(key=lambda row: order.index(row["fault"]) if part == "faults" else row["machine"])
    seen[part] = rows
    lines = {part: ",\n".join(map(json.dumps, rows)) for part, rows in seen.items()}
    body = ",\n".join(f'"{part}": [\n{text}\n]' for part, text in lines.items())
    output.write_text(f"{{\n{body}\n}}\n")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    building = commands.add_parser("build")
    building.add_argument("work", type=Path)
    building.add_argument("names", nargs="*", metavar="NAME", choices=[[], *FAULTS])
    running = commands.add_parser("run")
    running.add_argument("names", nargs="*", metavar="NAME", choices=[[], *FAULTS, "right"])
    running.add_argument("--output", type=Path, default=SEEN)
    given = parser.parse_args()
    if given.command == "list":
        for name, fault in FAULTS.items():
            print(f"{name:<9} {fault.machine:<24} {fault.select:<26} {fault.what}")
    elif given.command == "build":
        build(given.work, given.names or list(FAULTS))
    elif not run(given.names or ["right", *FAULTS], given.output):
        sys.exit(1)


if __name__ == "__main__":
    main()
