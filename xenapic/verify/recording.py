"""Hold recordings of a real Xen against the model: every create answer, VMCS word, CPUID leaf and access.

The format is that of ``tests/data/observed`` (``docs/spec/recordings.md``), with what ``xenapic verify
--record`` adds: JSON, one file for one Xen on one processor. A recording names its processor; when
`PROCESSORS` has no such row, what the processor offers is taken from the recording's own
feature list, and said so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from xenapic.apic.controls import CONTROLS, MASKS
from xenapic.apic.features import CONTROL_FIELDS, Technology
from xenapic.apic.outcome import SvmControls
from xenapic.apic.state import ApicState
from xenapic.errors import DocumentInvalid, errno_name
from xenapic.model.conditions import Situation
from xenapic.model.config import CreateRequest
from xenapic.model.create import check_request
from xenapic.model.evidence import IN_LOG
from xenapic.model.flags import PHYSCAP, names
from xenapic.verify.check import Check, Report, Verdict, beside, compare
from xenapic.verify.guest import guest_checks, of_domain
from xenapic.verify.subject import Subject

__all__ = ["check_file", "check_recording"]


def check_file(path: Path) -> Report:
    """Check one file; raise `DocumentInvalid` when it is none, OSError when it cannot be read."""
    try:
        data = json.loads(path.read_text())
    except ValueError as error:
        raise DocumentInvalid(f"{path}: not JSON: {error}") from None
    return check_recording(data, path.name)


def check_recording(data: Any, name: str) -> Report:
    """Check one recording; raise `DocumentInvalid` when it lacks what a recording must have."""
    try:
        subjects = Subject.from_recording(data)
        checks = tuple(map(_agreed, *([*_checks(data, one)] for one in subjects)))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DocumentInvalid(f"{name}: not a recording: {type(error).__name__}: {error}") from error
    return Report(name, subjects[0].source, checks)


def _agreed(*possible: Check) -> Check:
    """Return the check, not covered when what is unknown of the processor makes a difference."""
    if len({one.predicted for one in possible}) == 1:
        return possible[0]
    predicted = " or ".join(dict.fromkeys(one.predicted for one in possible))
    return replace(
        possible[0], verdict=Verdict.NOT_COVERED, predicted=predicted, why="the processor is not wholly known"
    )


# -- the checks ------------------------------------------------------------------------------------


def _checks(data: Mapping[str, Any], subject: Subject) -> Iterator[Check]:
    yield from _features(data, subject)
    yield from _physinfo(data, subject)
    for why in data.get("not_testable", ()):
        yield beside("recording", "not testable there", str(why), "it could not be recorded")
    for entry in data.get("create", ()):
        yield _create(entry, subject)
    for entry in data.get("vmcs", ()):
        yield from _vmcs(entry, subject)
    for entry in data.get("guest", ()):
        yield from guest_checks(entry, subject)
    for key in sorted(set(data) - KNOWN):
        yield beside("recording", key, "a section", "the model has no such topic")


KNOWN = {
    *("xen", "processor", "xen_options", "emulator", "features", "used", "physinfo"),
    *("create", "vmcs", "guest", "not_testable"),
}
"""Sections of a recording."""


def _features(data: Mapping[str, Any], subject: Subject) -> Iterator[Check]:
    if data.get("features") is None:
        return
    lines = list(data["features"])
    if subject.technology is Technology.VMX:
        for key, line in IN_LOG.items():
            predicted = _present(subject.host.has(key))
            yield compare("boot log", line, predicted, _present(line in lines))
    for line in lines:
        if line not in IN_LOG.values() or subject.technology is not Technology.VMX:
            yield beside("boot log", line, "a line", "not of the APIC")


def _present(there: bool) -> str:
    return "a line" if there else "no line"


def _physinfo(data: Mapping[str, Any], subject: Subject) -> Iterator[Check]:
    found = data["physinfo"]
    word = subject.arch_capabilities
    if "arch_capabilities" in found and found["arch_capabilities"] is not None:
        predicted = None if word is None else hex(word)
        yield compare("physinfo", "arch_capabilities", predicted, hex(found["arch_capabilities"]))
    capabilities = ",".join(names(PHYSCAP(found["capabilities"])))
    yield beside(
        "physinfo", "capabilities", capabilities, "taken from the recording: what create answers rests on it"
    )


def _create(entry: Mapping[str, Any], subject: Subject) -> Check:
    request = CreateRequest(
        max_grant_frames=entry.get("max_grant_frames", 4),
        max_maptrack_frames=entry.get("max_maptrack_frames", 0),
        grant_opts=entry.get("grant_opts", 1) if subject.release.has_field("grant_opts") else 0,
        **{key: value for key, value in entry.items() if key not in (*GRANTS, "errno")},
    )
    answer = check_request(request, Situation(subject.report)).errno
    where = ", ".join(f"{key} {value:#x}" for key, value in entry.items() if key != "errno")
    return compare("create", where, _answer(answer), _answer(entry["errno"]))


GRANTS = ("max_grant_frames", "max_maptrack_frames", "grant_opts")


def _answer(number: int) -> str:
    return errno_name(number) if number else "created"


def _vmcs(entry: Mapping[str, Any], subject: Subject) -> Iterator[Check]:
    state = ApicState(entry["apic_mode"])
    predicted = subject.vcpu(entry.get("misc_flags", 0), state).controls
    at = of_domain(entry)
    for key, field in CONTROL_FIELDS.items():
        word = field.recorded
        if entry.get(word) is None:
            continue
        found = int(entry[word], 16)
        if isinstance(predicted, SvmControls):
            yield compare("VMCS", f"{at}, {word}", "no VMCS: the processor is AMD's", entry[word])
            continue
        bits = MASKS[key]
        yield compare("VMCS", f"{at}, {word}", _bits(key, getattr(predicted, key)), _bits(key, found & bits))
        if found & ~bits:
            yield beside("VMCS", f"{at}, {word}", f"{found & ~bits:#x}", "bits not of the APIC")


def _bits(field: str, word: int) -> str:
    keys = [key for key, (where, bit) in CONTROLS.items() if where == field and word & bit]
    return " ".join(keys) or "none"
