"""From a line, a version and a host to the known defects: which fit, which do not, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from xenapic.glossary.pasted.meaning import Meaning, quoted

if TYPE_CHECKING:
    from xenapic.model.host import Host
    from xenapic.parse.xenversion import XenVersion

__all__ = ["CRASH", "SYMPTOMS", "Symptom", "fitting"]


class Symptom(NamedTuple):
    """A mark of a defect in a log."""

    pattern: re.Pattern[str]
    code: str
    """`Defect.code`."""
    why: str
    """Why the mark points to it."""
    sure: bool = False
    """Whether nothing else leaves the mark."""


def _row(pattern: str, code: str, why: str, sure: bool = False) -> Symptom:
    return Symptom(re.compile(pattern, re.IGNORECASE | re.ASCII), code, why, sure)


SYMPTOMS: tuple[Symptom, ...] = (
    _row(
        r"Xen BUG at (?:common/)?domain\.c",
        "late-refused-create-panic",
        "this is where Xen stops after a late refusal of a create",
    ),
    _row(
        r"shadow_blow_tables",
        "late-refused-shadow-panic",
        "Xen stops in this function after a late refusal of a create without hap",
    ),
    _row(
        r"vlapic_error\b",
        "vlapic-error-deadlock",
        "the CPU spins in this function until the watchdog stops Xen",
    ),
    _row(
        r"Assertion '!?\(?cpu_has_vmx_apic_reg_virt\)?' failed",
        "apic-write-assertion",
        "it is the assertion's text",
        sure=True,
    ),
    _row(
        r"APIC: Stale IRR: ",
        "interrupts-pending-while-disabled",
        "Linux prints it for interrupts that are pending in an APIC that it has just turned on",
    ),
    _row(
        r"(?:domain creation fail|xc_domain_create).{0,60}(?:File exists|EEXIST)",
        "refused-create-keeps-number",
        "a number that nobody uses is taken after an earlier create with it was refused",
    ),
    _row(
        r"VM(?:LAUNCH|RESUME) error: (?:0x)?7\b",
        "nested-x2apic-entry-fails",
        "VM entry refuses invalid controls with error 7",
    ),
    _row(r"SecondaryExec=000014fb", "nested-x2apic-entry-fails", "these are the controls of the defect"),
)
CRASH = re.compile(
    r"Xen BUG at |Panic on CPU \d|FATAL (?:TRAP|PAGE FAULT)|Xen WARN at |Assertion '.{1,200}' failed at|"
    r"domain_crash called from|Domain \d+ \(vcpu#\d+\) crashed|Unexpected vmexit|vmentry failure|"
    r"Watchdog timer detects that CPU\d+ is stuck|Triple fault",
    re.IGNORECASE | re.ASCII,
)
"""Lines of a crash, of Xen or of a guest."""


def _intel_page(host: Host) -> str:
    from xenapic.apic.features import Technology
    from xenapic.model.facts import Answer

    if host.technology is not Technology.VMX:
        return "it needs an Intel host"
    fact = host.features["virtualize_apic_accesses"]
    return "this host's Xen does not use 'virtualize APIC accesses'" if fact.answer is Answer.NO else ""


def _shadow(host: Host) -> str:
    from xenapic.model.flags import PHYSCAP

    absent = PHYSCAP.shadow not in host.physinfo.capabilities and PHYSCAP.shadow not in host.unknown
    return "this host's Xen has no shadow paging" if absent else ""


def _delivery_only(host: Host) -> str:
    from xenapic.model.facts import Answer

    if host.features["virtual_interrupt_delivery"].answer is Answer.NO:
        return "this host's Xen does not use virtual-interrupt delivery"
    registers = host.features["apic_register_virtualization"].answer
    return "this host's Xen uses register virtualization" if registers is Answer.YES else ""


def _nested_x2apic(host: Host) -> str:
    from xenapic.apic.features import Technology
    from xenapic.model.facts import Answer

    if host.technology is not Technology.VMX:
        return "it needs an Intel host"
    fact = host.features["virtualize_x2apic_mode"]
    return "this host's Xen does not use 'virtualize x2APIC mode'" if fact.answer is Answer.NO else ""


NEEDS: dict[str, Callable[[Host], str]] = {
    "late-refused-create-panic": _intel_page,
    "late-refused-shadow-panic": _shadow,
    "apic-write-assertion": _delivery_only,
    "nested-x2apic-entry-fails": _nested_x2apic,
}
"""By the code of a defect: why it cannot be on a host; empty if it can."""


def fitting(line: str, version: XenVersion | None, host: Host | None) -> Iterator[Meaning]:
    """Yield the defects that a line points to, each with whether it fits the version and the host."""
    matched = [(row, match) for row in SYMPTOMS if (match := row.pattern.search(line))]
    if not matched:
        return
    from xenapic.model.defects import DEFECTS
    from xenapic.model.facts import Answer
    from xenapic.model.fates import fate

    defects = {row.code: row for row in DEFECTS}
    for row, match in matched:
        defect = defects[row.code]
        parts, excluded = [f"{row.why[:1].upper()}{row.why[1:]}."], False
        if version is None:
            parts.append("Whether this Xen has it is open: no version was given (--xen).")
        else:
            judged = fate(defect, version)
            excluded = judged.answer is Answer.NO
            parts.append(f"Xen {version}: {judged.text}.")
        if host is not None and (reason := NEEDS.get(row.code, _anywhere)(host)):
            excluded = True
            parts.append(f"It does not fit: {reason}.")
        if not excluded:
            parts += [f"Condition: {defect.condition}", f"How to avoid it: {defect.avoid}"]
        fits = "does not fit" if excluded else "fits" if row.sure and version else "may be it"
        yield Meaning(
            quoted(match[0]),
            f"known defect, {fits}: {defect.title}",
            "\n".join(parts),
            row.sure and not excluded,
            "; ".join(defect.sources),
            (defect.code,),
        )


def _anywhere(_host: Host) -> str:
    return ""
