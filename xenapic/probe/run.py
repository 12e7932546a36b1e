"""Run the probe guest in a domain, and return its measurements."""

from __future__ import annotations

import time
from collections.abc import Callable
from pkgutil import get_data

from xenapic.apic.features import Technology
from xenapic.apic.state import ApicState
from xenapic.errors import ConfigInvalid, ProbeFailed
from xenapic.live.domain import Domain
from xenapic.live.images import Source
from xenapic.live.load import load
from xenapic.live.xen import Xen
from xenapic.loader.executable import read_executable
from xenapic.loader.layout import ModuleSize, lay_out
from xenapic.loader.memorymap import Span
from xenapic.model.config import DomainConfig
from xenapic.model.flags import DOMINF, EMU
from xenapic.policy.terms import Policy
from xenapic.probe.findings import Findings
from xenapic.probe.hints import HintsScript
from xenapic.probe.level import LevelFindings, LevelScript
from xenapic.probe.mailbox import HEAD_BYTES, Head, Reply, State, Yield, read_replies, write_commands
from xenapic.probe.pair import PairFindings, PairScript
from xenapic.probe.script import Script
from xenapic.probe.workload import WorkloadScript

__all__ = [
    "TIMEOUT",
    "probe_domain",
    "probe_hints",
    "probe_level",
    "probe_pair",
    "run_loop",
    "run_probe",
]

GUEST = "guest/probe.elf"
MEMORY_MIB = 4

TIMEOUT = 60.0
"""Limit for the guest in seconds; on real hardware it takes milliseconds."""
POLL_SECONDS = 0.02


def run_probe(
    xen: Xen,
    config: DomainConfig,
    state: ApicState,
    timeout: float = TIMEOUT,
    policy: Policy | None = None,
) -> Findings:
    """Create a domain, run the probe guest in it with its APIC in ``state``, destroy the domain.

    ``config`` must be of an HVM type with a local APIC; the domain is created for ``policy``. ``timeout`` is
    in seconds. Raises the errors of `Xen.create_domain`, `CallFailed`, and `ProbeFailed` when the guest gives
    no usable answer.
    """
    if not config.is_hvm or EMU.LAPIC not in config.emulation_flags:
        raise ConfigInvalid("the probe guest needs an HVM-type domain with a local APIC")
    with xen.create_domain(config, policy) as domain:
        domain.set_max_vcpus(config.max_vcpus)
        return probe_domain(domain, state, timeout)


def probe_domain(
    domain: Domain,
    state: ApicState,
    timeout: float = TIMEOUT,
    pause: Callable[[float], None] | None = None,
    registers: frozenset[int] = frozenset(),
    fetch: bool = False,
) -> Findings:
    """Run the probe guest in a new domain with vCPUs but no memory; the domain is shut down afterwards.

    ``timeout`` is in seconds. ``pause`` is called with the seconds between two looks at the guest, for a
    caller that has to work meanwhile. Only ``registers``, offsets in the page, are accessed; all if
    it is empty. With ``fetch``, code is fetched from the page in every state (`Script.fetch`). Raises
    `CallFailed` and `ProbeFailed`.
    """
    script = Script(state, registers=registers, fetch=fetch)
    answers, _starts = _run(domain, script, timeout, pause)
    findings = script.findings(answers)
    if not findings.calibration.clear:
        raise ProbeFailed(
            "the cost of an access does not tell whether it left the guest: plain memory costs "
            f"{findings.calibration.memory} TSC ticks, a known exit {findings.calibration.exit}; reading the "
            f"TSC takes {findings.calibration.overhead} of them"
        )
    return findings


YIELDS = {Technology.VMX: Yield.VMCALL, Technology.SVM: Yield.VMMCALL}


def probe_pair(
    domain: Domain,
    timeout: float = TIMEOUT,
    pause: Callable[[float], None] | None = None,
    technology: Technology | None = None,
) -> PairFindings:
    """Run the program for two vCPUs in a new domain that has two and no memory; see `probe_domain`.

    With the ``technology`` known, a vCPU that waits lets the other run, which they need on one processor.
    """
    script = PairScript(YIELDS[technology] if technology else Yield.NEVER)
    answers, starts = _run(domain, script, timeout, pause)
    return script.findings(answers, starts)


