"""Hold recordings of a real Xen against the model: every create answer, VMCS word, CPUID leaf and access.

The format is that of ``tests/data/observed`` (its README): JSON, one file for one Xen on one
processor. A recording names its processor; when `PROCESSORS` has no such row, what the
processor offers is taken from the recording's own feature list, and said so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from enum import Enum
from errno import EINVAL, ENODEV
from itertools import chain, combinations
from pathlib import Path
from typing import Any

from xenapic.apic.access import Kind, Operation, Outcome, SvmControls, access
from xenapic.apic.controls import CONTROLS, MASKS, Controls, violations
from xenapic.apic.features import Technology
from xenapic.apic.processors import emulated
from xenapic.apic.registers import register
from xenapic.apic.state import ApicState
from xenapic.errors import RecordingInvalid, errno_name
from xenapic.model.acceleration import (
    DomainChoice,
    VcpuApic,
    arch_capabilities,
    cpuid_bits,
    domain_choice,
    host_controls,
    vcpu_apic,
    vcpu_apic_svm,
)
from xenapic.model.bootlog import BootLog
from xenapic.model.cmdline import CommandLine
from xenapic.model.config import CreateRequest
from xenapic.model.emulation import guest_faults
from xenapic.model.flags import MISC, PHYSCAP, PHYSCAP_X86, names
from xenapic.model.host import IN_LOG, Host, describe
from xenapic.model.named import blank_physinfo, version_of
from xenapic.model.releases import DEVELOPMENT, XenRelease, xen_release
from xenapic.model.rules import Situation, check_request, predicted_errno

__all__ = ["Check", "Report", "Verdict", "check_file", "check_recording"]

STAYS_BELOW, LEAVES_ABOVE = 100, 300
"""Ticks per access. Emulated processors: at most 12 when it stays, at least 700 when it leaves. Between
the two nothing is concluded."""

VERSION_REGISTER = 0x030
BEHIND = {True: "an APIC's version", False: "no APIC (0)"}
HVM_LEAF_BITS = 0b11
X2APIC_BIT = 1 << 21
"""CPUID leaf 1 ECX."""


class Verdict(Enum):
    """How a recorded value stands to the model's."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    NOT_COVERED = "not covered"
    """The model says nothing of it, or the recorded value does not tell."""


@dataclass(frozen=True, slots=True)
class Check:
    """One recorded value held against the model."""

    topic: str
    where: str
    verdict: Verdict
    predicted: str
    found: str
    why: str = ""
    """For one that is not covered: why."""

    def __str__(self) -> str:
        tail = f" ({self.why})" if self.why else ""
        return f"{self.topic}: {self.where}: model says {self.predicted}, recording has {self.found}{tail}"


@dataclass(frozen=True)
class Report:
    """All checks of one recording."""

    name: str
    processor: str
    """Where it is known from what the processor offers."""
    checks: tuple[Check, ...]

    def of(self, verdict: Verdict) -> tuple[Check, ...]:
        """Return the checks with a verdict."""
        return tuple(one for one in self.checks if one.verdict is verdict)

    @property
    def compared(self) -> int:
        """How many values the model speaks of."""
        return len(self.checks) - len(self.of(Verdict.NOT_COVERED))

    @property
    def agree(self) -> int:
        """How many of them agree."""
        return len(self.of(Verdict.AGREES))

    @property
    def ok(self) -> bool:
        """Whether nothing disagrees, and something was compared."""
        return not self.of(Verdict.DISAGREES) and self.compared > 0


def check_file(path: Path) -> Report:
    """Check one file; raise `RecordingInvalid` when it is none, OSError when it cannot be read."""
    try:
        data = json.loads(path.read_text())
    except ValueError as error:
        raise RecordingInvalid(f"{path}: not JSON: {error}") from None
    return check_recording(data, path.name)


def check_recording(data: Any, name: str) -> Report:
    """Check one recording; raise `RecordingInvalid` when it lacks what a recording must have."""
    try:
        subjects = Subject.from_recording(data)
        checks = tuple(map(_agreed, *([*_checks(data, one)] for one in subjects)))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise RecordingInvalid(f"{name}: not a recording: {type(error).__name__}: {error}") from error
    return Report(name, subjects[0].source, checks)


