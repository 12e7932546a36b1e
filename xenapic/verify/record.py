"""Record what the running Xen does, in the format that `xenapic.verify.recording` checks.

Every domain made here is owned, so nothing is left behind. No create is sent that Xen
could refuse: what it answers to those is recorded only where the host may be lost
(``refusals``, an emulated machine), and even there never one that Xen would refuse late.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from xenapic.apic.features import CONTROL_FIELDS, FEATURES
from xenapic.apic.state import ApicState
from xenapic.errors import CallFailed, ConfigRefused, MeasureFailed, ProbeFailed, TraceBusy
from xenapic.live.domain import Domain
from xenapic.live.measure import throw_away_config
from xenapic.live.xen import Xen
from xenapic.model.acceleration import PLAIN_MEMORY_CODE
from xenapic.model.conditions import Situation
from xenapic.model.config import CreateRequest
from xenapic.model.create import check_request
from xenapic.model.flags import CDF, EMU, MISC
from xenapic.model.guest_types import HVM_EMULATION
from xenapic.model.host import Host
from xenapic.parse.bootlog import parse
from xenapic.policy.terms import Policy

if TYPE_CHECKING:
    from xenapic.probe.findings import Findings

__all__ = ["Progress", "Settings", "record"]

Progress = Callable[[str, int, int], None]
"""Called before each step: what it is, its number from 1, and how many there are."""

DEFECT = frozenset({PLAIN_MEMORY_CODE})
HVM, HAP = int(CDF.hvm), int(CDF.hvm | CDF.hap)
CREATES = (
    *product((0,), (0,), range(9)),
    *product((HVM, HAP), (int(EMU.LAPIC),), range(9)),
    *product((HAP,), (int(HVM_EMULATION), 0, int(HVM_EMULATION | EMU.VPCI)), (0,)),
)
"""Flags, emulation_flags and misc_flags of the creates that are recorded."""
PROBE_SECONDS = 60.0
TRACE_PAGES = 128
"""Per CPU: room for all the exits of a probe, should nobody find the time to read them meanwhile."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What to record, and what it is of."""

    processor: str = ""
    """Name in the table of processors; what is predicted then comes from there, not from Xen's log."""
    emulator: str = ""
    states: tuple[ApicState, ...] = tuple(ApicState)
    refusals: bool = False
    """Send creates that Xen will refuse early, too: each may cost the host a domain number until reboot."""
    probe: bool = True
    """Run the probe guest."""
    trace: bool = False
    """Let Xen's trace count the probe's VM exits, as a second witness. Trace buffers stay allocated."""


def record(xen: Xen, settings: Settings, progress: Progress = lambda _what, _at, _of: None) -> dict[str, Any]:
    """Return a recording of the running Xen; raise what the calls raise."""
    host = xen.host(probe=True)
    job = _Job(xen, host, settings, progress)
    data = _identity(xen, host, settings)
    data["create"] = list(job.creates())
    data["vmcs"] = list(job.vmcs())
    data["guest"] = list(job.guests())
    data["used"] = sorted(row.key for row in FEATURES if xen.host().features[row.key])
    data["not_testable"] = job.not_testable
    return data


def _identity(xen: Xen, host: Host, settings: Settings) -> dict[str, Any]:
    version = host.version
    ring = xen.handle.console.read()
    log = parse(ring.data, ring.start, version.commandline)
    arch = host.physinfo.arch_capabilities
    return {
        "xen": host.release.name if host.release.per_domain_apic else str(version),
        "processor": settings.processor,
        "xen_options": version.commandline.split(),
        "emulator": settings.emulator,
        "features": sorted(log.features) if log.whole and log.trusted else None,
        "physinfo": {
            "capabilities": int(host.physinfo.capabilities),
            "arch_capabilities": None if arch is None else int(arch),
        },
    }


