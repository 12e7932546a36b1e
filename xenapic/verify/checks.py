"""Compare recordings of a real Xen with the model: every create answer, VMCS word, CPUID leaf and access.

A recording names its processor. If `PROCESSORS` has no such row, the report says so, and the recording's own
feature list tells what the processor offers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

from xenapic.apic.controls import CONTROLS, MASKS
from xenapic.apic.features import CONTROL_FIELDS, Technology
from xenapic.apic.outcome import SvmControls
from xenapic.errors import DocumentInvalid, errno_name
from xenapic.model.apicbits import APIC, asked_word
from xenapic.model.conditions import Situation
from xenapic.model.config import CreateRequest
from xenapic.model.create import check_request
from xenapic.model.evidence import IN_LOG
from xenapic.model.flags import CDF, PHYSCAP, names
from xenapic.parse.files import file_name, read_file
from xenapic.parse.jsontext import load
from xenapic.verify.check import FAILED, NO_ANSWER, Check, Report, Verdict, compare, not_covered
from xenapic.verify.guest import flags_shown, guest_checks, no_answer, of_domain
from xenapic.verify.level import level_checks
from xenapic.verify.pair import pair_checks
from xenapic.verify.recording import CreateRecord, HintsRecord, Recording, VmcsRecord, read_recording
from xenapic.verify.subject import Subject

__all__ = ["check_file", "check_recording"]


def check_file(path: str | os.PathLike[str]) -> Report:
    """Compare a file with the model; raise `FileUnreadable`, or `DocumentInvalid` when it is no recording.

    A section that a later version of xenapic recorded is listed as not covered.
    """
    content = read_file(path)
    try:
        data = load(content)
        report = check_recording(read_recording(data), Path(path).name)
    except DocumentInvalid as error:
        raise error.in_file(file_name(path)) from None
    known = {"schema", *(field.name for field in fields(Recording))}
    unknown = sorted(data.keys() - known) if isinstance(data, dict) else ()
    later = tuple(
        not_covered("recording", key, "a section", "the model has no such topic") for key in unknown
    )
    return replace(report, checks=report.checks + later)


def check_recording(recording: Recording, name: str) -> Report:
    """Compare a recording with the model; raise `DocumentInvalid` for an unknown release of Xen."""
    subjects = Subject.of(recording)
    checks = tuple(map(_agreed, *([*_checks(recording, subject)] for subject in subjects)))
    return Report(name, subjects[0].source, checks)


def _agreed(*possible: Check) -> Check:
    """Return the check; it is not covered if the prediction depends on unknown facts about the processor."""
    if len({check.predicted for check in possible}) == 1:
        return possible[0]
    predicted = " or ".join(dict.fromkeys(check.predicted for check in possible))
    return replace(
        possible[0],
        verdict=Verdict.NOT_COVERED,
        predicted=predicted,
        why="the processor is not completely known",
    )


def _checks(recording: Recording, subject: Subject) -> Iterator[Check]:
    yield from _features(recording, subject)
    yield from _physinfo(recording, subject)
    for reason in recording.not_testable:
        yield not_covered("recording", "not testable", reason, FAILED)
    for created in recording.create:
        yield _create(created, subject)
        yield from _read_back(created, subject)
    for words in recording.vmcs:
        yield from _vmcs(words, subject)
    for guest in recording.guest:
        yield from guest_checks(guest, subject)
    for pair in recording.pairs:
        yield from pair_checks(pair, subject)
    for level in recording.levels:
        yield from level_checks(level, subject)
    for hints in recording.viridian:
        yield from _viridian(hints, subject)
    for restored in recording.restored:
        found = ", ".join(f"{at:03x}" for at in restored.differs) or "the same registers"
        yield compare("restored", of_domain(restored), "the same registers", found)


def _features(recording: Recording, subject: Subject) -> Iterator[Check]:
    if recording.features is None:
        return
    lines = recording.features
    if subject.technology is Technology.VMX:
        for key, line in IN_LOG.items():
            predicted = _present(subject.host.has(key))
            yield compare("boot log", line, predicted, _present(line in lines))
    for line in lines:
        if line not in IN_LOG.values() or subject.technology is not Technology.VMX:
            yield not_covered("boot log", line, "a line", "not about the APIC")


def _present(there: bool) -> str:
    return "a line" if there else "no line"


def _physinfo(recording: Recording, subject: Subject) -> Iterator[Check]:
    recorded, word = recording.physinfo, subject.arch_capabilities
    if recorded.arch_capabilities is not None:
        predicted = None if word is None else hex(word)
        yield compare("physinfo", "arch_capabilities", predicted, hex(recorded.arch_capabilities))
    capabilities = ",".join(names(PHYSCAP(recorded.capabilities)))
    yield not_covered(
        "physinfo",
        "capabilities",
        capabilities,
        "taken from the recording: the answers to creates depend on it",
    )


REQUEST_FIELDS = tuple(field.name for field in fields(CreateRequest))
ALWAYS_NAMED = ("flags", "emulation_flags", "misc_flags")
"""Fields by which a check names a create; the others only if they have an unusual value."""
USUAL = {field.name: field.default for field in fields(CreateRecord)}


def _create(created: CreateRecord, subject: Subject) -> Check:
    values = {name: getattr(created, name) for name in REQUEST_FIELDS}
    named = {name: value for name, value in values.items() if name in ALWAYS_NAMED or value != USUAL[name]}
    if not subject.release.has_field("grant_opts"):
        values["grant_opts"] = 0
    answer = check_request(CreateRequest(**values), Situation(subject.report)).errno
    where = ", ".join(f"{name} {value:#x}" for name, value in named.items())
    return compare("create", where, _answer(answer), _answer(created.errno))


def _read_back(created: CreateRecord, subject: Subject) -> Iterator[Check]:
    """Check what Xen says is in force for a domain that chose its controls."""
    in_force = subject.in_force(created.misc_flags)
    if created.read_back is None or in_force is None:
        return
    hvm = bool(created.flags & CDF.hvm)
    where = f"misc_flags {created.misc_flags:#x}, {'PVH' if hvm else 'PV'}, in force"
    predicted = in_force if hvm and subject.technology is Technology.VMX else APIC(0)
    yield compare("create", where, hex(asked_word(predicted)), hex(created.read_back))


def _answer(number: int) -> str:
    return errno_name(number) if number else "created"


def _vmcs(recorded: VmcsRecord, subject: Subject) -> Iterator[Check]:
    predicted = subject.vcpu(recorded.misc_flags, recorded.apic_mode).controls
    at = of_domain(recorded)
    for key, field in CONTROL_FIELDS.items():
        word = recorded.word(field)
        if word is None:
            continue
        where = f"{at}, {field.recorded}"
        if isinstance(predicted, SvmControls):
            yield compare("VMCS", where, "no VMCS: the processor is AMD's", field.text(word))
            continue
        bits = MASKS[key]
        yield compare("VMCS", where, _bits(key, getattr(predicted, key)), _bits(key, word & bits))
        if word & ~bits:
            yield not_covered("VMCS", where, f"{word & ~bits:#x}", "bits that do not concern the APIC")


MSR_BASED_APIC, APIC_OVERLAY = 1 << 3, 1 << 0
"""``CPUID4A_MSR_BASED_APIC``, ``CPUID6A_APIC_OVERLAY`` (``xen/arch/x86/hvm/viridian/viridian.c``)."""


def _viridian(recorded: HintsRecord, subject: Subject) -> Iterator[Check]:
    """Check the hints for a Windows guest about its APIC."""
    at = f"{flags_shown(recorded)}, xapic, Viridian"
    if recorded.failed is not None or recorded.recommended is None or recorded.features is None:
        yield no_answer(recorded, NO_ANSWER, at, subject, recorded.failed or "no such leaves")
        return
    predicted = subject.viridian(recorded.misc_flags)
    for name, said, word, bit in (
        ("use MSRs", predicted.msr_based_apic, recorded.recommended, MSR_BASED_APIC),
        ("APIC overlay", predicted.apic_overlay, recorded.features, APIC_OVERLAY),
    ):
        yield compare("CPUID", f"{at}, {name}", "yes" if said else "no", "yes" if word & bit else "no")


def _bits(field: str, word: int) -> str:
    keys = [key for key, (where, bit) in CONTROLS.items() if where == field and word & bit]
    return " ".join(keys) or "none"