def _agreed(*possible: Check) -> Check:
    """Return the check, not covered when what is unknown of the processor makes a difference."""
    if len({one.predicted for one in possible}) == 1:
        return possible[0]
    predicted = " or ".join(dict.fromkeys(one.predicted for one in possible))
    return replace(
        possible[0], verdict=Verdict.NOT_COVERED, predicted=predicted, why="the processor is not wholly known"
    )


# -- what was recorded: a Xen on a processor -------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """The Xen and the processor that a recording is of."""

    release: XenRelease
    technology: Technology | None
    host: Controls
    """What Xen takes at boot; nothing of it counts on AMD."""
    report: Host
    source: str

    @classmethod
    def from_recording(cls, data: Mapping[str, Any]) -> tuple[Subject, ...]:
        """Work out the model's side from a recording's names: each possibility, one when all is known."""
        release = release_of(data["xen"])
        apicv = CommandLine(" ".join(data["xen_options"])).boolean("apicv") is not False
        technology, offers, source = _processor(data)
        if PHYSCAP.hvm not in PHYSCAP(data["physinfo"]["capabilities"]):
            technology = None
        report = _host_report(data, technology)
        hosts = dict.fromkeys(host_controls(release, one, apicv=apicv) for one in offers)
        found = [cls(release, technology, host, report, source) for host in hosts]
        word = data["physinfo"].get("arch_capabilities")
        return tuple([one for one in found if one.arch_capabilities == word] or found)

    @property
    def arch_capabilities(self) -> PHYSCAP_X86 | None:
        """What physinfo reports."""
        return arch_capabilities(self.release, _effective_host(self))

    def choice(self, misc_flags: int) -> DomainChoice:
        """Return what a domain with these flags gets."""
        return domain_choice(self.release, self.host, misc_flags)

    def vcpu(self, misc_flags: int, state: ApicState) -> VcpuApic:
        """Return what the processor is told for a vCPU."""
        if self.technology is Technology.SVM:
            return vcpu_apic_svm(state)
        return vcpu_apic(self.host, self.choice(misc_flags), state)


def release_of(text: str) -> XenRelease:
    """Return the release of a recording's ``xen``: ``"4.17-rc"``, ``"4.17.7"``, ``"4.20.3"``."""
    if text.startswith(DEVELOPMENT.name):
        return DEVELOPMENT
    major, minor = text.replace("-", ".").split(".")[:2]
    return xen_release(f"{major}.{minor}")


def _processor(data: Mapping[str, Any]) -> tuple[Technology | None, list[Controls], str]:
    """Return what the processor may offer, and where that is known from."""
    try:
        row = emulated(data["processor"], _emulator_release(data.get("emulator", "")))
    except KeyError:
        missing = f"no row {data['processor']!r} in the table of processors"
        technology, offered = _offered_by_log(data)
        unknown = {"virtualize_x2apic_mode"} if technology is Technology.VMX else set()
        return technology, _possible(offered, unknown), f"the recording's own feature list: {missing}"
    known = f"the table's row {row.name} ({row.source})"
    return row.technology, _possible(row.offers & CONTROLS.keys(), row.unknown), known


def _possible(offered: Set[str], unknown: Set[str]) -> list[Controls]:
    extra = chain.from_iterable(combinations(sorted(unknown), size) for size in range(len(unknown) + 1))
    return [Controls.of(*offered, *more) for more in extra]


def _emulator_release(text: str) -> tuple[int, int]:
    """Return the release in a text like ``bochs 3.0``; the newest when there is none."""
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (99, 0)


def _offered_by_log(data: Mapping[str, Any]) -> tuple[Technology | None, set[str]]:
    """Read what a processor offers out of what Xen logged; the log does not tell of x2APIC mode."""
    lines = set(data["features"])
    keys = {key for key, line in IN_LOG.items() if line in lines}
    if not keys:
        return Technology.SVM, set()
    return Technology.VMX, {*keys, "secondary_controls"}


def _host_report(data: Mapping[str, Any], technology: Technology | None) -> Host:
    """Build what `describe` would have made of the recorded host: enough for the create rules."""
    release = release_of(data["xen"])
    physinfo = blank_physinfo(technology, PHYSCAP(data["physinfo"]["capabilities"]))
    if release.has_physinfo_arch_capabilities:
        word = PHYSCAP_X86(data["physinfo"].get("arch_capabilities") or 0)
        physinfo = replace(physinfo, arch_capabilities=word)
    version = version_of(release, " ".join(data["xen_options"]))
    log = BootLog(True, True, technology, frozenset(data["features"]))
    return describe(version, physinfo, log, probe=ENODEV if release.per_domain_apic else EINVAL)


