"""``xenapic/find``: what a setting of xl.cfg does on some hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from xenapic.apic.outcome import Operation
from xenapic.apic.state import ApicState
from xenapic.frozen import dataclass
from xenapic.model.acceleration import HvmLeaf
from xenapic.model.facts import Answer
from xenapic.policy.finder import Finding, SettingResult
from xenapic.policy.outlook import Share, hvm_leaf
from xenapic.policy.plan import Refusal
from xenapic.policy.reasons import Code

__all__ = ["FindingEntry", "Findings"]


@dataclass(frozen=True, slots=True)
class FindingEntry:
    """What one setting does on one host."""

    host: str
    """Name of the host, of the processor, or of a class of processors."""
    release: str
    """The release whose rules apply."""
    setting: str
    result: SettingResult
    text: str
    """The result in words."""
    control: Answer
    """Whether the control that the setting is meant to switch is then in force."""
    stays: Mapping[ApicState, Mapping[Operation, Share]]
    """How many accesses stay in the guest; empty for a state when no domain is created."""
    cpuid_base_4_eax: HvmLeaf | None
    """APIC bits of the hypervisor's CPUID leaf base + 4; null when unknown, or when no domain is created."""
    refused: tuple[Code, ...]
    """Why `xenapic plan` refuses the setting; empty when it makes a plan."""

    @classmethod
    def of(cls, host: str, finding: Finding) -> FindingEntry:
        """Return the entry of a finding."""
        answer = finding.answer
        return cls(
            host=host,
            release=finding.host.release.name,
            setting=finding.setting.text,
            result=finding.result,
            text=finding.text,
            control=finding.control,
            stays={state: finding.shares(state) for state in (ApicState.XAPIC, ApicState.X2APIC)},
            cpuid_base_4_eax=hvm_leaf(finding.in_force) if finding.in_force else None,
            refused=tuple(reason.code for reason in answer.reasons) if isinstance(answer, Refusal) else (),
        )


@dataclass(frozen=True, slots=True)
class Findings:
    """What settings of xl.cfg do on some hosts."""

    SCHEMA: ClassVar[str] = "xenapic/find/1"

    findings: tuple[FindingEntry, ...]

    @classmethod
    def of(cls, findings: Iterable[tuple[str, Finding]]) -> Findings:
        """Return the document of some findings, each with the name of its host."""
        return cls(tuple(FindingEntry.of(host, finding) for host, finding in findings))