def probe_level(
    domain: Domain,
    state: ApicState,
    timeout: float = TIMEOUT,
    pause: Callable[[float], None] | None = None,
) -> LevelFindings:
    """Run the program for a level-triggered interrupt in a new HVM domain; see `probe_domain`."""
    script = LevelScript(state)
    answers, _starts = _run(domain, script, timeout, pause)
    return script.findings(answers)


def probe_hints(domain: Domain, timeout: float = TIMEOUT) -> tuple[int, int] | None:
    """Return what Viridian's leaves 0x40000004 and 0x40000006 tell a guest in EAX; None without Viridian.

    The domain is as for `probe_domain`, and has the HVM parameter for Viridian set.
    """
    script = HintsScript()
    answers, _starts = _run(domain, script, timeout, None)
    return script.findings(answers)


def run_loop(
    domain: Domain,
    script: WorkloadScript,
    timeout: float = TIMEOUT,
    pause: Callable[[float], None] | None = None,
) -> int:
    """Run a workload in a new domain without memory; return the TSC ticks of its loop. See `probe_domain`."""
    answers, _starts = _run(domain, script, timeout, pause)
    return script.ticks(answers)


Program = Script | PairScript | LevelScript | WorkloadScript | HintsScript


def _run(
    domain: Domain, program: Program, timeout: float, pause: Callable[[float], None] | None
) -> tuple[list[Reply], tuple[int, ...]]:
    """Run a program; return the replies to its commands, and how often each vCPU started."""
    listed = _load(domain, program)
    domain.unpause()
    _wait(domain, program, listed, timeout, pause or time.sleep)
    data = domain.memory.read(listed.address, listed.size)
    return list(read_replies(data, program.commands)), Head.from_bytes(data).starts


def _load(domain: Domain, program: Program) -> Span:
    """Give the domain memory and load the guest into it; return where its list of commands is."""
    listed = write_commands(
        program.commands,
        program.patience,
        settle=program.settle,
        loop=program.loop,
        yields=program.yields,
    )
    commands = Source(listed, "the list of commands")
    kernel = read_executable(get_data(__package__, GUEST) or b"", GUEST)  # also from a zip file
    modules = [ModuleSize(commands.name, commands.size)]
    layout = lay_out(kernel, modules, name=GUEST, memory_mib=MEMORY_MIB, acpi=False)
    # If RDTSC exits, its cost hides what is measured.
    load(domain, layout, [commands], state=program.state, native_tsc=True)
    return layout.modules[0]


def _wait(
    domain: Domain, program: Program, listed: Span, timeout: float, pause: Callable[[float], None]
) -> None:
    """Wait until the guest is done; raise `ProbeFailed` when it fails, ends or takes too long."""
    deadline = time.monotonic() + timeout
    while True:
        # Before the memory is read, because a guest that is done shuts its domain down.
        info = domain.info()
        head = Head.from_bytes(domain.memory.read(listed.address, HEAD_BYTES))
        if head.state == State.DONE:
            return
        if head.state == State.BROKEN:
            stack = " ".join(map(hex, head.stack))
            what = f"exception {head.broken_vector} on vCPU {head.broken_cpu}, stack {stack}"
            raise ProbeFailed(f"the probe guest failed ({what}) {_where(head, program)}")
        if info.flags & (DOMINF.shutdown | DOMINF.dying):
            reason = f" ({info.shutdown_reason!r})" if info.shutdown_reason is not None else ""
            raise ProbeFailed(f"the probe guest's domain shut down{reason} {_where(head, program)}")
        if time.monotonic() > deadline:
            raise ProbeFailed(
                f"the probe guest gave no answer within {timeout:g} s; it stopped {_where(head, program)}"
            )
        pause(POLL_SECONDS)


def _where(head: Head, program: Program) -> str:
    commands, label = program.commands, program.label
    if head.state == State.FRESH:
        return f"before its first command ({label})"
    if head.progress >= len(commands):
        return f"after its last command ({label})"
    return f"at command {head.progress} of {len(commands)}: {commands[head.progress]} ({label})"
