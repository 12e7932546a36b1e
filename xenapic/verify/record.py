"""Record what the running Xen does, as a `Recording`.

Every domain created here is owned, so nothing is left behind. Creates that Xen refuses early are sent only on
request (``refusals``, for emulated machines), those that it refuses late never: they can take the host down.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from typing import TypeVar

from xenapic.apic.features import FEATURES, Technology
from xenapic.apic.state import ApicState
from xenapic.errors import CallFailed, ConfigRefused, MeasureFailed, ProbeFailed, TraceBusy
from xenapic.live.ask import probe_controls
from xenapic.live.domain import Domain
from xenapic.live.measure import throw_away_config
from xenapic.live.xen import Xen
from xenapic.model.acceleration import PLAIN_MEMORY_CODE
from xenapic.model.apicbits import APIC, ASKED, NOTHING, asked_word, off_of, on_of, signed
from xenapic.model.conditions import Situation
from xenapic.model.config import CreateRequest
from xenapic.model.create import check_request
from xenapic.model.facts import yes
from xenapic.model.flags import CDF, EMU, MISC, PHYSCAP, known_bits
from xenapic.model.guest_types import HVM_EMULATION, PVH_EMULATION
from xenapic.model.host import Host
from xenapic.model.proposal import CONTROL, broken, distinct, requests
from xenapic.parse.bootlog import VERSION, BootLog
from xenapic.policy.terms import Aspect, Policy, Want
from xenapic.probe.pair import PAIR_VCPUS
from xenapic.verify.guest_records import ExitsRecord, GuestRecord, LevelRecord, PairRecord
from xenapic.verify.record_bits import record_hints, record_restored
from xenapic.verify.recording import (
    BuildRecord,
    CapabilityWords,
    CreateRecord,
    HintsRecord,
    Recording,
    RestoredRecord,
    VmcsRecord,
)
from xenapic.verify.settings import Settings

T = TypeVar("T")

__all__ = ["Progress", "Settings", "record"]

Progress = Callable[[str, int, int], None]
"""Called before each step with its description, its number (from 1) and the number of steps."""

DEFECT = frozenset({PLAIN_MEMORY_CODE})
HVM, HAP = int(CDF.hvm), int(CDF.hvm | CDF.hap)
WITHOUT_PIRQ = int(HVM_EMULATION & ~EMU.USE_PIRQ)
"""The only emulation that 4.17 refuses and 4.19 creates."""
CREATES = (
    *product((0,), (0,), range(9)),
    *product((HVM, HAP), (int(EMU.LAPIC),), range(9)),
    *product((HAP,), (int(HVM_EMULATION), 0, int(HVM_EMULATION | EMU.VPCI), WITHOUT_PIRQ), (0,)),
)
"""Flags, emulation_flags and misc_flags of the creates that are recorded."""
LEVEL_STATES = ApicState.XAPIC, ApicState.X2APIC
GUEST_FAILED = ProbeFailed, CallFailed, ConfigRefused, TraceBusy
PROBE_SECONDS = 60.0
TRACE_PAGES = 128
"""Trace buffer of each CPU in pages: room for all exits of a probe, even if none is read meanwhile."""


def record(xen: Xen, settings: Settings, progress: Progress = lambda _what, _at, _of: None) -> Recording:
    """Return a recording of the running Xen; raise the errors of `Xen`'s methods."""
    host = xen.host(probe=True)
    if settings.refusals and not host.per_control and probe_controls(xen.handle, host.physinfo):
        host = replace(host, per_control=yes("Xen answered ENODEV to a create that asks for every control"))
    job = _Job(xen, host, settings, progress)
    version, arch = host.version, host.physinfo.arch_capabilities
    return Recording(
        xen=host.release.name if host.release.per_domain_apic else f"{version.release}{version.extra}",
        as_release=version.as_release or None,
        build=_build(host, xen.boot_log()),
        processor=settings.processor,
        xen_options=tuple(version.commandline.split()),
        emulator=settings.emulator,
        features=_features(xen.boot_log()),
        physinfo=CapabilityWords(int(host.physinfo.capabilities), None if arch is None else int(arch)),
        per_control=True if host.per_control else None,
        create=tuple(job.creates()),
        vmcs=tuple(job.vmcs()),
        guest=tuple(job.guests()),
        pairs=tuple(job.pairs()),
        levels=tuple(job.levels()),
        viridian=tuple(job.hints()),
        restored=tuple(job.restored()),
        used=tuple(sorted(row.key for row in FEATURES if xen.host().features[row.key])),  # measured by now
        not_testable=tuple(job.not_testable),
    )