# -- the checks ------------------------------------------------------------------------------------


def _checks(data: Mapping[str, Any], subject: Subject) -> Iterator[Check]:
    yield from _features(data, subject)
    yield from _physinfo(data, subject)
    for entry in data.get("create", ()):
        yield _create(entry, subject)
    for entry in data.get("vmcs", ()):
        yield from _vmcs(entry, subject)
    for entry in data.get("guest", ()):
        yield from _guest(entry, subject)
    known = {"xen", "processor", "xen_options", "emulator", "features", "physinfo", "create", "vmcs", "guest"}
    for key in sorted(set(data) - known):
        yield _beside("recording", key, "a section", "the model has no such topic")


def _compare(topic: str, where: str, predicted: object, found: object) -> Check:
    verdict = Verdict.AGREES if predicted == found else Verdict.DISAGREES
    return Check(topic, where, verdict, str(predicted), str(found))


def _beside(topic: str, where: str, found: str, why: str) -> Check:
    return Check(topic, where, Verdict.NOT_COVERED, "nothing", found, why)


def _features(data: Mapping[str, Any], subject: Subject) -> Iterator[Check]:
    lines = list(data["features"])
    if subject.technology is Technology.VMX:
        for key, line in IN_LOG.items():
            predicted = _present(subject.host.has(key))
            yield _compare("boot log", line, predicted, _present(line in lines))
    for line in lines:
        if line not in IN_LOG.values() or subject.technology is not Technology.VMX:
            yield _beside("boot log", line, "a line", "not of the APIC")


def _present(there: bool) -> str:
    return "a line" if there else "no line"


def _physinfo(data: Mapping[str, Any], subject: Subject) -> Iterator[Check]:
    found = data["physinfo"]
    word = subject.arch_capabilities
    if "arch_capabilities" in found and found["arch_capabilities"] is not None:
        predicted = None if word is None else hex(word)
        yield _compare("physinfo", "arch_capabilities", predicted, hex(found["arch_capabilities"]))
    capabilities = ",".join(names(PHYSCAP(found["capabilities"])))
    yield _beside(
        "physinfo", "capabilities", capabilities, "taken from the recording: what create answers rests on it"
    )


def _effective_host(subject: Subject) -> Controls:
    return subject.host if subject.technology is Technology.VMX else Controls()


def _create(entry: Mapping[str, Any], subject: Subject) -> Check:
    request = CreateRequest(
        max_grant_frames=entry.get("max_grant_frames", 4),
        max_maptrack_frames=entry.get("max_maptrack_frames", 0),
        grant_opts=entry.get("grant_opts", 1) if subject.release.has_field("grant_opts") else 0,
        **{key: value for key, value in entry.items() if key not in (*GRANTS, "errno")},
    )
    answer = predicted_errno(check_request(request, Situation(subject.report)))
    where = ", ".join(f"{key} {value:#x}" for key, value in entry.items() if key != "errno")
    return _compare("create", where, _answer(answer), _answer(entry["errno"]))


GRANTS = ("max_grant_frames", "max_maptrack_frames", "grant_opts")


def _answer(number: int) -> str:
    return errno_name(number) if number else "created"


WORDS = {"pin_based": "pin_based", "cpu_based": "primary", "secondary": "secondary", "tertiary": "tertiary"}
"""Names of the words in a recording and in `Controls`."""


def _vmcs(entry: Mapping[str, Any], subject: Subject) -> Iterator[Check]:
    state = ApicState(entry["apic_mode"])
    predicted = subject.vcpu(entry.get("misc_flags", 0), state).controls
    at = _domain(entry)
    for word, field in WORDS.items():
        if entry.get(word) is None:
            continue
        found = int(entry[word], 16)
        if isinstance(predicted, SvmControls):
            yield _compare("VMCS", f"{at}, {word}", "no VMCS: the processor is AMD's", entry[word])
            continue
        bits = MASKS[field]
        yield _compare(
            "VMCS", f"{at}, {word}", _bits(field, getattr(predicted, field)), _bits(field, found & bits)
        )
        if found & ~bits:
            yield _beside("VMCS", f"{at}, {word}", f"{found & ~bits:#x}", "bits not of the APIC")