class _Job:
    """One recording under way."""

    def __init__(self, xen: Xen, host: Host, settings: Settings, progress: Progress) -> None:
        self.xen = xen
        self.host = host
        self.settings = settings
        self.not_testable: list[str] = []
        self._progress = progress
        self._at = 0
        choices = len(self.choices)
        probes = choices * len(settings.states) if settings.probe else 0
        self._steps = 1 + choices + probes

    @property
    def choices(self) -> tuple[int, ...]:
        """Every ``misc_flags`` that this Xen can express, of those that bear on the APIC."""
        if not self.host.interface:
            return (0,)
        xapic = (0, int(MISC.ASSISTED_XAPIC)) if self.host.assisted_xapic else (0,)
        x2apic = (0, int(MISC.ASSISTED_X2APIC)) if self.host.assisted_x2apic else (0,)
        return tuple(one | other for other in x2apic for one in xapic)

    def step(self, what: str) -> None:
        """Say what comes next."""
        self._at += 1
        self._progress(what, self._at, self._steps)

    # -- creates --

    def creates(self) -> Iterator[dict[str, Any]]:
        """Yield what each create answers, those left out that must not be sent."""
        self.step("creating domains")
        for flags, emulation, misc in CREATES:
            request = CreateRequest(
                flags=flags,
                emulation_flags=emulation,
                misc_flags=misc,
                max_grant_frames=4,
                max_maptrack_frames=0,
                grant_opts=1 if self.host.release.has_field("grant_opts") else 0,
            )
            checked = check_request(request, Situation(replace(self.host, physinfo=self.xen.physinfo())))
            if not checked.harmless or (checked.problems and not self.settings.refusals):
                continue
            entry = {"flags": flags, "emulation_flags": emulation, "misc_flags": misc}
            yield {**entry, "errno": self._answer(request)}

    def _answer(self, request: CreateRequest) -> int:
        """Send one create and return Xen's errno; what it creates is destroyed."""
        try:
            domain = self.xen.create_unchecked(request)
        except CallFailed as error:
            return error.errno
        domain.destroy()
        return 0

    # -- VMCS --

    def vmcs(self) -> Iterator[dict[str, Any]]:
        """Yield the words of each state for each choice of flags."""
        for misc_flags in self.choices:
            self.step(f"reading VMCS, misc_flags {misc_flags}")
            try:
                measured = self.xen.measure(self._policy(misc_flags))
            except (MeasureFailed, CallFailed, ConfigRefused) as error:
                self.not_testable.append(f"VMCS, misc_flags {misc_flags}: {error}")
                continue
            if not measured.done:
                self.not_testable.append(f"VMCS: {measured.why_not}")
            for state, words in measured.states.items():
                if state in self.settings.states:
                    yield {
                        "misc_flags": misc_flags,
                        "apic_mode": state.value,
                        **{CONTROL_FIELDS[key].recorded: text for key, text in words.texts().items()},
                    }

    def _policy(self, misc_flags: int) -> Policy | None:
        """Return the policy whose plan has these flags; None where there is no choice."""
        if not self.host.interface:
            return None
        return Policy(
            assisted_xapic=bool(misc_flags & MISC.ASSISTED_XAPIC),
            assisted_x2apic=bool(misc_flags & MISC.ASSISTED_X2APIC),
            accept=DEFECT,
        )

    # -- guests --

    def guests(self) -> Iterator[dict[str, Any]]:
        """Yield what the probe guest finds in each state for each choice of flags."""
        if not self.settings.probe:
            return
        no_guest = self.host.physinfo.no_guest
        if no_guest:
            self.not_testable.append(f"guests: {no_guest}")
            return
        for misc_flags, state in product(self.choices, self.settings.states):
            self.step(f"probe guest, misc_flags {misc_flags}, APIC {state.value}")
            yield self._guest(misc_flags, state)

    def _guest(self, misc_flags: int, state: ApicState) -> dict[str, Any]:
        try:
            with self.xen.create_domain(throw_away_config(self.host), self._policy(misc_flags)) as domain:
                domain.set_max_vcpus(1)
                found, exits = self._probe(domain, state)
        except (ProbeFailed, CallFailed, ConfigRefused, TraceBusy) as error:
            return {"misc_flags": misc_flags, "apic_mode": state.value, "failed": str(error)}
        return {**found.to_recording(misc_flags), **exits}

    def _probe(self, domain: Domain, state: ApicState) -> tuple[Findings, dict[str, Any]]:
        """Run the probe guest; return what it found, and what the trace counted meanwhile."""
        from xenapic.exits.counter import ExitCounter
        from xenapic.probe.run import probe_domain

        if not self.settings.trace:
            return probe_domain(domain, state, PROBE_SECONDS), {}
        with ExitCounter(self.xen, domain.domid, pages=TRACE_PAGES) as counter:
            found = probe_domain(domain, state, PROBE_SECONDS, counter.wait)
            report = counter.stop()
        reasons: Counter[int] = Counter()
        for kind, count in report.kinds.items():
            reasons[kind.reason] += count
        counts = {str(reason): count for reason, count in sorted(reasons.items())}
        return found, {"exits": {"complete": report.complete, "by_reason": counts}}