def _build(host: Host, log: BootLog) -> BuildRecord:
    """Return the build of a Xen; whether it is for debugging stands in its log alone."""
    version = next((line for line in log.lines if VERSION.fullmatch(line)), "") if log.trusted else ""
    debug = DEBUG.search(version)
    shadow = PHYSCAP.shadow in host.physinfo.capabilities
    return BuildRecord(host.version.changeset, shadow, debug and debug[1] == "y")


DEBUG = re.compile(r" debug=([yn])(?: |$)")
"""In the line with the version (``print_version``, ``xen/common/version.c``)."""


def _features(log: BootLog) -> tuple[str, ...] | None:
    """Return the lines of the feature list in Xen's log; None when the log is not complete or not trusted."""
    return tuple(sorted(log.features)) if log.whole and log.trusted else None


def _flags_shown(misc_flags: int) -> str:
    return signed(misc_flags) or str(misc_flags)


class _Job:
    """The steps of one recording."""

    def __init__(self, xen: Xen, host: Host, settings: Settings, progress: Progress) -> None:
        self.xen = xen
        self.host = host
        self.settings = settings
        self.not_testable: list[str] = []
        self._progress = progress
        self._at = 0
        choices = len(self.choices)
        levels = settings.levels * len({*LEVEL_STATES} & {*settings.states})
        probes = choices * (len(settings.states) + settings.pairs + levels) if settings.probe else 0
        self._steps = settings.creates + choices * settings.vmcs + probes
        if host.offer is not None:
            self._steps += choices * settings.hints + 2 * settings.vmcs

    @property
    def choices(self) -> tuple[int, ...]:
        """Every ``misc_flags`` that this Xen accepts, as far as they concern the APIC.

        Where each domain chooses its controls, that is one for each set that can be in force.
        """
        requests = self.settings.requests
        if (offer := self.host.offer) is not None:
            if requests:  # what Xen refuses is asked among the creates alone
                return tuple(w for w in requests if not [*broken(offer.available, on_of(w), off_of(w))])
            return tuple(asked_word(on, off) for on, off in distinct(offer).values())
        xapic = (0, int(MISC.ASSISTED_XAPIC)) if self.host.interface and self.host.assisted_xapic else (0,)
        x2apic = (0, int(MISC.ASSISTED_X2APIC)) if self.host.interface and self.host.assisted_x2apic else (0,)
        every = tuple(low | high for high in x2apic for low in xapic)
        return tuple(word for word in every if word in requests) if requests else every

    def step(self, what: str) -> None:
        """Report the next step."""
        self._at += 1
        self._progress(what, self._at, self._steps)

    # -- creates --

    def creates(self) -> Iterator[CreateRecord]:
        """Yield the answer to each create that may be sent."""
        if not self.settings.creates:
            return
        self.step("creating domains")
        for flags, emulation, misc in (*CREATES, *self._asking()):
            if self.settings.requests and misc not in self.settings.requests:
                continue
            request = CreateRequest(
                flags=flags,
                emulation_flags=emulation,
                misc_flags=misc,
                max_grant_frames=4,
                max_maptrack_frames=0,
                grant_opts=1 if self.host.release.has_field("grant_opts") else 0,
            )
            checked = check_request(request, Situation(self.host, now=self.xen.physinfo()))
            if not checked.harmless or (checked.problems and not self.settings.refusals):
                continue
            number, read_back = self._answer(request)
            yield CreateRecord(
                flags=flags,
                emulation_flags=emulation,
                misc_flags=misc,
                errno=number,
                read_back=read_back,
            )

    def _asking(self) -> Iterator[tuple[int, int, int]]:
        """Yield the creates that ask for controls, where a domain can: every request, and what none may."""
        if self.host.offer is None:
            return
        guest = int(throw_away_config(self.host).flags)
        for on, off in requests():
            yield guest, int(EMU.LAPIC), asked_word(on, off)
        for control in APIC:
            yield guest, int(EMU.LAPIC), asked_word(control, control)
        for word in (asked_word(APIC.TPR_SHADOW), asked_word(NOTHING, APIC.TPR_SHADOW), MISC.MSR_RELAXED):
            yield 0, 0, int(word)
            yield int(CDF.nested_virt) | guest, int(EMU.LAPIC), int(word)
        for bit in range(32):
            if not 1 << bit & (ASKED | known_bits(MISC)):
                yield guest, int(EMU.LAPIC), 1 << bit

    def _answer(self, request: CreateRequest) -> tuple[int, int | None]:
        """Send one create; return Xen's errno, and what is in force where a domain chooses its controls.

        A domain that is created is destroyed again.
        """
        try:
            domain = self.xen.create_unchecked(request)
        except CallFailed as error:
            return error.errno, None
        read_back = None if self.host.offer is None else int(domain.info().misc_flags)
        domain.destroy()
        return 0, read_back

    # -- VMCS --

    def vmcs(self) -> Iterator[VmcsRecord]:
        """Yield the control words of each state for each choice of flags."""
        for misc_flags in self.choices if self.settings.vmcs else ():
            self.step(f"reading VMCS, misc_flags {_flags_shown(misc_flags)}")
            try:
                measured = self.xen.measure(self._policy(misc_flags))
            except (MeasureFailed, CallFailed, ConfigRefused) as error:
                self.not_testable.append(f"VMCS, misc_flags {_flags_shown(misc_flags)}: {error}")
                continue
            if not measured.done:
                self.not_testable.append(f"VMCS: {measured.why_not}")
            for state, words in measured.states.items():
                if state in self.settings.states:
                    yield VmcsRecord.of(misc_flags, state, words)

    def _policy(self, misc_flags: int) -> Policy | None:
        """Return the policy whose plan has these flags; None where Xen has no such choice."""
        if self.host.offer is not None:
            pairs = ((Want.REQUIRE, on_of(misc_flags)), (Want.FORBID, off_of(misc_flags)))
            return Policy({Aspect(CONTROL[bit]): want for want, bits in pairs for bit in APIC if bit in bits})
        if not self.host.interface:
            return None
        return Policy(
            assisted_xapic=bool(misc_flags & MISC.ASSISTED_XAPIC),
            assisted_x2apic=bool(misc_flags & MISC.ASSISTED_X2APIC),
            accept=DEFECT,
        )

    # -- what only a Xen with one bit per control has different answers to --

    @contextmanager
    def _created(
        self, misc_flags: int, *, max_vcpus: int = 1, emulation_flags: EMU = PVH_EMULATION
    ) -> Iterator[Domain]:
        config = throw_away_config(self.host)
        config = config.replace(max_vcpus=max_vcpus, emulation_flags=emulation_flags)
        with self.xen.create_domain(config, self._policy(misc_flags)) as domain:
            domain.set_max_vcpus(config.max_vcpus)
            yield domain

    def hints(self) -> Iterator[HintsRecord]:
        """Yield what Viridian tells a guest about its APIC, for each choice of flags."""
        if self.host.offer is None or not self.settings.hints or self.host.physinfo.no_guest:
            return
        for misc_flags in self.choices:
            self.step(f"Viridian, misc_flags {_flags_shown(misc_flags)}")
            try:
                yield record_hints(self._created, misc_flags, PROBE_SECONDS)
            except (ProbeFailed, CallFailed, ConfigRefused) as error:
                yield HintsRecord(misc_flags, failed=str(error))

    def restored(self) -> Iterator[RestoredRecord]:
        """Yield what becomes of a saved APIC, for each choice of flags."""
        if self.host.offer is None or not self.settings.vmcs or self.host.physinfo.no_guest:
            return
        for state in (ApicState.XAPIC, ApicState.X2APIC):
            if state in self.settings.states:
                self.step(f"restoring an APIC, {state.value}")
                try:
                    yield from record_restored(self._created, self.choices, state)
                except CallFailed as error:
                    self.not_testable.append(f"restoring an APIC, {state.value}: {error}")

    # -- guests --

    def guests(self) -> Iterator[GuestRecord]:
        """Yield what the probe guest measures in each state for each choice of flags."""
        if not self.settings.probe:
            return
        no_guest = self.host.physinfo.no_guest
        if no_guest:
            self.not_testable.append(f"guests: {no_guest}")
            return
        for misc_flags, state in product(self.choices, self.settings.states):
            self.step(f"probe guest, misc_flags {_flags_shown(misc_flags)}, APIC {state.value}")
            yield self._guest(misc_flags, state)

    def _guest(self, misc_flags: int, state: ApicState) -> GuestRecord:
        from xenapic.probe.run import probe_domain

        registers = self.settings.registers
        fetch = self.settings.fetch or self.host.technology is Technology.SVM
        try:
            with self._created(misc_flags) as domain:
                findings, exits = self._counted(
                    domain,
                    lambda pause: probe_domain(domain, state, PROBE_SECONDS, pause, registers, fetch),
                )
        except GUEST_FAILED as error:
            return GuestRecord(misc_flags=misc_flags, apic_mode=state, failed=str(error))
        return GuestRecord.of(findings, misc_flags, exits)

    def pairs(self) -> Iterator[PairRecord]:
        """Yield what two vCPUs of one guest find for each choice of flags."""
        if not self.settings.probe or not self.settings.pairs or self.host.physinfo.no_guest:
            return
        for misc_flags in self.choices:
            self.step(f"two vCPUs, misc_flags {_flags_shown(misc_flags)}")
            yield self._pair(misc_flags)

    def _pair(self, misc_flags: int) -> PairRecord:
        from xenapic.probe.run import probe_pair

        try:
            with self._created(misc_flags, max_vcpus=PAIR_VCPUS) as domain:
                found = probe_pair(domain, PROBE_SECONDS, technology=self.host.technology)
                return PairRecord.of(found, misc_flags)
        except GUEST_FAILED as error:
            return PairRecord(misc_flags=misc_flags, failed=str(error))

    def levels(self) -> Iterator[LevelRecord]:
        """Yield what a guest finds about a level-triggered interrupt for each choice of flags."""
        if not self.settings.probe or not self.settings.levels or self.host.physinfo.no_guest:
            return
        for misc_flags, state in product(self.choices, LEVEL_STATES):
            if state in self.settings.states:
                self.step(f"level-triggered, misc_flags {_flags_shown(misc_flags)}, APIC {state.value}")
                yield self._level(misc_flags, state)

    def _level(self, misc_flags: int, state: ApicState) -> LevelRecord:
        from xenapic.probe.run import probe_level

        try:
            with self._created(misc_flags, emulation_flags=HVM_EMULATION) as domain:
                findings, exits = self._counted(
                    domain, lambda pause: probe_level(domain, state, PROBE_SECONDS, pause)
                )
        except GUEST_FAILED as error:
            return LevelRecord(misc_flags=misc_flags, apic_mode=state, failed=str(error))
        return LevelRecord.of(findings, misc_flags, exits)

    def _counted(
        self, domain: Domain, probe: Callable[[Callable[[float], None] | None], T]
    ) -> tuple[T, ExitsRecord | None]:
        """Run a guest; return its findings, and the VM exits that the trace counted meanwhile."""
        from xenapic.exits.counter import ExitCounter

        if not self.settings.trace:
            return probe(None), None
        with ExitCounter(self.xen, domain.domid, pages=TRACE_PAGES, reasons_only=True) as counter:
            findings = probe(counter.wait)
            report = counter.stop()
        reasons: Counter[int] = Counter()
        for kind, count in report.kinds.items():
            reasons[kind.reason] += count
        return findings, ExitsRecord(report.complete, dict(sorted(reasons.items())))