def _bits(field: str, word: int) -> str:
    keys = [key for key, (where, bit) in CONTROLS.items() if where == field and word & bit]
    return " ".join(keys) or "none"


def _domain(entry: Mapping[str, Any]) -> str:
    flags = MISC(entry.get("misc_flags", 0))
    return f"misc_flags {'|'.join(names(flags)) or '0'}, {entry['apic_mode']}"


def _guest(entry: Mapping[str, Any], subject: Subject) -> Iterator[Check]:
    state, misc_flags, at = ApicState(entry["apic_mode"]), entry.get("misc_flags", 0), _domain(entry)
    vcpu = subject.vcpu(misc_flags, state)
    if isinstance(vcpu.controls, Controls):
        broken = [rule.code for rule in violations(vcpu.controls)]
        yield _compare("VM entry", at, ", ".join(broken) or "succeeds", "succeeds")
    if "apic_base" in entry:
        found = ApicState.from_apic_base(entry["apic_base"])
        yield _compare("guest", f"{at}, APIC_BASE", state.value, found.value)
    yield from _leaves(entry, subject, at)
    limits = _limits(entry)
    for one in entry.get("accesses", ()):
        yield from _access(one, vcpu, at, limits)


def _leaves(entry: Mapping[str, Any], subject: Subject, at: str) -> Iterator[Check]:
    leaf = entry.get("cpuid_40000004_eax")
    if leaf is not None:
        host = _effective_host(subject)
        choice = domain_choice(subject.release, host, entry.get("misc_flags", 0))
        predicted = int(cpuid_bits(subject.release, host, choice))
        yield _compare("CPUID", f"{at}, base+4 EAX[1:0]", f"{predicted:02b}", f"{leaf & HVM_LEAF_BITS:02b}")
        others = f"{leaf & ~HVM_LEAF_BITS:#x}"
        yield _beside("CPUID", f"{at}, base+4 EAX", others, "bits not of the APIC")
    if entry.get("cpuid_1_ecx") is not None:
        seen = "x2APIC" if entry["cpuid_1_ecx"] & X2APIC_BIT else "no x2APIC"
        yield _beside("CPUID", f"{at}, 1 ECX", seen, "the toolstack decides what the guest sees here")


def _limits(entry: Mapping[str, Any]) -> tuple[float, float]:
    """Ticks below which an access stayed and above which it left; a probe's own calibration counts more."""
    given = entry.get("calibration")
    if not given:
        return STAYS_BELOW, LEAVES_ABOVE
    return float(given["stays_below"]), float(given["leaves_above"])


def _access(
    entry: Mapping[str, Any], vcpu: VcpuApic, at: str, limits: tuple[float, float]
) -> Iterator[Check]:
    offset, operation = entry["offset"], Operation(entry["op"])
    value = entry["value"] if operation is Operation.WRITE else None
    outcome = access(
        vcpu.controls, vcpu.state, vcpu.bitmap, offset, operation, value=value, backing=vcpu.backing
    )
    where = f"{at}, {operation.value} {offset:03x} ({register(offset).name})"
    if entry.get("fault"):
        predicted = guest_faults(outcome, vcpu.state, offset, operation, value)
        yield _compare("access", where, "#GP(0)" if predicted else str(outcome), "#GP(0)")
        return
    yield _cost(entry, outcome, where, limits)
    if offset == VERSION_REGISTER and operation is Operation.READ and vcpu.state is not ApicState.RELOCATED:
        predicted = outcome.kind is not Kind.MEMORY
        yield _compare("access", f"{where}, value", BEHIND[predicted], BEHIND[entry["value"] != 0])


def _cost(entry: Mapping[str, Any], outcome: Outcome, where: str, limits: tuple[float, float]) -> Check:
    ticks = entry["ticks_per_access"]
    found = f"{ticks} ticks"
    if outcome.kind in (Kind.UNKNOWN, Kind.DEPENDS):
        return Check("access", where, Verdict.NOT_COVERED, str(outcome), found, "the model does not decide")
    if limits[0] <= ticks <= limits[1]:
        return Check("access", where, Verdict.NOT_COVERED, str(outcome), found, "the cost does not tell")
    left = ticks > limits[1]
    verdict = Verdict.AGREES if left is outcome.kind.leaves else Verdict.DISAGREES
    return Check("access", where, verdict, str(outcome), f"{'left' if left else 'stayed'}, {found}")
